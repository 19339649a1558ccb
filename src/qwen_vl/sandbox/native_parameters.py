"""Reading `parameters` of the native protocol: what it has beyond the shared fields.

Rules are those of the Native-API page (2026-09) and the OCR page (2026-07).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qwen_vl.sandbox.conversation import OcrTask, Options
from qwen_vl.sandbox.models import ModelFacts
from qwen_vl.sandbox.parameters import SHARED_FIELDS, read_options
from qwen_vl.sandbox.refusals import ALGO, refuse
from qwen_vl.sandbox.text_reading import TASKS
from qwen_vl.sandbox.validation import Fields

KNOWN = SHARED_FIELDS | {
    "incremental_output",
    "ocr_options",
    "result_format",
    "vl_enable_image_hw_output",
}
"""Documented fields; others are ignored and recorded."""

NEEDS_INCREMENTS = 'The incremental_output parameter must be "true" when enable_thinking is true'


def read_parameters(
    values: dict[str, Any], facts: ModelFacts, *, stream: bool, strict: bool
) -> tuple[Options, bool]:
    """Read what is asked of the answer, and whether a stream holds increments.

    Raises:
        Refusal: A field has a value the service does not take, or two fields exclude each other.
    """
    options = read_options(values, facts, stream=stream, strict=strict)
    fields = Fields(values)
    incremental = fields.boolean("incremental_output", default=facts.streams_increments)
    asked = fields.get("incremental_output") is not None
    # unsure: whether a default of false counts as false where reasoning is on by default.
    if stream and options.thinking and not incremental and (asked or strict):
        refuse(ALGO + NEEDS_INCREMENTS)
    # "text" has no effect on vision models, which always answer with messages.
    if fields.string("result_format") not in {None, "message", "text"}:
        refuse("result_format must be message or text.")
    if strict:
        _check_unsettled(values, options)
    return (
        replace(
            options,
            image_sizes=fields.boolean("vl_enable_image_hw_output"),
            ocr=_read_task(fields.get("ocr_options"), facts, strict=strict),
        ),
        incremental,
    )


def _check_unsettled(values: Mapping[str, Any], options: Options) -> None:
    # unsure: this page lists text and json_object alone, another does not tell the protocols
    # apart.
    if options.answer_format == "json_schema":
        refuse("response_format.type must be text or json_object.")
    for at, tool in enumerate(values.get("tools") or ()):
        # unsure: the page calls the description required, and prints no refusal.
        if not tool["function"].get("description"):
            refuse(f"tools[{at}].function.description is required.")


def _read_task(value: Any, facts: ModelFacts, *, strict: bool) -> OcrTask | None:
    if value is None:
        return None
    if not facts.reads:
        if strict:  # unsure: other models may ignore the field.
            refuse("The model does not support ocr_options.")
        return None
    if not isinstance(value, dict):
        refuse("ocr_options must be an object.")
    task = value.get("task")
    if not isinstance(task, str) or task not in TASKS:
        refuse(f"ocr_options.task must be one of {list(TASKS)}.")
    settings = value.get("task_config")
    if settings is not None and not isinstance(settings, dict):
        refuse("ocr_options.task_config must be an object.")
    schema = (settings or {}).get("result_schema")
    if schema is not None and not isinstance(schema, dict):
        refuse("ocr_options.task_config.result_schema must be an object.")
    return OcrTask(task, schema)
