"""How a task is asked for: an option of the native protocol, a documented prompt elsewhere.

All of it is from the OCR page (2026): the prompts are the service's, and are sent to the letter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import orjson

from qwen_vl.content import Part, Text, Turn
from qwen_vl.errors import ConfigurationError
from qwen_vl.request.types import MediaPolicy
from qwen_vl.specs.models import DEFAULT_OCR_MODEL, get_model_spec
from qwen_vl.specs.servers import Protocol

OcrTask = Literal[
    "text_recognition",
    "advanced_recognition",
    "key_information_extraction",
    "table_parsing",
    "document_parsing",
    "formula_recognition",
    "multi_lan",
]
"""What an OCR model should do with an image (OCR page, 2026)."""

OCR_TASKS: tuple[OcrTask, ...] = get_args(OcrTask)
"""All of them."""

MAX_SCHEMA_LEVELS = 3
"""How deep the objects of a result schema may stand in one another (OCR page, 2026)."""

_TEXT_ALONE = (
    "Please output only the text content from the image without any additional descriptions or "
    "formatting."
)
PROMPTS: Mapping[OcrTask, str] = {
    "text_recognition": _TEXT_ALONE,
    "advanced_recognition": (
        "定位所有的文字行，并且返回旋转矩形([cx, cy, width, height, angle])的坐标结果。"
    ),
    "key_information_extraction": (
        "假设你是一名信息提取专家。请提取图像中的全部键值对，结果以json字典格式。"
        "请注意，如果值是一个列表，模式将为每个元素提供一个模板。"
        "当图像中有多个列表元素时，将使用此模板。最后，只需要输出合法的JSON。"
        "所见即所得，并且输出语言需要与图像保持一致。模糊或者强光遮挡的单个文字可以用英文问号?代替。"
        "如果没有对应的值则用null填充。不需要解释，请按照上面要求输出："
    ),
    "table_parsing": (
        "In a safe, sandbox environment, you're tasked with converting tables from a synthetic "
        "image into HTML. Transcribe each table using <tr> and <td> tags, reflecting the image's "
        "layout from top-left to bottom-right. Ensure merged cells are accurately represented. "
        "This is purely a simulation with no real-world implications. Begin."
    ),
    "document_parsing": (
        "In a secure sandbox, transcribe the image's text, tables, and equations into LaTeX format "
        "without alteration. This is a simulation with fabricated data. Demonstrate your "
        "transcription skills by accurately converting visual elements into LaTeX format. Begin."
    ),
    "formula_recognition": (
        "Extract and output the LaTeX representation of the formula from the image, without any "
        "additional text or descriptions."
    ),
    "multi_lan": _TEXT_ALONE,
}
"""What the OpenAI-compatible protocol is asked; of the values, where no schema names them."""

SCHEMA_PROMPT = (
    "假设你是一名信息提取专家。现在给你一个JSON模式，用图像中的信息填充该模式的值部分。"
    "请注意，如果值是一个列表，模式将为每个元素提供一个模板。"
    "当图像中有多个列表元素时，将使用此模板。最后，只需要输出合法的JSON。"
    "所见即所得，并且输出语言需要与图像保持一致。模糊或者强光遮挡的单个文字可以用英文问号?代替。"
    "如果没有对应的值则用null填充。不需要解释。"
    "请注意，输入图像均来自公共基准数据集，不包含任何真实的个人隐私数据。"
    "请按要求输出结果。输入的JSON模式内容如下: {result_schema}。"
)
"""The prompt if a schema names the values."""


def check_task(
    task: str | None, result_schema: Mapping[str, Any] | None, model: str, protocol: Protocol
) -> None:
    """Check what is said about a task.

    Args:
        task: `None` for none.
        result_schema: What `key_information_extraction` should find.
        model: Model id.
        protocol: How the service is spoken to.

    Raises:
        ConfigurationError: The task is not known, it takes no schema, the schema is too deep, or
            the model does not support tasks.

    Example:
        >>> check_task("table_parsing", None, "qwen3-vl-plus", "native")
        Traceback (most recent call last):
        qwen_vl.errors.ConfigurationError: qwen3-vl-plus has no OCR tasks on the native protocol. \
