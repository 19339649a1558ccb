"""From a request whose media may be anywhere to one whose media can go on the wire.

Each part has a slot. The slots are filled in order of cost: text and pages, then what is sent as
it is or encoded, then frames of videos, then uploads. The request is rebuilt once, at the end.
What holds for one image or one file stands in its own module.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

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
    Unsupported,
    Url,
    Video,
)
from qwen_vl.errors import (
    ConfigurationError,
    ContentError,
    MediaTooLargeError,
    RequestTooLargeError,
    warn,
)
from qwen_vl.media.audio import prepare_audio
from qwen_vl.media.decoding import decoding_limited
from qwen_vl.media.downscale import Resize, find_resize
from qwen_vl.media.history import LEVELS, ImageBlur, find_newest_turn, forget_images
from qwen_vl.media.limits import (
    Budget,
    check_counts,
    check_frame_list,
    check_part,
    check_timestamps,
    is_remote_source,
)
from qwen_vl.media.part import (
    ImageOptions,
    check_image,
    prepare_image,
    prepare_image_part,
)
from qwen_vl.media.pdf.document import measure_pdf_pages, render_pages
from qwen_vl.media.slots import Content, Slot, Step, UploadJob, is_same, plan_slots
from qwen_vl.media.streams import prepare_video
from qwen_vl.media.tool_content import ToolNotes, is_link, to_audio_link
from qwen_vl.media.upload.storage import TemporaryStorage, check_upload, upload_video
from qwen_vl.media.video.container import has_av
from qwen_vl.media.video.cut import SamplingJob, cut_video
from qwen_vl.media.video.file import open_file
from qwen_vl.media.video.mode import SamplingPlan, find_reason_to_cut, plan_sampling
from qwen_vl.media.video.probe import check_plays, probe
from qwen_vl.request.types import Request
from qwen_vl.specs.frame_times import are_even, find_fps
from qwen_vl.specs.models import MAX_INLINE_IMAGES, MIN_FRAMES
from qwen_vl.specs.servers import get_server_spec
from qwen_vl.specs.vision import DEFAULT_FPS


def prepare_media(request: Request, storage: TemporaryStorage | None = None) -> Request:
    """Read every file, check every limit, and give each part a URL that can be sent.

    `http:`, `https:` and `oss:` URLs are passed on and never fetched. All else becomes a
    data URL whose type is that of the bytes. Images go out byte for byte, except for
    three kinds. Those that are larger than the model processes are downscaled to that size, see
    `MediaPolicy.downscale_images`. Those that came as pixels, and still ones in formats that the
    service does not list (GIF, AVIF), become PNG, or JPEG of quality 95 where the PNG is longer
    than `max_inline_bytes` and nothing is transparent. The pages of PDF documents become images,
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
        ConfigurationError: A video must be uploaded, but no storage was passed.
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
    turns = forget_images(request.turns, request.policy.history_images)
    n_earlier = find_newest_turn(turns)
    plans = [plan_slots(turn, is_earlier=index < n_earlier) for index, turn in enumerate(turns)]
    slots = [slot for plan in plans for slot in plan.slots]
    if slots:
        with decoding_limited(request.policy.max_decode_memory):
            _Preparation(request, storage, notes).fill(slots)
    turns = tuple(plan.rebuild() for plan in plans)
    if not is_same(turns, request.turns):
        request = replace(request, turns=turns)
    if not notes.replaced:
        return request
    return replace(request, replaced=(*request.replaced, *notes.replaced))


