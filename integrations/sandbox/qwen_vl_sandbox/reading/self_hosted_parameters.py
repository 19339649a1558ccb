"""Reading what a request asks of the answer as servers that hold the model themselves do."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from qwen_vl_sandbox.errors.api_error import reject
from qwen_vl_sandbox.json_schema import matching_text
from qwen_vl_sandbox.reading.conversation import Options, Tool
from qwen_vl_sandbox.reading.self_hosted_messages import (
    DEFAULT_LIST,
    MediaOptions,
    holds_frame_list,
)
from qwen_vl_sandbox.reading.validation import Fields
from qwen_vl_sandbox.specs.servers import Server

LONGEST_CONTEXT = 262_144
"""Tokens of a prompt and its answer together."""

_PIXELS = (("min_pixels", "max_pixels"), ("shortest_edge", "longest_edge"))
_STREAM_FIELDS = frozenset({"include_usage", "continuous_usage_stats"})
_OF_MEDIA = ("mm_processor_kwargs", "media_io_kwargs")
_KWARGS = frozenset({"min_pixels", "max_pixels", "size", "images_kwargs", "videos_kwargs"})


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an answer is to be sent."""

    stream: bool
    include_usage: bool
    running_usage: bool
    reasoning: Literal["apart", "within", "left_out"]


def unknown_parameters(body: dict[str, Any], server: Server) -> list[str]:
    """Name the fields that the server does not read."""
    found = [name for name in body if name not in server.fields]
    if isinstance(body.get("tool_choice"), dict) and not server.names_tools:
        found.append("tool_choice")
    for name, known in (("stream_options", _STREAM_FIELDS), ("mm_processor_kwargs", _KWARGS)):
        inner = body.get(name)
        if isinstance(inner, dict) and name in server.fields:
            found += [f"{name}.{key}" for key in inner if key not in known]
    media = body.get("media_io_kwargs")
    if isinstance(media, dict) and "media_io_kwargs" in server.fields:
        # The number of frames counts for lists of images only.
        read = {"fps", "num_frames"} if holds_frame_list(body.get("messages")) else {"fps"}
        for kind, settings in media.items():
            for key in settings if isinstance(settings, dict) else ():
                if kind != "video" or key not in read:
                    found.append(f"media_io_kwargs.{kind}.{key}")
    return found


def read_delivery(body: dict[str, Any], server: Server) -> Delivery:
    """Read how to send the answer."""
    fields = Fields(body)
    stream = fields.boolean("stream")
    options = fields.get("stream_options")
    if options is not None and not stream and server.checks_sampling:
        reject("Stream options can only be defined when `stream=True`.", code=server.shape_code)
    asked = Fields(options if isinstance(options, dict) else {}, "stream_options")
    reasoning: Literal["apart", "within", "left_out"] = "apart"
    if "include_reasoning" in server.fields and not fields.boolean(
        "include_reasoning", default=True
    ):
        reasoning = "left_out"
    if "separate_reasoning" in server.fields and not fields.boolean(
        "separate_reasoning", default=True
    ):
        reasoning = "within"
    return Delivery(
        stream,
        asked.boolean("include_usage"),
        asked.boolean("continuous_usage_stats"),
        reasoning,
    )


def read_options(body: dict[str, Any], server: Server, model: str) -> Options:
    """Read what is asked of the answer.

    Raises:
        ApiError: The server would not take it.
    """
    fields = Fields({name: value for name, value in body.items() if name in server.fields})
    if server.checks_sampling:
        fields.number("temperature", 0, 2)
        fields.number("top_p", 0, 1, low_excluded=True)
    # The sandbox gives one answer: more are refused here and given there.
    fields.integer("n", 1, 1)
    tools = _read_tools(fields.get("tools"), server)
    most = fields.integer("max_completion_tokens", 1, LONGEST_CONTEXT)
    if most is None:
        most = fields.integer("max_tokens", 1 if server.checks_sampling else -1, LONGEST_CONTEXT)
    logprobs = fields.boolean("logprobs") if isinstance(fields.get("logprobs"), bool) else False
    options = Options(
        thinking=_read_thinking(fields, server, model),
        thinking_budget=fields.integer("thinking_token_budget", 0, LONGEST_CONTEXT),
        tools=tools,
        tool_choice=_read_choice(fields.get("tool_choice"), tools, server),
        parallel_tool_calls=fields.boolean("parallel_tool_calls", default=True),
        stop=_read_stop(fields.get("stop")),
        max_completion_tokens=most if most is not None and most > 0 else None,
        cuts_calls=server.cuts_calls,
        logprobs=logprobs,
        top_logprobs=fields.integer("top_logprobs", 0, 20) or 0,
    )
    return _with_format(options, fields, server)


def read_media_options(body: dict[str, Any], server: Server) -> MediaOptions:
    """Read what a request says about all its media."""
    if "mm_processor_kwargs" not in server.fields:
        return MediaOptions()
    if not server.trusts_kwargs and any(body.get(name) is not None for name in _OF_MEDIA):
        reject(
            "Passing `mm_processor_kwargs` or `media_io_kwargs` requires "
            "`--trust-request-mm-kwargs`."
        )
    kwargs = _object(body, "mm_processor_kwargs")
    if kwargs.get("do_sample_frames") is True or isinstance(kwargs.get("fps"), list):
        reject("Failed to apply the processor on the data with these mm_processor_kwargs.")
    general = _pixels(kwargs)
    image = _pixels(_object(kwargs, "images_kwargs"))
    video = _pixels(_object(kwargs, "videos_kwargs"))
    settings = Fields(_object(_object(body, "media_io_kwargs"), "video"), "media_io_kwargs.video")
    frames = settings.integer("num_frames", -1, LONGEST_CONTEXT)
    if frames == 0:
        reject("num_frames must be greater than 0 or -1")
    return MediaOptions(
        image=image if any(image) else general,
        video=video if any(video) else general,
        fps=settings.number("fps", 0, float("inf"), low_excluded=True),
        num_frames=DEFAULT_LIST if frames is None else frames,
    )


