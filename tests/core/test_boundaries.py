"""What is at a limit passes, and what lies just beyond it does not."""

import warnings
from pathlib import Path

import pytest

from qwen_vl.content import Image, LocalFile, Turn, Url
from qwen_vl.errors import (
    AnswerFormatError,
    MediaAccessError,
    MediaFormatError,
    MediaOptionError,
    ServiceError,
)
from qwen_vl.media import prepare_media
from qwen_vl.media.pages import read_page_numbers
from qwen_vl.media.unfetched import drop_unfetched
from qwen_vl.parsing import check_depth, find_json, parse_whole_json
from qwen_vl.request.rules import to_schema_name
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.tokens.conversation import count_tokens
from qwen_vl.wire.json import as_count


def test_json_has_at_most_128_levels() -> None:
    check_depth("[" * 128)
    with pytest.raises(ValueError, match="nested too deeply"):
        check_depth("[" * 129)
    # Brackets that are closed again, and those in texts, are no levels.
    check_depth("[]" * 129 + '"' + "[" * 129 + '"')

    assert parse_whole_json("[" * 128 + "]" * 128)
    with pytest.raises(AnswerFormatError, match="nested too deeply"):
        parse_whole_json("[" * 129 + "]" * 129)


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0),
        (-1, None),
        (2**53, 2**53),
        (2**53 + 2, None),
        (float(2**53), 2**53),
        (12.5, None),
        (True, None),
        ("9" * 16, int("9" * 16)),
        ("9" * 17, None),
        ("٣", None),
    ],
)
def test_counts_of_foreign_json(value: object, count: int | None) -> None:
    assert as_count(value) == count


def test_page_numbers_are_at_most_100_000() -> None:
    assert len(read_page_numbers("1-100000", "")) == 100_000
    assert len(read_page_numbers("1, 2-100000", "")) == 100_000
    for pages in ("1-100001", "1, 2-100001", "0", "3-2", "0-2"):
        with pytest.raises(MediaOptionError, match="not page numbers"):
            read_page_numbers(pages, "content[0]")


def test_schema_names_have_at_most_64_characters() -> None:
    assert to_schema_name({"title": "a" * 64}) == "a" * 64
    assert to_schema_name({"title": "a" * 65}) == "a" * 64
    assert to_schema_name({"title": "größe 1"}) == "gr__e_1"
    assert to_schema_name({}) == "answer"


def test_answer_is_shown_up_to_200_characters() -> None:
    assert str(AnswerFormatError("No.", text="a" * 200)) == f"No. It reads: {'a' * 200!r}"
    assert str(AnswerFormatError("No.", text="a" * 201)) == f"No. It reads: {'a' * 200 + '…'!r}"


@pytest.mark.parametrize(("n_chars", "shown"), [(100, "/{}"), (101, "…{}")])
def test_path_is_shown_by_its_last_100_characters(n_chars: int, shown: str, tmp_path: Path) -> None:
    path = Path("/" + "a" * (n_chars - 1))
    image = Image(source=LocalFile(path, is_trusted=True), where="content[0]")
    request = Request(
        model="qwen3-vl-plus",
        turns=(Turn(role="user", parts=(image,)),),
        policy=MediaPolicy(media_roots=(tmp_path,)),
    )
    with pytest.raises(MediaAccessError) as caught:
        prepare_media(request)
    tail = "a" * (99 if n_chars == 100 else 100)
    assert str(caught.value).startswith(f"content[0]: The file {shown.format(tail)!r} may not be")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("/" + "a" * 255, MediaAccessError),
        ("/" + "a" * 256, MediaFormatError),
        ("/" + "a/" * 2_047 + "a", MediaAccessError),
        ("/" + "a/" * 2_047 + "aa", MediaFormatError),
    ],
    ids=["name", "long name", "path", "long path"],
)
def test_text_that_is_too_long_for_a_path_is_none(text: str, error: type[Exception]) -> None:
    image = Image(source=LocalFile(Path(text), is_trusted=False))
    with pytest.raises(error) as caught:
        prepare_media(Request(model="qwen3-vl-plus", turns=(Turn(role="user", parts=(image,)),)))
    assert type(caught.value) is error


def _linked(count: int) -> tuple[Turn, ...]:
    images = tuple(
        Image(source=Url(f"https://example.com/{number}.png"), where=f"content[{number}]")
        for number in range(count)
    )
    return (Turn(role="user", parts=images),)


@pytest.mark.parametrize(("count", "end"), [(3, "2,562."), (4, "2,562. So 1 more.")])
def test_warning_names_three_parts(count: int, end: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        count_tokens(_linked(count), "qwen3-vl-plus")

    (warning,) = caught
    assert str(warning.message) == (
        ". ".join(
            f"content[{number}]: the image cannot be measured; 2,562 tokens are counted, it may "
            "cost from 66 to 2,562"
            for number in range(3)
        )
        + end[len("2,562") :]
    )


@pytest.mark.parametrize("count", [5, 6])
def test_advice_names_five_urls(count: int) -> None:
    error = ServiceError("Failed to download multimodal content", status=400)
    request = Request(model="qwen3-vl-plus", turns=_linked(count))

    assert drop_unfetched(request, error) is None
    shown = "; ".join(f"content[{n}], https://example.com/{n}.png" for n in range(5))
    assert error.advice == f"The URLs of this request: {shown}."


def test_whole_json_is_judged_by_its_levels_and_not_by_its_brackets() -> None:
    beside = "[]," * 200
    assert parse_whole_json(f"[{beside}{'[' * 127}{']' * 127}]")
    with pytest.raises(AnswerFormatError, match="nested too deeply"):
        parse_whole_json(f"[{beside}{'[' * 128}{']' * 128}]")


def test_python_literals_have_at_most_100_000_characters() -> None:
    longest = "{'a': '" + "x" * 99_991 + "'}"
    assert find_json(longest).values == ({"a": "x" * 99_991},)
    assert find_json(longest.replace("x", "xx", 1)).values == ()
    # All of one text together have twice as many.
    assert len(find_json(" ".join([longest] * 3)).values) == 2


def test_64_values_that_cannot_be_read_end_the_search() -> None:
    assert find_json("[x] " * 63 + "[1]").values == ([1],)
    assert find_json("[x] " * 64 + "[1]").values == ()
