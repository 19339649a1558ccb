"""What is asked about a row beside a custom question: boxes, events, text, documents."""

import mimetypes
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from qwen_vl.bulk.row import MediaSource, Row
from qwen_vl.content import Image, LocalFile, Video
from qwen_vl.documents.parser import DocumentParser
from qwen_vl.errors import ConfigurationError, QwenVLError
from qwen_vl.grounding.find_events import find_events_task
from qwen_vl.grounding.locate import locate_task
from qwen_vl.media.page_jobs import find_page_jobs
from qwen_vl.ocr.reader import OcrReader
from qwen_vl.ocr.results import OcrResult
from qwen_vl.reply import Reply
from qwen_vl.request.build import build_media_policy
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings

TaskName: TypeAlias = Literal["ask", "locate", "timeline", "ocr", "parse"]
"""`ask` for a custom question, `locate` for boxes in an image, `timeline` for events in a
video, `ocr` for the text of an image or page, `parse` for its blocks."""

_KINDS: Mapping[TaskName, frozenset[str]] = {
    "ask": frozenset({"image", "video", "audio", "document"}),
    "locate": frozenset({"image"}),
    "timeline": frozenset({"video"}),
    "ocr": frozenset({"image", "document"}),
    "parse": frozenset({"image", "document"}),
}
_PAGED = frozenset({"ocr", "parse"})
_PAGED_TYPES = frozenset({"application/pdf", "image/tiff"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked about a row.

    Args:
        request: What is sent.
        read: Returns what a row was answered: text, or a value that JSON can hold.
    """

    request: Request
    read: Callable[[Reply], Any]


def takes_row(task: TaskName, row: Row) -> bool:
    """Return whether a task is for files of a row's kind, as their names say.

    Args:
        task: The task.
        row: Any row.

    Example:
        >>> from qwen_vl.content import Url
        >>> takes_row("timeline", Row(number=0, media=(Url("https://example.com/a.png"),)))
        False
    """
    return all(find_kind(source) in _KINDS[task] for source in row.media)


def find_kind(source: MediaSource) -> str:
    """Return the kind of a file, as its name says: `image` where that says nothing.

    Args:
        source: A file or URL.

    Example:
        >>> from qwen_vl.content import Url
        >>> find_kind(Url("https://example.com/a.mp4?size=1"))
        'video'
    """
    media_type = _guess_type(source)
    if media_type == "application/pdf":
        return "document"
    kind = media_type.partition("/")[0]
    return kind if kind in {"video", "audio"} else "image"


def _guess_type(source: MediaSource) -> str:
    name = source.path.name if isinstance(source, LocalFile) else urlsplit(source.url).path
    return mimetypes.guess_type(name)[0] or ""


def split_pages(rows: Iterable[Row], task: TaskName, settings: QwenVLSettings) -> Iterator[Row]:
    """Return a row for each page, for the tasks that ask about pages.

    Args:
        rows: PDF and TIFF files among them are measured; one that cannot be opened stays a row.
        task: The task; the rows of others stay as they are.
        settings: How pages are rendered.
    """
    if task not in _PAGED:
        yield from rows
        return
    policy, number = build_media_policy(settings), 0
    for row in rows:
        pages: list[int | None] = [None]
        if len(row.media) == 1 and _guess_type(row.media[0]) in _PAGED_TYPES:
            try:
                jobs = find_page_jobs([row.media[0]], policy)
                pages = [job.page if job.n_pages > 1 else None for job in jobs]
            except QwenVLError:
                # It is reported when the row is asked about.
                pages = [None]
        for page in pages:
            columns = row.columns if page is None else {**row.columns, "page": page}
            yield replace(row, number=number, page=page, columns=columns)
            number += 1


def make_question(
    task: TaskName,
    row: Row,
    prompt: str,
    settings: QwenVLSettings,
    parameters: Mapping[str, Any],
) -> Question:
    """Return what a task asks about a row; its media is read now.

    Args:
        task: Not `ask`.
        row: With one image, video or document.
        prompt: What to look for, or a prompt for the page; empty for the task's own.
        settings: The model, and which files may be read.
        parameters: Of the call.

    Raises:
        MediaError: The media cannot be read or sent.
        ConfigurationError: The row has more or less than one file, or a parameter is wrong.
    """
    if len(row.media) != 1:
        raise ConfigurationError(
            f"{row.name}: task {task!r} is about one file, and the row has {len(row.media)}."
        )
    (source,) = row.media
    call: dict[str, Any] = dict(parameters)
    if task == "locate":
        image = Image(source=source, where=row.name)
        grounding = locate_task(settings, image, prompt, **call)
        return Question(
            request=grounding.to_request(settings),
            read=lambda reply: grounding.read(reply).to_dict(),
        )
    if task == "timeline":
        video = Video(source=source, where=row.name)
        events = find_events_task(settings, video, prompt or None, **call)
        return Question(
            request=events.to_request(settings),
            read=lambda reply: events.read(reply).to_dict(),
        )
    own = settings.model_copy(update=call)
    pages = None if row.page is None else [row.page]
    jobs = find_page_jobs([source], build_media_policy(own), pages=pages)
    job = next(jobs)
    jobs.close()
    if task == "ocr":
        request, read_page = OcrReader(own).make_question(job)
        return Question(
            request=request,
            read=lambda reply: _to_value(read_page(reply).result),
        )
    parser = DocumentParser(own, prompt=prompt) if prompt else DocumentParser(own)
    asked, read_blocks = parser.make_question(job)
    return Question(request=asked, read=lambda reply: read_blocks(reply).to_dict())


def _to_value(result: OcrResult) -> dict[str, Any]:
    return {"text": result.text, **result.to_metadata()}
