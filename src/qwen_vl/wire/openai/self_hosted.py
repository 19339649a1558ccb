"""Bodies for self-hosted servers: what `qwen_vl.specs.servers` says of each, carried out.

What a server does not support raises where it would change the answer, and warns where
the model only looks less closely or thinks as long as it likes. Nothing is sent to be passed over.
"""

from collections.abc import Mapping, Sequence

from qwen_vl.content import (
    Audio,
    DataUrl,
    Frames,
    Image,
    Source,
    Text,
    Video,
    is_stored,
    is_web,
)
from qwen_vl.errors import ConfigurationError, UnsupportedContentError, warn
from qwen_vl.reply import omit_none
from qwen_vl.request.cache_control import write_marker
from qwen_vl.request.shared_options import SharedOptions
from qwen_vl.request.types import Request
from qwen_vl.specs.processors import Family
from qwen_vl.specs.servers import ServerSpec, get_server_spec
from qwen_vl.wire.body import Attachment
from qwen_vl.wire.encode import Json, PartEncoder, encode_turns, to_wire_url

_OLLAMA_IMAGES = frozenset({"image/png", "image/jpeg", "image/webp"})


def encode_for_own_server(request: Request) -> Json:
    """Create the body for a self-hosted server.

    Args:
        request: What to ask; its media is ready.

    Raises:
        UnsupportedContentError: The server takes no such part.
        ConfigurationError: The server cannot do what is asked for.
    """
    spec = get_server_spec(request.server)
    encoder = SelfHostedEncoder(spec, request.processor)
    messages = encode_turns(request, encoder)
    parameters = _translate(request, spec, encoder.unread)
    for message in messages:
        if message.pop("partial", False):
            parameters.update(_go_on(spec))
    encoder.shared.warn()
    if encoder.unread:
        warn(f"{spec.title} does not read {_list(encoder.unread)} from a request: left out.")
    return {
        "model": request.model,
        "messages": messages,
        **({"stream": True} if request.stream else {}),
        **encoder.parameters(),
        **parameters,
    }


class SelfHostedEncoder(PartEncoder):
    """How one self-hosted server has parts written, and what it wants said once for all of them.

    Args:
        spec: The server.
        family: Whose processor scales images and videos.
    """

    def __init__(self, spec: ServerSpec, family: Family) -> None:
        self._spec = spec
        self.shared = SharedOptions(spec.title, family)
        self.reasoning = spec.reasoning
        self.unread: set[str] = set()

    def parameters(self) -> Json:
        """Return what is said once for all parts."""
        return self.shared.body()

    def text(self, text: Text) -> Json:
        """Write words."""
        self._pass_over(**write_marker(text.cache_control))
        return {"type": "text", "text": text.text}

    def image(self, image: Image) -> Json:
        """Write an image."""
        url = self._url(image.source, "images", image.where)
        self._limit(image)
        self._pass_over(enable_rotate=image.enable_rotate, **write_marker(image.cache_control))
        detail = image.detail if self._spec.takes_detail else None
        if not self._spec.takes_detail:
            self._pass_over(detail=image.detail)
        return {"type": "image_url", "image_url": {"url": url, **omit_none(detail=detail)}}

    def video(self, video: Video) -> list[Json]:
        """Encode a video: a separate part, or its frames as images."""
        self._pass_over(**write_marker(video.cache_control))
        if isinstance(video.source, Frames):
            if self._spec.frames == "images":
                return self._images(video, video.source)
            url: str | Attachment = self._join(video.source, video.where)
        else:
            url = self._url(video.source, "videos", video.where)
        self._limit(video)
        match self._spec.video:
            case "video_url":
                return [{"type": "video_url", "video_url": {"url": url}}]
            case "input_video":
                return [{"type": "input_video", "input_video": _held(url)}]
            case None:
                raise self._refusal(
                    "no video files",
                    video.where,
                    'Pass a local file, of which frames are sent: video_mode="frames" or "auto".',
                )

    def audio(self, audio: Audio) -> Json:
        """Encode audio, by its URL or as Base64 with its format."""
        spec = self._spec
        if spec.audio is None:
            raise self._refusal("no audio", audio.where, "Leave it out.")
        url = self._url(audio.source, "audio", audio.where)
        if spec.audio == "audio_url":
            return {"type": "audio_url", "audio_url": {"url": url}}
        if not isinstance(url, Attachment):
            raise self._refusal(
                "no audio by URL", audio.where, "Download it, and give its bytes or a pathlib.Path."
            )
        if spec.audio_formats and audio.format not in spec.audio_formats:
            wanted = " and ".join(name.upper() for name in spec.audio_formats)
            raise self._refusal(
                f"audio as {wanted} only", audio.where, f"Convert this {audio.format.upper()} file."
            )
        data = Attachment(url.url, is_bare=True)
        return {"type": "input_audio", "input_audio": {"data": data, "format": audio.format}}

    def user_content(self, parts: list[Json]) -> str | list[Json]:
        """Encode the content of a system or user message: a single text becomes a string."""
        if len(parts) == 1 and parts[0]["type"] == "text":
            return str(parts[0]["text"])
        return parts or ""

    def assistant_content(self, texts: list[Json]) -> str | list[Json]:
        """Write the content of an assistant's message."""
        return "".join(text["text"] for text in texts)

    def _url(self, source: Source, kind: str, where: str) -> str | Attachment:
        url = to_wire_url(source)
        if isinstance(url, Attachment):
            self._check_type(url.url, kind, where)
            return url
        if is_stored(url):
            raise self._refusal(
                "no oss:// URLs", where, "They are the hosted service's own; give the file."
            )
        if is_web(url) and not self._spec.takes_urls:
            raise self._refusal(
                f"no {kind} by URL", where, "Download it, and give its bytes or a pathlib.Path."
            )
        return url

    def _check_type(self, url: DataUrl, kind: str, where: str) -> None:
        is_odd = kind == "images" and url.media_type not in _OLLAMA_IMAGES
        if is_odd and not self._spec.takes_urls:
            raise self._refusal(f"no {url.media_type}", where, "Pass it as PNG, JPEG or WEBP.")

    def _join(self, frames: Frames, where: str) -> str:
        images = [
            frame.url.removeprefix(frame.prefix)
            for frame in frames.frames
            if isinstance(frame, DataUrl) and frame.media_type == "image/jpeg"
        ]
        if len(images) < len(frames.frames):
            raise self._refusal(
                "a list of frames only as JPEG within the request",
                where,
                "Pass the frames as files or bytes.",
            )
        return "data:video/jpeg;base64," + ",".join(images)

    def _images(self, video: Video, frames: Frames) -> list[Json]:
        label = label_frames(len(frames.frames), video.fps, video.timestamps)
        images = (
            Image(
                source=frame,
                min_pixels=video.min_pixels,
                max_pixels=video.max_pixels,
                where=f"{video.where}.video[{number}]",
            )
            for number, frame in enumerate(frames.frames)
        )
        self._pass_over(total_pixels=video.total_pixels)
        return [{"type": "text", "text": label}, *map(self.image, images)]

    def _limit(self, part: Image | Video) -> None:
        """Send pixel limits and video sampling the way the server reads them."""
        if self._spec.pixels == "mm_processor_kwargs":
            self.shared.add(part)
            self.unread |= self.shared.unread
            return
        limits = omit_none(min_pixels=part.min_pixels, max_pixels=part.max_pixels)
        if isinstance(part, Video):
            limits |= omit_none(total_pixels=part.total_pixels, fps=part.fps)
        elif isinstance(part.source, DataUrl):
            # Larger images were downscaled to it before they came here.
            limits.pop("max_pixels", None)
        self._pass_over(**limits)

    def _pass_over(self, **options: object) -> None:
        self.unread.update(name for name, value in options.items() if value is not None)

    def _refusal(self, what: str, where: str, remedy: str) -> UnsupportedContentError:
        return UnsupportedContentError(
            f"{self._spec.title} takes {what}.", where=where, remedy=remedy
        )