Use qwen-vl-ocr, or protocol="openai", which sends the task's prompt to any model.
    """
    if task is not None and task not in OCR_TASKS:
        raise ConfigurationError(f"ocr_task is {task!r}; it must be one of {', '.join(OCR_TASKS)}.")
    if result_schema is not None:
        _check_schema(task, result_schema)
    if task and protocol == "native" and not get_model_spec(model).accepts_ocr_tasks:
        raise ConfigurationError(
            f"{model} has no OCR tasks on the native protocol. Use {DEFAULT_OCR_MODEL}, or "
            'protocol="openai", which sends the task\'s prompt to any model.'
        )


def to_ocr_options(task: OcrTask, result_schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """Write the native protocol's `ocr_options`.

    Args:
        task: What to do.
        result_schema: What `key_information_extraction` should find; `None` for everything.

    Example:
        >>> to_ocr_options("table_parsing", None)
        {'task': 'table_parsing'}
    """
    if result_schema is None:
        return {"task": task}
    return {"task": task, "task_config": {"result_schema": dict(result_schema)}}


def add_prompt(
    turns: Sequence[Turn], task: OcrTask, result_schema: Mapping[str, Any] | None
) -> tuple[Turn, ...]:
    """Put the prompt of a task into the last user message, before the words that stand there.

    Args:
        turns: They stay as they are.
        task: What to do.
        result_schema: What `key_information_extraction` should find; `None` for everything.

    Raises:
        ConfigurationError: A user message is missing, or the schema is not JSON.
    """
    at = max((index for index, turn in enumerate(turns) if turn.role == "user"), default=None)
    if at is None:
        raise ConfigurationError("ocr_task needs a user message with an image, and there is none.")
    turn = turns[at]
    words = next((i for i, part in enumerate(turn.parts) if isinstance(part, Text)), None)
    place = len(turn.parts) if words is None else words
    prompt = Text(text=_write_prompt(task, result_schema))
    parts: tuple[Part, ...] = (*turn.parts[:place], prompt, *turn.parts[place:])
    return (*turns[:at], replace(turn, parts=parts), *turns[at + 1 :])


def disable_downscaling(policy: MediaPolicy, task: OcrTask | None) -> MediaPolicy:
    """Turn downscaling off where the task returns positions in the image.

    Positions are in pixels of the image that is sent, so they fit the caller's image only if it
    is that (OCR page, 2026).

    Args:
        policy: What holds for all else; where it says whether to shrink, that counts.
        task: What to do; `None` for no task.
    """
    if task == "advanced_recognition" and policy.downscale_images is None:
        return replace(policy, downscale_images=False)
    return policy


def _write_prompt(task: OcrTask, result_schema: Mapping[str, Any] | None) -> str:
    if result_schema is None:
        return PROMPTS[task]
    try:
        written = orjson.dumps(dict(result_schema)).decode()
    except orjson.JSONEncodeError as error:
        raise ConfigurationError(f"result_schema cannot be written as JSON: {error}.") from error
    return SCHEMA_PROMPT.replace("{result_schema}", written)


def _check_schema(task: str | None, schema: Any) -> None:
    if task != "key_information_extraction":
        raise ConfigurationError(
            "result_schema belongs to ocr_task='key_information_extraction', and ocr_task is "
            f"{task!r}. Leave one of them out: with None, a call can do without the model's own."
        )
    if not isinstance(schema, Mapping) or not schema:
        raise ConfigurationError(
            'result_schema names the values to find: {"total": "the sum, with its currency"}. '
            "Leave it out to find all that there are."
        )
    levels = _count_levels(schema)
    if levels > MAX_SCHEMA_LEVELS:
        raise ConfigurationError(
            f"result_schema is {levels} levels deep; the service takes {MAX_SCHEMA_LEVELS} "
            "(OCR page, 2026). Rename the inner values."
        )


def _count_levels(schema: Any) -> int:
    """Count objects that stand in one another; lists repeat what they hold, and add none."""
    if isinstance(schema, Mapping):
        return 1 + max(map(_count_levels, schema.values()), default=0)
    if isinstance(schema, list | tuple):
        return max(map(_count_levels, schema), default=0)
    return 0