def find_note(part: ToolPart, request: Request, *, is_earlier: bool = False) -> str | None:
    """Find the text that the model gets for a part, where it is not media.

    Nothing is encoded, rendered or logged, except where nothing else decides.

    Args:
        part: A part of a tool result, or of an earlier turn.
        request: What holds for the request: model, parameters, policy and server.
        is_earlier: Whether it is a part of an earlier turn, and of no tool result.

    Returns:
        A note, or the text of a file or link; `None` for what is sent as it is.

    Raises:
        ContentError: The part cannot be sent, and no note takes its place.

    Example:
        >>> from qwen_vl.content import Inline
        >>> drawing = Image(source=Inline(b"<svg/>"))
        >>> find_note(drawing, Request(model="qwen3-vl-plus", turns=()))
        'image/svg+xml cannot be shown: Expected an image, but this looks like an SVG drawing.'
    """
    notes = ToolNotes(request.policy, is_logged=False)
    preparation = _Preparation(request, None, notes)
    if not is_earlier:
        known = preparation.read(part)
        if known is not part:
            return getattr(known, "text", None)
    try:
        if isinstance(part, Document):
            measured = measure_pdf_pages(part, request.policy)
            part = measured if isinstance(measured, Image) else part
        preparation.check(part)
        with decoding_limited(request.policy.max_decode_memory):
            preparation.verify(part)
    except ContentError as error:
        replace_part = notes.replace_earlier if is_earlier else notes.replace
        return replace_part(part, error).text
    return None


def prepare_single(image: Image, request: Request) -> Image:
    """Prepare one image of a request for questions about places in it.

    Args:
        image: One that the request holds.
        request: What holds for it: model, parameters, policy and server.

    Returns:
        The same image with a source that can be sent, which knows its size.

    Raises:
        MediaError: It cannot be sent.

    Example:
        >>> from PIL import Image as PillowImage
        >>> from qwen_vl.content import Pixels
        >>> square = Image(source=Pixels(PillowImage.new("RGB", (64, 48))))
        >>> prepare_single(square, Request(model="qwen3-vl-plus", turns=())).source.original_size
        (64, 48)
    """
    preparation = _Preparation(request, None, ToolNotes(request.policy))
    preparation.check(image)
    options = preparation.options_of(image)
    return replace(image, source=prepare_image(image.source, request.policy, image.where, options))


def prepare_page(page: Image | Document, request: Request) -> Image:
    """Prepare one page of a document without the label that is before it in a conversation.

    Args:
        page: An image, or a document of which one page is wanted.
        request: What holds for it: model, parameters, policy and server.

    Returns:
        An image whose source can be sent.

    Raises:
        MediaError: It cannot be sent.
    """
    preparation = _Preparation(request, None, ToolNotes(request.policy))
    image: Any = page
    if isinstance(page, Document):
        image = render_pages(page, request.policy, preparation.find_page_resize(page))[-1]
    made: Any = prepare_image_part(image, request.policy, preparation.options_of(image))
    return made[-1] if isinstance(made, list) else made  # type: ignore[no-any-return]  # Images.


def needs_io(request: Request) -> bool:
    """Return whether `prepare_media` will read, decode or encode anything.

    Args:
        request: Any request.

    Returns:
        `False` if every part is text or an `http:`, `https:` or `oss:` URL.

    Example:
        >>> needs_io(Request(model="qwen3-vl-plus", turns=()))
        False
    """
    return any(map(_is_read, _find_parts(request)))


def wants_upload(request: Request) -> bool:
    """Return whether `prepare_media` may have to put a video into the temporary storage.

    Args:
        request: Any request.

    Example:
        >>> wants_upload(Request(model="qwen3-vl-plus", turns=()))
        False
    """
    by_policy = request.policy.video_mode == "upload"
    return any(
        part.video_mode == "upload" or (by_policy and part.video_mode is None)
        for part in _find_parts(request)
        if isinstance(part, Video)
    )


def _find_parts(request: Request) -> Iterator[Part | ToolPart]:
    for turn in request.turns:
        for part in turn.parts:
            if isinstance(part, ToolResult):
                yield from part.parts
            else:
                yield part


def _is_read(part: Part | ToolPart) -> bool:
    match part:
        case File(source=Url(url=url)):
            return not is_link(url)
        case Document() | File():
            return True
        case Image() | Video() | Audio():
            return not _is_remote_media(part.source)
        case _:
            return False


