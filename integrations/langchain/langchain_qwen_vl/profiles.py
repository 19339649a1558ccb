"""What each model can do, in LangChain's words.

Everything comes from `qwen_vl.specs.models`; there is no second table. Only keys that the oldest
supported `langchain-core` knows are given, since it warns of others.
"""

from langchain_core.language_models import ModelProfile

from qwen_vl.media import reads_pdf
from qwen_vl.request.rules import choose_structured_method
from qwen_vl.specs.models import DEFAULT_REASONING_EFFORT, REASONING_EFFORTS, ModelFacts, find_model
from qwen_vl.specs.servers import (
    DEFAULT_DIALECT,
    DEFAULT_PROTOCOL,
    Dialect,
    Protocol,
    find_dialect,
)


def profile_of(
    model: str,
    *,
    protocol: Protocol = DEFAULT_PROTOCOL,
    dialect: Dialect = DEFAULT_DIALECT,
) -> ModelProfile:
    """Describe a model; an unknown id has the profile of the newest models.

    Args:
        model: Model id.
        protocol: How the hosted service is spoken to.
        dialect: Which server is asked: those of one's own call tools and hold to a schema with
            every model.

    Example:
        >>> profile = profile_of("qwen3-vl-plus")
        >>> profile["max_input_tokens"], profile["video_inputs"], profile["structured_output"]
        (260096, True, False)
    """
    facts = find_model(model)
    is_own = dialect != DEFAULT_DIALECT
    # The service forces no tool, and holds to no schema, while a model thinks.
    is_bound = facts.thinking == "always" and not is_own
    calls_tools = facts.accepts_tools or is_own
    method = choose_structured_method(model, protocol=protocol, dialect=dialect)
    profile = ModelProfile(
        name=model,
        text_inputs=True,
        image_inputs=facts.accepts_vision,
        image_url_inputs=facts.accepts_vision,
        video_inputs=facts.accepts_vision and facts.accepts_video,
        audio_inputs=facts.accepts_audio,
        # Its pages are sent as pictures.
        pdf_inputs=facts.accepts_vision and reads_pdf(),
        # A tool's pictures are sent in a user message after the tools'.
        image_tool_message=facts.accepts_vision and calls_tools,
        pdf_tool_message=facts.accepts_vision and calls_tools and reads_pdf(),
        text_outputs=True,
        image_outputs=False,
        audio_outputs=False,
        video_outputs=False,
        reasoning_output=facts.thinking != "never",
        tool_calling=calls_tools,
        tool_call_streaming=calls_tools,
        tool_choice=calls_tools and not is_bound and find_dialect(dialect).forced_tools != "no",
        structured_output=method == "json_schema",
        attachment=facts.accepts_vision,
        temperature=True,
    )
    _add_known(profile, facts)
    return profile


def _add_known(profile: ModelProfile, facts: ModelFacts) -> None:
    # What no page says is left out: LangChain then asks for it where it needs it.
    if facts.max_input_tokens is not None:
        profile["max_input_tokens"] = facts.max_input_tokens
    if facts.max_output_tokens is not None:
        profile["max_output_tokens"] = facts.max_output_tokens
    if facts.accepts_reasoning_effort:
        profile["reasoning_effort_levels"] = list(REASONING_EFFORTS)
        profile["reasoning_effort_default"] = DEFAULT_REASONING_EFFORT
