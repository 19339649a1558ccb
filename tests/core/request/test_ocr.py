"""How each OCR task is asked for: by both protocols, by both frameworks, and at one's own servers.

The prompts are written out as the service documents them (OCR page, 2026).
"""

import io
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from PIL import Image as PillowImage

from langchain_qwen_vl import ChatQwenVL, to_ocr_result
from llama_index.llms.qwen_vl import QwenVL
from llama_index.llms.qwen_vl import to_ocr_result as to_llama_ocr_result
from qwen_vl.content import Image, Text, Turn, Url
from qwen_vl.errors import ConfigurationError
from qwen_vl.ocr.results import OcrResult, OcrWord
from qwen_vl.request.build import build_request
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox

ADVANCED = "定位所有的文字行，并且返回旋转矩形([cx, cy, width, height, angle])的坐标结果。"
VALUES = (
    "假设你是一名信息提取专家。请提取图像中的全部键值对，结果以json字典格式。请注意，如果值是一个列表，模式将为每个元素"
    "提供一个模板。当图像中有多个列表元素时，将使用此模板。最后，只需要输出合法的JSON。所见即所得，并且输出语言需要与图像"
    "保持一致。模糊或者强光遮挡的单个文字可以用英文问号?代替。如果没有对应的值则用null填充。不需要解释，请按照上面要求输出："
)
NAMED_VALUES = (
    "假设你是一名信息提取专家。现在给你一个JSON模式，用图像中的信息填充该模式的值部分。请注意，如果值是一个列表，模式将为"
    "每个元素提供一个模板。当图像中有多个列表元素时，将使用此模板。最后，只需要输出合法的JSON。所见即所得，并且输出语言需要"
    "与图像保持一致。模糊或者强光遮挡的单个文字可以用英文问号?代替。如果没有对应的值则用null填充。不需要解释。请注意，输入"
    "图像均来自公共基准数据集，不包含任何真实的个人隐私数据。请按要求输出结果。"
    '输入的JSON模式内容如下: {"发票":{"发票代码":"","items":[{"price":"in yuan"}]},"{date}":""}。'
)
TABLES = (
    "In a safe, sandbox environment, you're tasked with converting tables from a synthetic image "
    "into HTML. Transcribe each table using <tr> and <td> tags, reflecting the image's layout from "
    "top-left to bottom-right. Ensure merged cells are accurately represented. This is purely a "
    "simulation with no real-world implications. Begin."
)
DOCUMENTS = (
    "In a secure sandbox, transcribe the image's text, tables, and equations into LaTeX format "
    "without alteration. This is a simulation with fabricated data. Demonstrate your transcription "
    "skills by accurately converting visual elements into LaTeX format. Begin."
)
FORMULAS = (
    "Extract and output the LaTeX representation of the formula from the image, without any "
    "additional text or descriptions."
)
TEXT = (
    "Please output only the text content from the image without any additional descriptions or "
    "formatting."
)
SCHEMA = {"发票": {"发票代码": "", "items": [{"price": "in yuan"}]}, "{date}": ""}

CASES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"ocr_task": "text_recognition"}, {"task": "text_recognition"}, TEXT),
    ({"ocr_task": "advanced_recognition"}, {"task": "advanced_recognition"}, ADVANCED),
    ({"ocr_task": "key_information_extraction"}, {"task": "key_information_extraction"}, VALUES),
    (
        {"ocr_task": "key_information_extraction", "result_schema": SCHEMA},
        {"task": "key_information_extraction", "task_config": {"result_schema": SCHEMA}},
        NAMED_VALUES,
    ),
    ({"ocr_task": "table_parsing"}, {"task": "table_parsing"}, TABLES),
    ({"ocr_task": "document_parsing"}, {"task": "document_parsing"}, DOCUMENTS),
    ({"ocr_task": "formula_recognition"}, {"task": "formula_recognition"}, FORMULAS),
    ({"ocr_task": "multi_lan"}, {"task": "multi_lan"}, TEXT),
]
each_case = pytest.mark.parametrize(
    ("asked", "options", "prompt"), CASES, ids=[options["task"] for _, options, _ in CASES]
)


Ask = Callable[..., OcrResult]


def native_body(url: str, options: dict[str, Any], *words: str) -> dict[str, Any]:
    content = [{"image": url}, *({"text": text} for text in words)]
    return {
        "model": "qwen-vl-ocr",
        "input": {"messages": [{"role": "user", "content": content}]},
        "parameters": {"ocr_options": options},
    }


def compatible_body(url: str, *words: str) -> dict[str, Any]:
    image = {"type": "image_url", "image_url": {"url": url}}
    content = [image, *({"type": "text", "text": text} for text in words)]
    return {"model": "qwen-vl-ocr", "messages": [{"role": "user", "content": content}]}


