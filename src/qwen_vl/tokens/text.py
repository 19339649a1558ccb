"""Tokens of text, estimated offline: Qwen's tokenizer is not part of this package."""

import math
import string

_LETTERS = string.ascii_letters.encode()
_DIGITS = string.digits.encode()
_PUNCTUATION = string.punctuation.encode()
# Characters beyond ASCII are classified by the first byte of their UTF-8.
_LATIN_AND_GREEK = bytes(range(0xC2, 0xD0))
_OTHER_ALPHABETS = bytes(range(0xD0, 0xE0))
_INDIC_AND_SIGNS = bytes(range(0xE0, 0xE3))
_EAST_ASIAN = bytes(range(0xE3, 0xF0))
_EMOJI = bytes(range(0xF0, 0xF5))

# Fitted to what the tokenizer of Qwen-VL (151,643 entries) makes of 200 English and programming
# texts, and to a few lines each of 20 other languages. It makes a token of every digit.
_TOKENS_PER_WORD = 0.5
_TOKENS_PER_LINE = 0.5
_WEIGHTS = (
    (_LETTERS, 1 / 8),
    (_DIGITS, 1.0),
    (_PUNCTUATION, 0.7),
)
_WEIGHTS_BEYOND_ASCII = (
    (_LATIN_AND_GREEK, 1.0),
    (_OTHER_ALPHABETS, 0.35),
    (_INDIC_AND_SIGNS, 0.9),
    (_EAST_ASIAN, 0.7),
    (_EMOJI, 1.2),
)


def estimate_text_tokens(text: str) -> int:
    """Estimate the tokens of a text from its letters, digits, words and other characters.

    No tokenizer is needed: English words count half a token and an eighth for each letter, every
    digit a token, a Chinese character 0.7. Of 200 English and programming texts nine in ten come
    out within 10 %, single sentences in other languages mostly within 25 %. Text that looks
    random, such as Base64 or long hexadecimal numbers, costs up to three times as much.

    Args:
        text: Any text.

    Example:
        >>> estimate_text_tokens("What is depicted in the image?")
        7
        >>> estimate_text_tokens("图中描绘的是什么景象?")
        9
    """
    data = text.encode("utf-8", errors="surrogatepass")
    tokens = _TOKENS_PER_WORD * len(text.split()) + _TOKENS_PER_LINE * text.count("\n")
    for members, weight in _WEIGHTS:
        tokens += weight * _count_bytes(data, members)
    if len(data) != len(text):
        for members, weight in _WEIGHTS_BEYOND_ASCII:
            tokens += weight * _count_bytes(data, members)
    return math.ceil(tokens)


def _count_bytes(data: bytes, members: bytes) -> int:
    # Deleting is a hundred times as fast as looking at each character.
    return len(data) - len(data.translate(None, members))