class _Preparation:
    """The steps by which the slots of one request are filled, and what they share.

    Videos that are cut into frames come after all that has a fixed length: their bytes can be made
    to fit. Uploads come last: nothing leaves for a request that is refused here.
    """

    def __init__(
        self, request: Request, storage: TemporaryStorage | None, notes: ToolNotes
    ) -> None:
        self._request = request
        self._policy = request.policy
        self._server = get_server_spec(request.server)
        self._carries_max_frames = request.protocol == "native"
        self._storage = storage
        self._notes = notes
        self._budget = Budget(request.policy.max_total_inline_bytes)
        self._spec = request.spec
        self._n_inline = 0
        self._n_left = 0
        self._n_jobs = 0
        self._n_reserved = 0

    def fill(self, slots: list[Slot]) -> None:
        """Fill all slots, the cheap ones first."""
        # What stands in tool results as files, links or unsupported content becomes text.
        for slot in slots:
            if slot.is_from_tool:
                slot.apply(self.read, self._notes)
        self._run(self.render, slots)
        self._run(self.check, slots)
        self._check_counts(slots)
        # What the model has answered is made to fit into the room that the newest turn leaves.
        self._run(self._prepare_within_budget, [slot for slot in slots if not slot.is_earlier])
        self._n_jobs = sum(map(_holds_job, slots))
        self._fill_earlier([slot for slot in slots if slot.is_earlier])
        # A TIFF may have become several images.
        self._check_counts(slots)
        self._n_left = sum(isinstance(held, SamplingJob) for slot in slots for held in slot.content)
        self._run(self._cut, slots)
        self._run(self._upload, slots)

    def read(self, part: Any) -> Any:
        """Put text in the place of files, links and unsupported content from a tool."""
        if isinstance(part, Audio) and not self._request.takes_audio:
            part = to_audio_link(part)
        return self._notes.read(part, self._policy)

    def _check_counts(self, slots: list[Slot]) -> None:
        media = list(_find_media(slots))
        check_counts(media, self._request.known_model, self._request.server)
        self._n_inline = sum(map(_count_inline, media))

    def _run(self, step: Step, slots: list[Slot]) -> None:
        for slot in slots:
            slot.apply(step, self._notes)

    def render(self, part: Content) -> "Content | list[Content]":
        """Put the pages of a document in its place."""
        if not isinstance(part, Document):
            return part
        return list(render_pages(part, self._policy, self.find_page_resize(part)))

    def find_page_resize(self, part: Document) -> Resize | None:
        """Return the rule by which the pages of a document are rendered no larger than seen."""
        page = Image(
            source=part.source,
            min_pixels=part.min_pixels,
            max_pixels=part.max_pixels,
            where=part.where,
        )
        self.check(page)
        return find_resize(page, self._request)

    def check(self, part: Any) -> Any:
        """Check what can be checked before the first file is opened."""
        if isinstance(part, Unsupported):
            raise part.error
        if isinstance(part, Image | Video | Audio):
            check_part(part, self._request.known_model, self._request.server)
        if isinstance(part, Video):
            check_timestamps(part)
            self._resolve(part)
        return part

    def verify(self, part: ToolPart) -> None:
        """Check that a part from a tool can be prepared, encoding as little as possible.

        Raises:
            ContentError: It cannot be sent.
        """
        match part:
            case Image():
                check_image(part.source, self._policy, part.where, self.options_of(part), part)
            case Video(source=Frames(frames=frames)):
                options = self.options_of(part)
                for number, frame in enumerate(frames):
                    check_image(frame, self._policy, f"{part.where}.video[{number}]", options)
            case Video():
                made = self._prepare(part)
                if isinstance(made, SamplingJob) and has_av():
                    self._probe(made)
            case Audio():
                self._prepare(part)

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

    def _prepare_within_budget(self, part: Any) -> "Content | list[Content]":
        made = self._prepare(part)
        # Counted once all of it can be sent: parts that cannot be sent do not count.
        for piece in made if isinstance(made, list) else [made]:
            self._spend(piece)
        return made

    def _fill_earlier(self, slots: list[Slot]) -> None:
        """Prepare earlier turns, their images as sharp as there is room for all of them."""
        given = [(slot, slot.content) for slot in slots]
        self._prepare_earlier(slots)
        if self._budget.left < sum(_count_bytes(slot.content) for slot in slots):
            # Videos that were sent whole are sampled instead.
            self._n_reserved = self._budget.left
            for slot, content in given:
                if any(map(_is_whole_video, slot.content)):
                    slot.content = content
                    slot.apply(self._prepare, self._notes)
        self._run(self._spend, slots)

    def _prepare_earlier(self, slots: list[Slot]) -> None:
        blur = ImageBlur(self._policy)
        sharp: list[tuple[Slot, list[Content]]] = []
        level = 0
        for slot in slots:
            slot.apply(self._prepare, self._notes)
            sharp.append((slot, slot.content))
            if not any(isinstance(made, Image) for made in slot.content):
                # What cannot be encoded again takes room from videos behind it.
                self._n_reserved += _count_bytes(slot.content)
            slot.content = blur.apply(slot.content, LEVELS[level])
            while level + 1 < len(LEVELS) and self._is_too_much([held for held, _ in sharp]):
                level += 1
                for held, content in sharp:
                    held.content = blur.apply(content, LEVELS[level])

    def _is_too_much(self, slots: list[Slot]) -> bool:
        # Half of the room is kept for videos that are sampled at the end, the newest among them.
        is_shared = self._n_jobs or any(map(_holds_job, slots))
        room = self._budget.left // 2 if is_shared else self._budget.left
        return sum(_count_bytes(slot.content) for slot in slots) > room

    def _prepare(self, part: Any) -> "Content | list[Content]":
        match part:
            case Image():
                pages = prepare_image_part(part, self._policy, self.options_of(part))
                return list(pages) if isinstance(pages, list) else pages
            case Audio():
                return prepare_audio(part, self._request)
            case Video(source=Frames() as frames):
                return self._prepare_frames(part, frames)
            case Video(source=source) if not isinstance(source, Frames):
                return self._prepare_video(part, source)
        content: Content = part
        return content

    def _prepare_frames(self, part: Video, frames: Frames) -> Video:
        times = part.timestamps
        if times is not None and part.fps is None:
            part = replace(part, fps=find_fps(times))
        fps = part.fps or DEFAULT_FPS
        # Where frames are sent as images, a text before them states their times.
        is_told = self._policy.scales_times or self._server.frames == "images"
        if times is not None and not is_told and not are_even(times, fps):
            warn(
                f"{part.where}: The model dates frame i to i / {fps:g} seconds, so that times in "
                "its answer are not those of timestamps. timeline(…) converts them."
            )
        options = self.options_of(part)
        sources: tuple[Source, ...] = tuple(
            prepare_image(frame, self._policy, f"{part.where}.video[{number}]", options)
            for number, frame in enumerate(frames.frames)
        )
        if self._server.frames == "video/jpeg":
            check_frame_list(sources, self._request.processor, part.where)
        if is_same(sources, frames.frames):
            return part
        return replace(part, source=replace(frames, frames=sources))

    def _prepare_video(self, part: Video, source: Source) -> Content:
        cut = self._resolve(part)
        if self._carries_max_frames and part.max_frames is None and self._policy.max_frames:
            part = replace(part, max_frames=self._policy.max_frames)
        if cut.mode == "upload" and not is_remote_source(source):
            check_upload(part, source, self._policy)
            return UploadJob(part=part, source=source)
        left = self._budget.left - self._n_reserved
        reason = find_reason_to_cut(part, cut, self._policy, left, self._server)
        if reason:
            return SamplingJob(part=part, source=source, cut=cut, reason=reason)
        if self._policy.max_frames and is_remote_source(source) and not self._carries_max_frames:
            warn(
                f"{part.where}: max_frames does not reach videos given by URL: the service "
                "takes as many frames as fps says. Lower fps for them."
            )
        return _with_source(part, prepare_video(source, self._policy, part.where, check_plays))

    def _spend(self, made: Content) -> Content:
        for data_url, where in _find_inlined(made):
            self._budget.spend(data_url.n_bytes, where)
        return made

    def _cut(self, job: Content) -> Content:
        """Put the frames of a video in its place; what room is left is shared evenly."""
        if not isinstance(job, SamplingJob):
            return job
        n_left, self._n_left = self._n_left, self._n_left - 1
        limit = self._budget.left // n_left
        job = replace(job, max_frames=self._max_frames(n_left))
        try:
            made = cut_video(job, self._request, limit)
        except RequestTooLargeError as error:
            if limit < self._policy.max_total_inline_bytes:
                raise
            # It would not fit into a separate request either.
            raise _as_own_fault(error) from error
        self._n_inline += _count_inline(made.video)
        self._budget.spend(made.n_bytes, made.video.where)
        return made.video

    def _max_frames(self, n_left: int) -> int | None:
        """Share what images a request may hold among the videos that wait.

        unsure: no page says whether frames count as images; a request that is refused is worse
        than one that holds fewer.
        """
        if self._server.tokens != "service":
            return None
        return max((MAX_INLINE_IMAGES - self._n_inline) // n_left, MIN_FRAMES)

    def _upload(self, job: Content) -> Content:
        """Put the URL of an uploaded video in its place."""
        if not isinstance(job, UploadJob):
            return job
        video = job.part
        if self._storage is None:
            raise ConfigurationError(
                f'{video.where}: video_mode="upload" needs the temporary storage of the service, '
                "which self-hosted servers lack. Set another video_mode."
            )
        url = upload_video(video, job.source, self._policy, self._storage, self._request.model)
        return replace(video, source=Url(url), video_mode=None)

    def options_of(self, part: Image | Video) -> ImageOptions:
        """Return how an image, or the frames of a video, are prepared."""
        is_frame = isinstance(part, Video)
        return ImageOptions(
            resize=find_resize(part, self._request),
            as_jpeg=is_frame and self._server.frames == "video/jpeg",
            limits=self._server.image_limits(self._request.processor),
        )


def _find_inlined(made: Content) -> Iterator[tuple[DataUrl, str]]:
    if isinstance(made, SamplingJob | UploadJob):
        return
    source = getattr(made, "source", None)
    if isinstance(source, DataUrl):
        yield source, made.where
    elif isinstance(source, Frames):
        for number, frame in enumerate(source.frames):
            if isinstance(frame, DataUrl):
                yield frame, f"{made.where}.video[{number}]"


def _is_whole_video(made: Content) -> bool:
    return isinstance(made, Video) and isinstance(made.source, DataUrl)


def _holds_job(slot: Slot) -> bool:
    return any(isinstance(held, SamplingJob) for held in slot.content)


def _count_bytes(content: list[Content]) -> int:
    return sum(held.n_bytes for made in content for held, _ in _find_inlined(made))


def _with_source(part: Media, ready: Any) -> Media:
    return part if part.source is ready else replace(part, source=ready)


def _as_own_fault(error: RequestTooLargeError) -> MediaTooLargeError:
    return MediaTooLargeError(
        error.problem,
        where=error.where,
        value=error.value,
        limit=error.limit,
        remedy=error.remedy,
    )


def _find_media(slots: list[Slot]) -> Iterator[Media]:
    for slot in slots:
        yield from (held for held in slot.content if isinstance(held, Image | Video | Audio))


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