def label_frames(
    n_frames: int, fps: float | None, timestamps: Sequence[float] | None = None
) -> str:
    """Return the text before frames that are sent as images: the only way to state their times.

    Args:
        n_frames: Number of frames.
        fps: How many were taken in a second, if that is known.
        timestamps: Seconds at which each was taken, where they are not evenly spaced.

    Example:
        >>> label_frames(4, 2.0)
        'The next 4 pictures are frames of a video, taken at 2 per second, in order.'
        >>> label_frames(4, None, [0.0, 1.5, 9.0, 61.0])
        'The next 4 pictures are frames of a video, taken at 0, 1.5, 9, 61 seconds, in order.'
    """
    taken = "" if fps is None else f", taken at {fps:g} per second"
    if timestamps is not None:
        taken = f", taken at {', '.join(f'{time:g}' for time in timestamps)} seconds"
    return f"The next {n_frames} pictures are frames of a video{taken}, in order."


def _translate(request: Request, spec: ServerSpec, unread: set[str]) -> Json:
    """Put the parameters where the server reads them."""
    parameters_of_request = dict(request.parameters)
    template = dict(parameters_of_request.pop("chat_template_kwargs", None) or {})
    parameters: Json = {}
    for name, value in parameters_of_request.items():
        if name in request.extra_body:
            parameters[name] = value
        elif name in spec.template_parameters:
            template.setdefault(name, value)
        elif name == "enable_thinking":
            parameters.setdefault(spec.thinking, "medium" if value else "none")
        elif name == "thinking_budget":
            if spec.thinking_budget is None:
                unread.add(name)
            else:
                parameters[spec.thinking_budget] = value
        elif name in spec.unread:
            unread.add(name)
        else:
            parameters[spec.renamed.get(name, name)] = value
    if template:
        parameters["chat_template_kwargs"] = template
    return _force_tools(parameters, spec, unread)


def _force_tools(parameters: Json, spec: ServerSpec, unread: set[str]) -> Json:
    choice = parameters.get("tool_choice")
    if not (isinstance(choice, Mapping) or choice == "required"):
        return parameters
    if spec.forced_tools == "no":
        unread.add("tool_choice")
        return {name: value for name, value in parameters.items() if name != "tool_choice"}
    if spec.forced_tools == "required" and isinstance(choice, Mapping):
        # The only tool that is offered is as good as one that is named.
        wanted = choice.get("function", {}).get("name")
        tools = [tool for tool in parameters.get("tools", ()) if tool["function"]["name"] == wanted]
        return {**parameters, "tools": tools, "tool_choice": "required"}
    return parameters


def _go_on(spec: ServerSpec) -> Mapping[str, bool]:
    if spec.partial is None:
        raise ConfigurationError(
            f"{spec.title} cannot go on with an assistant's message. End with a user's."
        )
    return spec.partial


def _held(url: str | Attachment) -> Json:
    if isinstance(url, Attachment):
        return {"data": Attachment(url.url, is_bare=True)}
    if is_web(url):
        return {"url": url}
    return {"data": url.partition(",")[2]}


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))
