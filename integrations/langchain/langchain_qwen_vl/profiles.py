"""What each model can do, in LangChain's words.

Everything comes from `qwen_vl.specs.models`; no second table exists. Only keys that the oldest
supported `langchain-core` knows are given, since it warns of others.
"""

from langchain_core.language_models import ModelProfile

from qwen_vl.media import reads_pdf
from qwen_vl.request.rules import choose_structured_method
from qwen_vl.specs.models import (
    ModelSpec,
)
from qwen_vl.specs.servers import (
    DEFAULT_PROTOCOL,
    DEFAULT_SERVER,
    Protocol,
    Server,
    get_served_spec,
    get_server_spec,
)


def to_langchain_profile(
    model: str,
    *,
    protocol: Protocol = DEFAULT_PROTOCOL,
    server: Server = DEFAULT_SERVER,
) -> ModelProfile:
    """Describe a model; an unknown id has the profile of the newest models.

    Args:
        model: Model id.
        protocol: How the hosted service is spoken to.
        server: Which server is asked: self-hosted ones call tools and hold to a schema with
            every model.

    Example:
        >>> profile = to_langchain_profile("qwen3-vl-plus")
        >>> profile["max_input_tokens"], profile["video_inputs"], profile["structured_output"]
        (260096, True, False)
    """
    spec = get_served_spec(model, server)
    is_own = server != DEFAULT_SERVER
    # The service forces no tool, and holds to no schema, while a model thinks.
    is_bound = spec.thinking == "always" and not is_own
    calls_tools = spec.accepts_tools or is_own
    method = choose_structured_method(model, protocol=protocol, server=server)
    profile = ModelProfile(
        name=model,
        text_inputs=True,
        image_inputs=spec.accepts_vision,
        image_url_inputs=spec.accepts_vision,
        video_inputs=spec.accepts_vision and spec.accepts_video,
        audio_inputs=spec.accepts_audio,
        # Its pages are sent as images.
        pdf_inputs=spec.accepts_vision and reads_pdf(),
        # A tool's images are sent in a user message after the tools'.
        image_tool_message=spec.accepts_vision and calls_tools,
        pdf_tool_message=spec.accepts_vision and calls_tools and reads_pdf(),
        text_outputs=True,
        image_outputs=False,
        audio_outputs=False,
        video_outputs=False,
        reasoning_output=spec.thinking != "never",
        tool_calling=calls_tools,
        tool_call_streaming=calls_tools,
        tool_choice=calls_tools and not is_bound and get_server_spec(server).forced_tools != "no",
        structured_output=method == "json_schema",
        attachment=spec.accepts_vision,
        temperature=True,
    )
    _add_known(profile, spec)
    return profile


def _add_known(profile: ModelProfile, spec: ModelSpec) -> None:
    # What no page says is left out: LangChain then asks for it where it needs it.
    if spec.max_input_tokens is not None:
        profile["max_input_tokens"] = spec.max_input_tokens
    if spec.max_output_tokens is not None:
        profile["max_output_tokens"] = spec.max_output_tokens
    if spec.accepts_reasoning_effort:
        profile["reasoning_effort_levels"] = list(spec.reasoning_efforts)
        if spec.default_reasoning_effort is not None:
            profile["reasoning_effort_default"] = spec.default_reasoning_effort