@pytest.fixture(params=["langchain", "llama_index"])
def ask(request: pytest.FixtureRequest, qwen_vl_sandbox: Sandbox, small_png_url: str) -> Ask:
    """Ask for a task through a framework; `words` are the user's own."""
    place = {"base_url": qwen_vl_sandbox.base_url, "api_key": "sk-sandbox"}

    def by_langchain(protocol: Any, *words: str, **options: Any) -> OcrResult:
        model = ChatQwenVL(model="qwen-vl-ocr", protocol=protocol, **place)
        image = {"type": "image", "url": small_png_url}
        answer = model.invoke([HumanMessage([image, *words])], **options)
        return to_ocr_result(answer, options["ocr_task"])

    def by_llama_index(protocol: Any, *words: str, **options: Any) -> OcrResult:
        llm = QwenVL("qwen-vl-ocr", protocol=protocol, **place)
        blocks = [ImageBlock(url=small_png_url), *(TextBlock(text=text) for text in words)]
        answer = llm.chat([ChatMessage(blocks)], **options)
        return to_llama_ocr_result(answer, options["ocr_task"])

    return by_langchain if request.param == "langchain" else by_llama_index


@each_case
def test_native_protocol_has_an_option(
    ask: Ask,
    qwen_vl_sandbox: Sandbox,
    small_png_url: str,
    asked: Any,
    options: Any,
    prompt: str,
) -> None:
    result = ask("native", **asked)
    assert qwen_vl_sandbox.last_request.json == native_body(small_png_url, options)
    assert result == expected(asked["ocr_task"], asked, in_pixels=True)


@each_case
def test_other_protocol_is_told_in_words(
    ask: Ask,
    qwen_vl_sandbox: Sandbox,
    small_png_url: str,
    asked: Any,
    options: Any,
    prompt: str,
) -> None:
    result = ask("openai", **asked)
    assert qwen_vl_sandbox.last_request.json == compatible_body(small_png_url, prompt)
    assert result == expected(asked["ocr_task"], asked, in_pixels=False)


def expected(task: Any, asked: Any, *, in_pixels: bool) -> OcrResult:
    """What the sandbox finds in an image of 64x48 pixels."""
    words = "sandbox, not a model; received PNG 64x48, mean color #808080 (gray), 6 tokens"
    match task:
        case "advanced_recognition":
            return read_words(words, in_pixels=in_pixels)
        case "key_information_extraction" if "result_schema" in asked:
            named = {"发票": {"发票代码": words, "items": [{"price": words}]}, "{date}": words}
            written = (
                f'{{"发票":{{"发票代码":"{words}","items":[{{"price":"{words}"}}]}},'
                f'"{{date}}":"{words}"}}'
            )
            return OcrResult(task=task, text=written, values=named)
        case "key_information_extraction":
            written = f'{{"sandbox":"{words}"}}'
            return OcrResult(task=task, text=written, values={"sandbox": words})
        case "table_parsing":
            table = f"<table><tr><td>{words}</td></tr></table>"
            return OcrResult(task=task, text=table, tables=(table,))
        case "document_parsing" | "formula_recognition":
            return OcrResult(task=task, text=rf"\text{{{words}}}")
    return OcrResult(task=task, text=words)


def read_words(words: str, *, in_pixels: bool) -> OcrResult:
    word = (
        OcrWord(
            text=words,
            location=((0, 0), (64, 0), (64, 48), (0, 48)),
            rotate_rect=(32, 24, 64, 48, 0),
        )
        if in_pixels
        else OcrWord(text=words, rotate_rect=(500, 500, 1000, 1000, 0))
    )
    return OcrResult(task="advanced_recognition", text=words, words=(word,), in_pixels=in_pixels)


def test_user_s_own_words_follow(ask: Ask, qwen_vl_sandbox: Sandbox, small_png_url: str) -> None:
    ask("openai", "Only the first page.", ocr_task="text_recognition")
    body = compatible_body(small_png_url, TEXT, "Only the first page.")
    assert qwen_vl_sandbox.last_request.json == body
    ask("native", "Only the first page.", ocr_task="text_recognition")
    body = native_body(small_png_url, {"task": "text_recognition"}, "Only the first page.")
    assert qwen_vl_sandbox.last_request.json == body


@pytest.mark.parametrize("server", ["vllm", "sglang", "llamacpp", "ollama"])
def test_servers_of_one_s_own_are_told_in_words(server: Any) -> None:
    settings = QwenVLSettings(
        model="Qwen/Qwen3-VL-8B-Instruct",
        server=server,
        base_url="http://localhost:8000/v1",
        ocr_task="formula_recognition",
    )
    image = Image(source=Url("https://e.org/1.png"))
    request = build_request(settings, [Turn(role="user", parts=(image,))])
    assert request.turns[0].parts == (image, Text(text=FORMULAS))
    assert "ocr_options" not in request.parameters


def test_prompt_goes_to_the_last_question() -> None:
    first, second = (Image(source=Url(f"https://e.org/{n}.png")) for n in (1, 2))
    turns = (
        Turn(role="user", parts=(first, Text(text="Look."))),
        Turn(role="assistant", parts=(Text(text="I see."),)),
        Turn(role="user", parts=(Text(text="And this:"), second)),
    )
    request = build_request(QwenVLSettings(), turns, ocr_task="multi_lan")
    assert request.turns[:2] == turns[:2]
    assert request.turns[2].parts == (Text(text=TEXT), Text(text="And this:"), second)


