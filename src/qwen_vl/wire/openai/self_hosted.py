"""Bodies for servers of one's own: what `qwen_vl.specs.servers` says of each, carried out.

What a server cannot be told is refused where the answer would be another one, and warned of where
the model only looks less closely or thinks as long as it likes. Nothing is sent to be passed over.
"""

import warnings
from collections.abc import Mapping
from typing import Any

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
from qwen_vl.errors import ConfigurationError, UnsupportedContentError
from qwen_vl.reply import omit_none
from qwen_vl.request.types import Request
from qwen_vl.specs.models import get_model_spec
from qwen_vl.specs.servers import ServerSpec, get_server_spec
from qwen_vl.wire.body import Attachment
from qwen_vl.wire.encode import Json, PartEncoder, encode_turns, to_wire_url

_OLLAMA_IMAGES = frozenset({"image/png", "image/jpeg", "image/webp"})
# Both processors take a clip in pairs of frames.
_FRAMES_PER_STEP = 2
_SQUARES_OF_QWEN25 = 28


def encode_for_own_server(request: Request) -> Json:
    """Make the body for a server of one's own.

    Args:
        request: What to ask; its media is ready.

    Raises:
        UnsupportedContentError: The server takes no such part.
        ConfigurationError: The server cannot do what is asked for.
    """
    spec = get_server_spec(request.server)
    encoder = SelfHostedEncoder(
        spec, is_clip_limited=get_model_spec(request.model).factor != _SQUARES_OF_QWEN25
    )
    messages = encode_turns(request, encoder)
    parameters = _translate(request, spec, encoder.unread)
    for message in messages:
        if message.pop("partial", False):
            parameters.update(_go_on(spec))
    if encoder.unread:
        warnings.warn(
            f"{spec.title} cannot be told {_list(encoder.unread)} in a request: it is left out.",
            UserWarning,
            stacklevel=2,
        )
    return {
        "model": request.model,
        "messages": messages,
        **({"stream": True} if request.stream else {}),
        **encoder.parameters(),
        **parameters,
    }