def _object(values: dict[str, Any], name: str) -> dict[str, Any]:
    value = values.get(name)
    if value is None:
        return {}
    return value if isinstance(value, dict) else reject(f"{name} must be an object.")


def _pixels(kwargs: dict[str, Any]) -> tuple[int | None, int | None]:
    size = _object(kwargs, "size")
    if size and not {"shortest_edge", "longest_edge"} <= size.keys():
        # `Qwen2VLImageProcessor.resize` of transformers 5.19, and the same of videos.
        reject("`size` dict must contain 'shortest_edge' and 'longest_edge' keys.")
    found = {**kwargs, **size}
    fields = Fields(found, "mm_processor_kwargs")
    for low, high in _PIXELS:
        if low in found or high in found:
            most = 2**31
            return fields.integer(low, 1, most), fields.integer(high, 1, most)
    return None, None


def _read_thinking(fields: Fields, server: Server, model: str) -> bool:
    effort = fields.get("reasoning_effort")
    reasoning = fields.get("reasoning")
    if isinstance(reasoning, dict):
        effort = reasoning.get("effort", effort)
    if effort is not None and not (isinstance(effort, str) and effort in server.efforts):
        reject(f"reasoning_effort must be one of {sorted(server.efforts)}.", code=server.shape_code)
    settings = fields.get("chat_template_kwargs")
    if isinstance(settings, dict) and isinstance(settings.get("enable_thinking"), bool):
        return bool(settings["enable_thinking"])
    if effort is not None:
        return bool(effort != "none")
    return "thinking" in model.lower()


def _read_tools(value: Any, server: Server) -> tuple[Tool, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or (not value and server.needs_tools):
        reject("tools must be a list that is not empty.", code=server.shape_code)
    tools = []
    for at, tool in enumerate(value):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            reject(f"tools[{at}].function must be an object with a name.", code=server.shape_code)
        parameters = function.get("parameters")
        description = function.get("description")
        tools.append(
            Tool(
                function["name"],
                parameters if isinstance(parameters, dict) else {},
                description if isinstance(description, str) else "",
            )
        )
    return tuple(tools)


def _read_choice(
    choice: Any, tools: tuple[Tool, ...], server: Server
) -> Literal["auto", "none", "required"] | Tool:
    if choice is None or not server.tool_choices:
        return "auto"
    if choice != "none" and server.needs_tools and not tools:
        reject("When using `tool_choice`, `tools` must be set.", code=server.shape_code)
    match choice:
        case "auto" | "none" | "required":
            picked: Literal["auto", "none", "required"] = choice
            return picked if tools else "none"
        case dict() if not server.names_tools:
            return "auto"
        case {"type": "function", "function": {"name": str(name)}}:
            for tool in tools:
                if tool.name == name:
                    return tool
            return reject(f"tool_choice names {name!r}, which is not among the tools.")
        case _:
            return reject(f"Invalid tool_choice: {choice!r}", code=server.shape_code)


def _read_stop(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(text for text in values if isinstance(text, str) and text)


def _with_format(options: Options, fields: Fields, server: Server) -> Options:
    value = fields.get("response_format")
    schema = _object({"json_schema": fields.get("json_schema")}, "json_schema") or None
    values = fields.get("structured_outputs")
    choices = values.get("choice") if isinstance(values, dict) else None
    if isinstance(choices, list) and choices:
        return replace(options, exact=str(choices[0]))
    pattern = fields.get("regex") or (values.get("regex") if isinstance(values, dict) else None)
    if isinstance(pattern, str):
        text = matching_text(pattern)
        if text is None:
            reject("The pattern is not valid, or too special for the sandbox.")
        return replace(options, exact=text)
    if isinstance(values, dict) and isinstance(values.get("json"), dict):
        schema = values["json"]
    match value:
        case None | {"type": "text"}:
            pass
        case {"type": "json_object"}:
            options = replace(options, answer_format="json_object")
            if server.flat_schemas and isinstance(value.get("schema"), dict):
                schema = value["schema"]
        case {"type": "json_schema"}:
            schema = _read_schema(value, server)
        case _:
            reject(
                "response_format.type must be text, json_object or json_schema.",
                code=server.shape_code,
            )
    if schema is None:
        return options
    return replace(options, answer_format="json_schema", schema=schema)


def _read_schema(value: dict[str, Any], server: Server) -> dict[str, Any]:
    inner = value.get("json_schema")
    if inner is None and server.flat_schemas:
        inner = value
    if not isinstance(inner, dict) or not isinstance(inner.get("schema"), dict):
        reject("response_format.json_schema needs a schema.", code=server.shape_code)
    if server.needs_schema_name and not isinstance(inner.get("name"), str):
        reject("response_format.json_schema.name is required.", code=server.shape_code)
    schema: dict[str, Any] = inner["schema"]
    return schema
