"""From a request whose media may be anywhere to one whose media can go on the wire.

The walk over turns and parts; what holds for one picture or one file stands in its own module.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from qwen_vl.content import (
    Audio,
    DataUrl,
    Document,
    File,
    Frames,
    Image,
    Media,
    Part,
    Source,
    ToolPart,
    ToolResult,
    Turn,
    Url,
    Video,
)
from qwen_vl.errors import (
    ConfigurationError,
    ContentError,
    MediaTooLargeError,
    RequestTooLargeError,
)
from qwen_vl.media.downscale import Resize
from qwen_vl.media.limits import Budget, check_counts, check_part, is_remote_source
from qwen_vl.media.part import (
    PreparedMedia,
    check_image,
    prepare_audio,
    prepare_image,
    prepare_jpeg,
    prepare_video,
)
from qwen_vl.media.pdf import expand_documents, holds_document, measure_pages
from qwen_vl.media.tool_content import ToolNotes, is_link
from qwen_vl.media.upload.storage import TemporaryStorage, check_upload, upload_video
from qwen_vl.media.video.container import has_av
from qwen_vl.media.video.cut import SamplingJob, cut_video
from qwen_vl.media.video.file import open_file
from qwen_vl.media.video.mode import SamplingPlan, find_reason_to_cut, plan_sampling
from qwen_vl.media.video.probe import check_plays, probe
from qwen_vl.request.types import Request
from qwen_vl.specs.models import MAX_INLINE_IMAGES, MIN_FRAMES, get_model_spec, is_service_model
from qwen_vl.specs.servers import get_server_spec
from qwen_vl.specs.vision import resize_frame, resize_image, smart_resize

_Holder = TypeVar("_Holder", Turn, ToolResult)


def prepare_media(request: Request, storage: TemporaryStorage | None = None) -> Request:
    """Read every file, check every limit, and give each part an address that can be sent.

    `http:`, `https:` and `oss:` addresses are passed on and never fetched. All else becomes a
    `data:` address whose type is that of the bytes. Pictures go out byte for byte, except for
    three kinds. Those that are larger than the model looks at are shrunk to just that size, see
    `MediaPolicy.downscale_images`. Those that came as pixels, and still ones in formats that the
    service does not list (GIF, AVIF), become PNG, or JPEG of quality 95 where the PNG is longer
    than `max_inline_bytes` and nothing is transparent. The pages of PDF documents become pictures,
    each behind a label. A video file goes out byte for byte, or as
    frames that are taken of it here, see `MediaPolicy.video_mode`; those come after all else, and
    share what room the request has left. What is uploaded comes last.

    Content from tools that cannot be sent becomes a note, see `MediaPolicy.tool_media_errors`.

    Args:
        request: Stays as it is.
        storage: Where videos with `video_mode="upload"` are put.

    Returns:
        A request in which every source is a `Url` or a `DataUrl`, or `Frames` of them; the same
        object if it was one already. `replaced` lists the notes.

    Raises:
        MediaError: A part cannot be sent; the error names the part and says what to do.
        RequestTooLargeError: All media of the request together is too much.
        UnsupportedContentError: The model does not take such a part.
        MissingExtraError: A video is to be cut into frames, and PyAV is not installed.
        ConfigurationError: A video is to be uploaded, and there is no storage.
        ServiceError: A video could not be uploaded.

    Example:
        >>> from qwen_vl.content import Image, LocalFile, Turn
        >>> from qwen_vl.samples import CHELSEA
        >>> cat = Image(source=LocalFile(CHELSEA, is_trusted=True))
        >>> turn = Turn(role="user", parts=(cat,))
        >>> ready = prepare_media(Request(model="qwen3-vl-plus", turns=(turn,)))
        >>> ready.turns[0].parts[0].source.url[:30]
        'data:image/png;base64,iVBORw0K'
    """
    notes = ToolNotes(request.policy)
    readable = _read_tool_content(request, notes)
    expanded = expand_documents(readable, notes)
    if next(_find_media(expanded), None) is None:
        return _with_notes(expanded, notes)
    checked = _Pass(expanded, notes).over(_Walk(expanded, storage).check)
    check_counts(list(_find_media(checked)), request.model, request.server)
    walk = _Walk(checked, storage)
    ready = _Pass(checked, notes).over(walk.prepare)
    if walk.has_waiting:
        ready = _Pass(ready, notes).over(walk.cut)
    if walk.has_uploads:
        ready = _Pass(ready, notes).over(walk.upload)
    return _with_notes(ready, notes)


def find_tool_note(part: ToolPart, request: Request) -> str | None:
    """Find the text that the model gets for a part of a tool result, where it is not media.

    Nothing is encoded, rendered or logged, except where that alone decides.

    Args:
        part: A part of a tool result.
        request: What holds for the request: model, parameters, policy and server.

    Returns:
        A note, or the text of a file or link; `None` for what is sent as it is.

    Raises:
        ContentError: The part cannot be sent, and the policy wants that raised.

    Example:
        >>> from qwen_vl.content import Inline
        >>> drawing = Image(source=Inline(b"<svg/>"))
        >>> find_tool_note(drawing, Request(model="qwen3-vl-plus", turns=()))
        'image/svg+xml cannot be shown: A picture is wanted, but this looks like an SVG drawing.'
    """
    notes = ToolNotes(request.policy, is_logged=False)
    known = notes.read(part, request.policy)
    if known is not part:
        return getattr(known, "text", None)
    walk = _Walk(request, None)
    try:
        if isinstance(part, Document):
            measure_pages(part, request.policy)
        walk.check(part)
        walk.verify(part)
    except ContentError as error:
        return notes.replace(part, error).text
    return None


def needs_io(request: Request) -> bool:
    """Tell whether `prepare_media` will read, decode or encode anything.

    Args:
        request: Any request.

    Returns:
        `False` if every part is text or an `http:`, `https:` or `oss:` address.

    Example:
        >>> needs_io(Request(model="qwen3-vl-plus", turns=()))
        False
    """
    if any(map(holds_document, request.turns)) or any(map(_is_read, _find_files(request))):
        return True
    return any(not _is_remote_media(part.source) for part in _find_media(request))


def wants_upload(request: Request) -> bool:
    """Tell whether `prepare_media` may have to put a video into the temporary storage.

    Args:
        request: Any request.

    Example:
        >>> wants_upload(Request(model="qwen3-vl-plus", turns=()))
        False
    """
    by_policy = request.policy.video_mode == "upload"
    return any(
        part.video_mode == "upload" or (by_policy and part.video_mode is None)
        for part in _find_media(request)
        if isinstance(part, Video)
    )


class _Walk:
    """Passes over a request's parts, summing up what they inline.

    Videos that are cut into frames wait for the second: their bytes can be made to fit. Those that
    are uploaded wait for the last: nothing shall leave for a request that is refused here.
    """

    def __init__(self, request: Request, storage: TemporaryStorage | None) -> None:
        self._model = request.model
        self._server_name = request.server
        self._server = get_server_spec(request.server)
        self._carries_max_frames = request.protocol == "native"
        self._storage = storage
        self._uploads: list[Video] = []
        self._policy = request.policy
        self._budget = Budget(request.policy.max_total_inline_bytes)
        self._spec = get_model_spec(request.model)
        self._high_resolution = bool(request.parameters.get("vl_high_resolution_images"))
        shrinks = request.policy.downscale_images
        is_hosted = self._server.tokens == "service"
        is_known = is_hosted and is_service_model(request.model)
        self._shrinks = is_known if shrinks is None else shrinks
        self._waiting: list[SamplingJob] = []
        self._n_inline = sum(map(_count_inline, _find_media(request)))

    @property
    def has_waiting(self) -> bool:
        """Whether a video waits to be cut into frames."""
        return bool(self._waiting)

    @property
    def has_uploads(self) -> bool:
        """Whether a video waits to be uploaded."""
        return bool(self._uploads)

    def check(self, part: Any) -> Any:
        """Check what can be checked before the first file is opened."""
        if isinstance(part, Image | Video | Audio):
            check_part(part, self._model, self._server_name)
        if isinstance(part, Video):
            self._resolve(part)
        return part

    def verify(self, part: ToolPart) -> None:
        """Check that a part from a tool can be prepared, encoding as little as possible.

        Raises:
            ContentError: It cannot be sent.
        """
        match part:
            case Image():
                check_image(part.source, self._policy, part.where, self._resize_of(part))
            case Video(source=Frames(frames=frames)):
                resize = self._resize_of(part)
                for number, frame in enumerate(frames):
                    check_image(frame, self._policy, f"{part.where}.video[{number}]", resize)
            case Video():
                self._prepare(part)
                if self._waiting and has_av():
                    self._probe(self._waiting.pop())

    def _probe(self, job: SamplingJob) -> None:
        try:
            with open_file(job.source, self._policy, job.part.where) as file:
                clip = probe(file, job.part.where)
        except MediaTooLargeError:
            # As in `measure_video`: frames beyond 8K are the service's to judge.
            return
        job.cut.span.within(clip, job.part.where)

    def _resolve(self, part: Video) -> SamplingPlan:
        return plan_sampling(
            part, self._policy, self._spec, carries_max_frames=self._carries_max_frames
        )

    def prepare(self, part: Any) -> Any:
        """Give a part whose sources can be sent: a new one, or the same if they can already."""
        made = self._prepare(part)
        if not self._is_waiting(made):
            # Counted once all of it is known to be sendable: a part that is not is no burden.
            self._spend(made)
        return made

    def _prepare(self, part: Part | ToolPart) -> Part | ToolPart:
        match part:
            case Image():
                resize = self._resize_of(part)
                ready = prepare_image(part.source, self._policy, part.where, resize)
                return _with_source(part, ready)
            case Audio():
                ready = prepare_audio(part.source, self._policy, part.where, part.format)
                return _with_source(part, ready)
            case Video(source=Frames() as frames):
                return self._prepare_frames(part, frames)
            case Video(source=source) if not isinstance(source, Frames):
                return self._prepare_video(part, source)
            case _:
                return part

    def _is_waiting(self, part: Any) -> bool:
        jobs = (job.part for job in self._waiting)
        return any(waiting is part for waiting in (*jobs, *self._uploads))

    def cut(self, part: Any) -> Any:
        """Give the frames of a video that waits for that, and other parts as they are."""
        if not (self._waiting and self._waiting[0].part is part):
            return part
        limit = self._budget.left // len(self._waiting)
        max_frames = self._most_frames()
        job = replace(self._waiting.pop(0), max_frames=max_frames)
        try:
            made = cut_video(job, self._policy, self._spec, limit)
        except RequestTooLargeError as error:
            if limit < self._policy.max_total_inline_bytes:
                raise
            # It would not fit into a request of its own either.
            raise _as_own_fault(error) from error
        self._n_inline += _count_inline(made.video)
        self._budget.spend(made.n_bytes, made.video.where)
        return made.video

    def _most_frames(self) -> int | None:
        """Share what pictures a request may hold among the videos that wait.

        unsure: no page says whether frames count as pictures; a request that is refused is worse
        than one that holds fewer.
        """
        if self._server.tokens != "service":
            return None
        left = (MAX_INLINE_IMAGES - self._n_inline) // len(self._waiting)
        return max(left, MIN_FRAMES)

    def upload(self, part: Any) -> Any:
        """Give the address of a video that waits to be uploaded, and other parts as they are."""
        if not (self._uploads and self._uploads[0] is part):
            return part
        video = self._uploads.pop(0)
        source: Any = video.source
        if self._storage is None:
            raise ConfigurationError(
                f'{video.where}: video_mode="upload" needs the temporary storage of the service, '
                "which self-hosted servers have not. Set another video_mode."
            )
        url = upload_video(video, source, self._policy, self._storage, self._model)
        return replace(video, source=Url(url), video_mode=None)

    def _prepare_video(self, part: Video, source: Source) -> Part:
        cut = self._resolve(part)
        if self._carries_max_frames and part.max_frames is None and self._policy.max_frames:
            part = replace(part, max_frames=self._policy.max_frames)
        if cut.mode == "upload" and not is_remote_source(source):
            check_upload(part, source, self._policy)
            self._uploads.append(part)
            return part
        reason = find_reason_to_cut(part, cut, self._policy, self._budget.left, self._server)
        if reason:
            self._waiting.append(SamplingJob(part=part, source=source, cut=cut, reason=reason))
            return part
        if self._policy.max_frames and is_remote_source(source) and not self._carries_max_frames:
            warnings.warn(
                f"{part.where}: max_frames does not reach videos behind an address: the service "
                "takes as many frames as fps says. Lower fps for them.",
                UserWarning,
                stacklevel=2,
            )
        return _with_source(part, prepare_video(source, self._policy, part.where, check_plays))

    def _spend(self, part: Any) -> None:
        source = getattr(part, "source", None)
        if isinstance(source, DataUrl):
            self._budget.spend(source.n_bytes, part.where)
        elif isinstance(source, Frames):
            for number, frame in enumerate(source.frames):
                if isinstance(frame, DataUrl):
                    self._budget.spend(frame.n_bytes, f"{part.where}.video[{number}]")

    def _prepare_frames(self, part: Video, frames: Frames) -> Video:
        sources: list[Source] = []
        resize = self._resize_of(part)
        for number, frame in enumerate(frames.frames):
            where = f"{part.where}.video[{number}]"
            ready = prepare_image(frame, self._policy, where, resize)
            if self._server.frames == "video/jpeg":
                ready = prepare_jpeg(ready, where)
            sources.append(ready)
        if _is_same(sources, frames.frames):
            return part
        return replace(part, source=Frames(tuple(sources)))

    def _resize_of(self, part: Image | Video) -> Resize | None:
        """Give the size at which the model looks at a picture or frame, if it is to be shrunk."""
        if self._server.tokens != "service":
            return self._own_resize_of(part)
        if not self._shrinks:
            return None
        limits = {"min_pixels": part.min_pixels, "max_pixels": part.max_pixels}
        if isinstance(part, Image):
            high = self._high_resolution
            return lambda w, h: resize_image(w, h, self._spec, high_resolution=high, **limits)
        count = len(part.source.frames) if isinstance(part.source, Frames) else 1
        total = part.total_pixels
        return lambda w, h: resize_frame(w, h, count, self._spec, total_pixels=total, **limits)

    def _own_resize_of(self, part: Image | Video) -> Resize | None:
        """Shrink what is larger than asked for, where the server cannot be told."""
        most = part.max_pixels
        if (
            most is None
            or self._server.pixels is not None
            or self._policy.downscale_images is False
        ):
            return None
        factor = self._spec.factor
        return lambda w, h: smart_resize(w, h, factor=factor, min_pixels=0, max_pixels=most)


def _find_media(request: Request) -> Iterator[Media]:
    for turn in request.turns:
        for part in turn.parts:
            if isinstance(part, Image | Video | Audio):
                yield part
            elif isinstance(part, ToolResult):
                yield from (inner for inner in part.parts if isinstance(inner, Image | Video))


@dataclass(frozen=True, slots=True)
class _Pass:
    """Passes over all parts of a request; what stays the same stays the same object."""

    request: Request
    notes: ToolNotes

    def over(self, change: Callable[[Any], Any]) -> Request:
        """Change each part; one from a tool that cannot be sent becomes a note."""
        turns = tuple(self._change_turn(turn, change) for turn in self.request.turns)
        is_same = _is_same(turns, self.request.turns)
        return self.request if is_same else replace(self.request, turns=turns)

    def _change_turn(self, turn: Turn, change: Callable[[Any], Any]) -> Turn:
        return _with_parts(
            turn,
            tuple(
                self._change_result(part, change) if isinstance(part, ToolResult) else change(part)
                for part in turn.parts
            ),
        )

    def _change_result(self, result: ToolResult, change: Callable[[Any], Any]) -> ToolResult:
        return _with_parts(result, tuple(self._try(part, change) for part in result.parts))

    def _try(self, part: ToolPart, change: Callable[[Any], Any]) -> ToolPart:
        try:
            changed: ToolPart = change(part)
        except ContentError as error:
            return self.notes.replace(part, error)
        return changed


def _read_tool_content(request: Request, notes: ToolNotes) -> Request:
    """Replace what tools returned that is neither text nor media."""

    def read(part: Any) -> Any:
        return notes.read(part, request.policy)

    if not any(isinstance(part, ToolResult) for turn in request.turns for part in turn.parts):
        return request
    return _Pass(request, notes).over(read)


def _with_parts(holder: _Holder, parts: tuple[Any, ...]) -> _Holder:
    return holder if _is_same(parts, holder.parts) else replace(holder, parts=parts)


def _with_notes(request: Request, notes: ToolNotes) -> Request:
    return replace(request, replaced=tuple(notes.replaced)) if notes.replaced else request


def _with_source(part: Media, ready: PreparedMedia) -> Media:
    return part if part.source is ready else replace(part, source=ready)


def _as_own_fault(error: RequestTooLargeError) -> MediaTooLargeError:
    return MediaTooLargeError(
        error.problem,
        where=error.where,
        value=error.value,
        limit=error.limit,
        remedy=error.remedy,
    )


def _find_files(request: Request) -> Iterator[File]:
    for turn in request.turns:
        for result in turn.parts:
            if isinstance(result, ToolResult):
                yield from (part for part in result.parts if isinstance(part, File))


def _is_read(file: File) -> bool:
    return not (isinstance(file.source, Url) and is_link(file.source.url))


def _count_inline(part: Media) -> int:
    match part:
        case Image():
            return 0 if is_remote_source(part.source) else 1
        case Video(source=Frames(frames=frames)):
            return sum(not is_remote_source(frame) for frame in frames)
        case _:
            return 0


def _is_remote_media(source: Source | Frames) -> bool:
    if isinstance(source, Frames):
        return all(is_remote_source(frame) for frame in source.frames)
    return is_remote_source(source)


def _is_same(new: Any, old: Any) -> bool:
    return all(ours is theirs for ours, theirs in zip(new, old, strict=True))