class SelfHostedEncoder(PartEncoder):
    """How one server of one's own has parts written, and what it wants said once for all of them.

    Args:
        spec: The server.
        is_clip_limited: Whether limits of a video's pixels are those of all frames together, as
            for Qwen3-VL, and not those of each.
    """

    def __init__(self, spec: ServerSpec, *, is_clip_limited: bool) -> None:
        self._spec = spec
        self._is_clip_limited = is_clip_limited
        self._limits: dict[str, dict[str, tuple[int, str]]] = {}
        self._media: dict[str, tuple[float, str]] = {}
        self.reasoning = spec.reasoning
        self.unread: set[str] = set()

    def parameters(self) -> Json:
        """Give what is said once for all parts."""
        limits = {
            kind: {name: value for name, (value, _) in held.items()}
            for kind, held in self._limits.items()
        }
        media = {name: value for name, (value, _) in self._media.items()}
        return omit_none(
            mm_processor_kwargs=limits or None,
            media_io_kwargs={"video": media} if media else None,
        )

    def text(self, text: Text) -> Json:
        """Write words."""
        self._pass_over(cache_control=text.cache_control)
        return {"type": "text", "text": text.text}

    def image(self, image: Image) -> Json:
        """Write a picture."""
        url = self._url(image.source, "pictures", image.where)
        self._limit("images_kwargs", image)
        self._pass_over(cache_control=image.cache_control, enable_rotate=image.enable_rotate)
        detail = image.detail if self._spec.takes_detail else None
        if not self._spec.takes_detail:
            self._pass_over(detail=image.detail)
        return {"type": "image_url", "image_url": {"url": url, **omit_none(detail=detail)}}

    def video(self, video: Video) -> list[Json]:
        """Write a video: a part of its own, or its frames as pictures."""
        self._pass_over(cache_control=video.cache_control)
        if isinstance(video.source, Frames):
            if self._spec.frames == "pictures":
                return self._images(video, video.source)
            url: str | Attachment = self._join(video.source, video.where)
            # unsure: from vLLM's source, not measured: it looks at 32 of them otherwise.
            self._resolve(self._media, "num_frames", -1, video.where)
        else:
            url = self._url(video.source, "videos", video.where)
        self._limit_clip(video)
        if self._spec.fps is None:
            self._pass_over(fps=video.fps)
        elif video.fps is not None:
            self._resolve(self._media, "fps", video.fps, video.where)
        match self._spec.video:
            case "video_url":
                return [{"type": "video_url", "video_url": {"url": url}}]
            case "input_video":
                return [{"type": "input_video", "input_video": _held(url)}]
            case None:
                raise self._refusal(
                    "no video files",
                    video.where,
                    'Give a local file, of which frames are sent: video_mode="frames" or "auto".',
                )

    def audio(self, audio: Audio) -> Json:
        """Refuse a sound: no server of one's own was found to take the service's form."""
        raise self._refusal("no sounds in the service's form", audio.where, "Leave it out.")

    def user_content(self, parts: list[Json]) -> str | list[Json]:
        """Write the content of a system's or a user's message: words alone as they are."""
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
                "no oss:// addresses", where, "They are the hosted service's own; give the file."
            )
        if is_web(url) and not self._spec.takes_urls:
            raise self._refusal(
                f"no {kind} by address", where, "Download it, and give its bytes or a pathlib.Path."
            )
        return url

    def _check_type(self, url: DataUrl, kind: str, where: str) -> None:
        is_odd = kind == "pictures" and url.media_type not in _OLLAMA_IMAGES
        if is_odd and not self._spec.takes_urls:
            raise self._refusal(f"no {url.media_type}", where, "Give it as PNG, JPEG or WEBP.")

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
                "Give the frames as files or bytes.",
            )
        return "data:video/jpeg;base64," + ",".join(images)

    def _images(self, video: Video, frames: Frames) -> list[Json]:
        # The only way that is left to say it.
        rate = "" if video.fps is None else f", taken at {video.fps:g} per second"
        label = f"The next {len(frames.frames)} pictures are frames of a video{rate}, in order."
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

    def _limit(self, kind: str, image: Image) -> None:
        limits = omit_none(min_pixels=image.min_pixels, max_pixels=image.max_pixels)
        if self._spec.pixels is None:
            if isinstance(image.source, DataUrl):
                # Larger pictures were shrunk to it before they came here.
                limits.pop("max_pixels", None)
            self._pass_over(**limits)
            return
        for name, value in limits.items():
            self._resolve(self._limits.setdefault(kind, {}), name, value, image.where)

    def _limit_clip(self, video: Video) -> None:
        """Say how many pixels a clip may have, as far as it can be said."""
        names = ("min_pixels", "max_pixels", "total_pixels")
        limits = omit_none(**{name: getattr(video, name) for name in names})
        if self._spec.pixels is None:
            self._pass_over(**limits)
            return
        total = limits.pop("total_pixels", None)
        if self._is_clip_limited:
            limits = self._clip_limits(video, limits, total)
        else:
            self._pass_over(total_pixels=total)
        for name, value in limits.items():
            self._resolve(self._limits.setdefault("videos_kwargs", {}), name, value, video.where)

    def _clip_limits(self, video: Video, each: Json, total: int | None) -> Json:
        # `total_pixels` is the service's, of pairs of frames; here every frame counts.
        most = None if total is None else total * _FRAMES_PER_STEP
        if isinstance(video.source, Frames):
            n_frames = len(video.source.frames)
            limits = {name: value * n_frames for name, value in each.items()}
            if most is not None:
                limits["max_pixels"] = min(limits.get("max_pixels", most), most)
            return limits
        # How many frames there are, only the server will know.
        self._pass_over(**each)
        return omit_none(max_pixels=most)

    def _resolve(self, held: dict[str, tuple[Any, str]], name: str, value: Any, where: str) -> None:
        first, place = held.setdefault(name, (value, where))
        if first != value:
            raise UnsupportedContentError(
                f"{self._spec.title} takes one {name} for all parts of a kind in a request; this "
                f"one has {value}, and {place} has {first}.",
                where=where,
                remedy="Give all the same, or ask in several requests.",
            )

    def _pass_over(self, **options: object) -> None:
        self.unread.update(name for name, value in options.items() if value is not None)

    def _refusal(self, what: str, where: str, remedy: str) -> UnsupportedContentError:
        return UnsupportedContentError(
            f"{self._spec.title} takes {what}.", where=where, remedy=remedy
        )


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