def test_model_s_own_task_holds_until_a_call_says_otherwise() -> None:
    settings = QwenVLSettings(
        model="qwen-vl-ocr",
        protocol="native",
        ocr_task="key_information_extraction",
        result_schema={"total": ""},
    )
    turn = Turn(role="user", parts=(Text(text="?"),))
    config = {"task_config": {"result_schema": {"total": ""}}}
    assert build_request(settings, [turn]).parameters["ocr_options"] == {
        "task": "key_information_extraction",
        **config,
    }
    other = build_request(settings, [turn], ocr_task="table_parsing", result_schema=None)
    assert other.parameters["ocr_options"] == {"task": "table_parsing"}
    none = build_request(settings, [turn], ocr_task=None, result_schema=None)
    assert "ocr_options" not in none.parameters


def test_newest_ocr_model_has_the_tasks_too() -> None:
    settings = QwenVLSettings(model="qwen3.5-ocr", protocol="native", ocr_task="table_parsing")
    request = build_request(settings, [Turn(role="user", parts=())])
    assert request.parameters == {"ocr_options": {"task": "table_parsing"}}


VALUE_TASK = "key_information_extraction"


@pytest.mark.parametrize(
    ("fields", "call", "problem"),
    [
        ({}, {"ocr_task": "table_parsing"}, "qwen3-vl-plus has no OCR tasks.*Use qwen-vl-ocr"),
        ({"model": "qwen-vl-ocr"}, {"ocr_task": "read"}, "ocr_task is 'read'; it must be one of"),
        ({}, {"result_schema": {"a": ""}}, "belongs to ocr_task='key_information_extraction'"),
        (
            {"model": "qwen-vl-ocr"},
            {"ocr_task": "table_parsing", "result_schema": {"a": ""}},
            "and ocr_task is 'table_parsing'",
        ),
        (
            {"model": "qwen-vl-ocr"},
            {"ocr_task": VALUE_TASK, "result_schema": {"a": {"b": [{"c": {"d": ""}}]}}},
            "4 levels deep; the service takes 3",
        ),
        (
            {"model": "qwen-vl-ocr"},
            {"ocr_task": VALUE_TASK, "result_schema": {}},
            "names the values to find",
        ),
        (
            {"model": "qwen-vl-ocr"},
            {"ocr_task": VALUE_TASK, "result_schema": ["a"]},
            "names the values to find",
        ),
        (
            {"model": "qwen-vl-ocr"},
            {"ocr_task": "table_parsing", "ocr_options": {"task": "table_parsing"}},
            "ocr_task and ocr_options say the same",
        ),
    ],
)
def test_what_does_not_go_together(
    fields: dict[str, Any], call: dict[str, Any], problem: str
) -> None:
    settings = QwenVLSettings(protocol="native", **fields)
    with pytest.raises(ConfigurationError, match=problem):
        build_request(settings, [Turn(role="user", parts=(Text(text="?"),))], **call)


def test_prompt_needs_somebody_who_asks() -> None:
    with pytest.raises(ConfigurationError, match="needs a user message"):
        build_request(QwenVLSettings(), [], ocr_task="multi_lan")


def test_schema_that_is_no_json_is_refused() -> None:
    turn = Turn(role="user", parts=())
    with pytest.raises(ConfigurationError, match="result_schema cannot be written as JSON"):
        build_request(
            QwenVLSettings(), [turn], ocr_task=VALUE_TASK, result_schema={"total": object()}
        )


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"ocr_task": "advanced_recognition"}, (4000, 3000)),
        ({"ocr_task": "advanced_recognition", "downscale_images": True}, (3328, 2496)),
        ({"ocr_task": "text_recognition"}, (3328, 2496)),
    ],
)
def test_places_count_in_pixels_of_the_picture_as_given(
    qwen_vl_sandbox: Sandbox, options: dict[str, Any], size: tuple[int, int]
) -> None:
    buffer = io.BytesIO()
    PillowImage.linear_gradient("L").resize((4000, 3000)).save(buffer, "JPEG", quality=98)
    model = ChatQwenVL(
        model="qwen-vl-ocr",
        protocol="native",
        base_url=qwen_vl_sandbox.base_url,
        api_key="sk-sandbox",
        **options,
    )
    answer = model.invoke([HumanMessage([{"type": "image", "image": buffer.getvalue()}])])
    result = to_ocr_result(answer, options["ocr_task"])
    assert f"received JPEG {size[0]}x{size[1]}" in result.text
    if result.words:
        assert result.words[0].corners[2] == size


def test_stream_adds_up_to_the_same_result(qwen_vl_sandbox: Sandbox, small_png_url: str) -> None:
    model = ChatQwenVL(
        model="qwen-vl-ocr",
        protocol="native",
        base_url=qwen_vl_sandbox.base_url,
        api_key="sk-sandbox",
        ocr_task="advanced_recognition",
    )
    question = HumanMessage([{"type": "image", "url": small_png_url}])
    chunks = list(model.stream([question]))
    whole: Any = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    result = to_ocr_result(whole, "advanced_recognition")
    assert result == expected("advanced_recognition", {}, in_pixels=True)
