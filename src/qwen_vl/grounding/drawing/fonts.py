"""Fonts for labels in any language, and what to do about signs that none of them has."""

from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont
from PIL.ImageFont import FreeTypeFont

from qwen_vl.errors import ConfigurationError

# Fonts of Linux, macOS and Windows that have Chinese, then one with the rest of Europe's letters.
_SYSTEM_FONTS = (
    "NotoSansSC-Regular.otf",
    "NotoSansCJK-Regular.ttc",
    "SourceHanSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "msyh.ttc",
    "simhei.ttf",
    "Arial Unicode.ttf",
    "DejaVuSans.ttf",
)
# No font has a glyph for it: what is drawn is the font's glyph for missing glyphs.
_NO_SIGN = "\U0010ffff"
_REFERENCE_SIZE = 24


def find_font(text: str, size: int, font: str | Path | None = None) -> FreeTypeFont | None:
    """Find a font that has all signs of a text.

    Tried are the font that was asked for; Noto Sans SC, which has Latin, Cyrillic, Chinese and
    Japanese (`pip install "qwen-vl[fonts]"`); fonts of the system with Chinese; and the small one
    that comes with Pillow, which has ASCII only.

    Args:
        text: What should be written.
        size: Pixels.
        font: File of a font, or its name; only this one is used for what it has.

    Returns:
        `None` where no font here has all of its signs.

    Raises:
        ConfigurationError: The font that was asked for cannot be read.

    Example:
        >>> find_font("cat", 16).size
        16
    """
    signs = "".join(sorted(sign for sign in set(text) if not sign.isspace()))
    for name in _names(font):
        if _covers(name, signs):
            return _load(name, size)
    return None


def _names(font: str | Path | None) -> Iterator[str]:
    if font is not None:
        yield _checked(str(font))
    if find_spec("pylopdf_fonts_zh_cn") is not None:
        from pylopdf_fonts_zh_cn import sans_path  # noqa: PLC0415 - an extra

        yield str(sans_path())
    yield from _installed()
    yield ""


def _checked(font: str) -> str:
    try:
        _load(font, _REFERENCE_SIZE)
    except OSError as error:
        raise ConfigurationError(f"The font {font!r} cannot be read: {error}.") from error
    return font


@lru_cache(maxsize=1)
def _installed() -> tuple[str, ...]:
    found = []
    for name in _SYSTEM_FONTS:
        try:
            _load(name, _REFERENCE_SIZE)
        except OSError:
            continue
        found.append(name)
    return tuple(found)


@lru_cache(maxsize=64)
def _load(name: str, size: int) -> FreeTypeFont:
    if name:
        return ImageFont.truetype(name, size)
    built_in = ImageFont.load_default(size)
    if not isinstance(built_in, FreeTypeFont):
        raise ConfigurationError("Pillow was built without FreeType, so that it cannot write.")
    return built_in


@lru_cache(maxsize=1024)
def _covers(name: str, signs: str) -> bool:
    font = _load(name, _REFERENCE_SIZE)
    missing = _shape(font, _NO_SIGN)
    return all(_shape(font, sign) != missing for sign in signs)


def _shape(font: FreeTypeFont, sign: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(sign)
    return mask.size, bytes(mask)
