"""`qwen-vl ask`: documents, standard input, options of the request, and answers in a schema."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pybase64
import pytest
from PIL import Image

from audio_samples import make_wav
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl_sandbox import Sandbox

Run = Callable[..., subprocess.CompletedProcess[str]]

CAT = {
    "title": "Cat",
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture
def run(run_here: Run) -> Run:
    """Run the command in this process."""
    return run_here


@pytest.fixture
def ask(run: Run, qwen_vl_sandbox: Sandbox) -> Run:
    """Run `qwen-vl ask` with the endpoint of the environment."""
    environment = {"DASHSCOPE_API_KEY": "sk-env", "DASHSCOPE_BASE_URL": qwen_vl_sandbox.base_url}

    def run_ask(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        return run("ask", *arguments, environment=environment, **options)

    return run_ask


@pytest.fixture
def pages() -> list[Image.Image]:
    return [Image.new("RGB", (64, 96), color) for color in ("white", "red", "blue")]


@pytest.fixture
def report(tmp_path: Path, pages: list[Image.Image]) -> Path:
    pytest.importorskip("pypdfium2", reason='needs: pip install "qwen-vl[pdf]"')
    path = tmp_path / "report.pdf"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    return path


@pytest.fixture
def cat_schema(tmp_path: Path) -> Path:
    path = tmp_path / "cat.json"
    path.write_text(json.dumps(CAT))
    return path


def _content(sandbox: Sandbox) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = sandbox.last_request.json["messages"][-1]["content"]
    return content


def _labels(sandbox: Sandbox) -> list[str]:
    return [part["text"] for part in _content(sandbox) if part["type"] == "text"]


def test_pages_of_a_pdf_are_sent(ask: Run, report: Path, qwen_vl_sandbox: Sandbox) -> None:
    done = ask("What is this?", report)

    assert done.returncode == 0, done.stderr
    assert [part["type"] for part in _content(qwen_vl_sandbox)].count("image_url") == 3
    assert 'Page 3 of 3 of "report.pdf":' in _labels(qwen_vl_sandbox)


def test_pages_of_documents_are_chosen(
    ask: Run, report: Path, pages: list[Image.Image], tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    scan = tmp_path / "scan.tiff"
    # Pillow has noted at each of them how the PDF was written.
    first, *others = [page.copy() for page in pages]
    first.save(scan, save_all=True, append_images=others)
    done = ask("What is this?", report, scan, CHELSEA, "--pages", "2-3")

    assert done.returncode == 0, done.stderr
    # Two pages of each, and an image that has none.
    assert [part["type"] for part in _content(qwen_vl_sandbox)].count("image_url") == 5
    assert len([text for text in _labels(qwen_vl_sandbox) if text.startswith("Page ")]) == 4


def test_pages_without_a_document_are_refused(ask: Run, qwen_vl_sandbox: Sandbox) -> None:
    done = ask("What is this?", CHELSEA, "--pages", "2")

    assert done.returncode == 2
    assert "None of the files is a PDF or TIFF document." in done.stderr
    assert "--pages" in done.stderr
    assert qwen_vl_sandbox.requests == []


def test_page_that_is_not_there_is_named(run: Run, report: Path) -> None:
    done = run("ask", "What is this?", report, "--pages", "9", "--sandbox")

    assert (done.returncode, done.stdout) == (3, "")
    assert '--pages="1-3"' in done.stderr


def test_pdf_behind_a_url_is_refused(run: Run) -> None:
    done = run("ask", "What is this?", "https://example.com/report.pdf", "--sandbox")

    assert done.returncode == 3
    assert "The service fetches no documents." in done.stderr


def test_audio_is_sent_and_counted(
    ask: Run, run: Run, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    path = tmp_path / "call"
    path.write_bytes(make_wav(2.0))
    model = ("--model", "qwen3.8-omni-flash")
    found = ask("What is said?", path, *model)
    assert "14 audio" in found.stderr
    data = f"data:;base64,{pybase64.b64encode(make_wav(2.0)).decode()}"
    assert _content(qwen_vl_sandbox)[0] == {
        "type": "input_audio",
        "input_audio": {"data": data, "format": "wav"},
    }

    ask("What is said?", "https://example.com/call.mp3", *model)
    assert _content(qwen_vl_sandbox)[0]["input_audio"]["format"] == "mp3"

    counted = json.loads(run("tokens", path, *model, "--json").stdout.splitlines()[0])
    assert (counted["type"], counted["seconds"], counted["tokens"]) == ("audio/wav", 2.0, 14)
    assert "2.0 s" in run("tokens", path, *model).stdout


def test_question_comes_from_standard_input(
    ask: Run, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    question = tmp_path / "question.txt"
    question.write_bytes(b"\xef\xbb\xbfWer ist das?\nUnd wo \xe2\x80\x93 hier?\r\n")
    done = ask("-", CHELSEA, stdin=question)

    assert done.returncode == 0, done.stderr
    assert _labels(qwen_vl_sandbox) == ["Wer ist das?\nUnd wo – hier?"]


@pytest.mark.parametrize("form", ["png", "pdf", "mp4", "base64", "data", "url"])
def test_media_comes_from_standard_input(
    form: str, ask: Run, report: Path, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    files = {"png": CHELSEA, "pdf": report, "mp4": BIG_BUCK_BUNNY}
    encoded = pybase64.b64encode(CHELSEA.read_bytes())
    texts = {
        "base64": encoded,
        "data": b"data:image/png;base64," + encoded + b"\n",
        "url": b"https://example.com/cat.png\n",
    }
    path = files.get(form, tmp_path / "text")
    if form in texts:
        path.write_bytes(texts[form])
    done = ask("What is this?", "-", stdin=path)

    assert done.returncode == 0, done.stderr
    kinds = {part["type"] for part in _content(qwen_vl_sandbox)} - {"text"}
    assert kinds == {"video_url" if form == "mp4" else "image_url"}


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "words"),
    [
        (["-", "-"], b"", 2, "only one argument"),
        (["-", CHELSEA, "--schema", "-"], b"", 2, "only one argument"),
        (["-", CHELSEA], b"", 2, "The question is empty"),
        (["-", CHELSEA], b"\n \n", 2, "The question is empty"),
        (["-", CHELSEA], b"Gr\xfc\xdfe?", 4, "not UTF-8"),
        (["What?", "-"], b"", 3, "standard input: "),
        (["What?", "-"], b"no image at all", 3, "standard input: "),
    ],
)
def test_wrong_standard_input_is_explained(
    arguments: list[object], stdin: bytes, code: int, words: str, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "stdin"
    path.write_bytes(stdin)
    done = run("ask", *arguments, "--sandbox", stdin=path)

    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_options_reach_the_request(ask: Run, qwen_vl_sandbox: Sandbox) -> None:
    sampling = ("--temperature", 0.5, "--max-tokens", 50, "--seed", 7, "--timeout", 30)
    done = ask("Who?", CHELSEA, "--system", "Be brief.", *sampling)

    assert done.returncode == 0, done.stderr
    body = qwen_vl_sandbox.last_request.json
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (body["temperature"], body["max_tokens"], body["seed"]) == (0.5, 50, 7)


def test_protocol_is_chosen(ask: Run, qwen_vl_sandbox: Sandbox) -> None:
    assert ask("Who?", "--protocol", "native").returncode == 0
    assert qwen_vl_sandbox.last_request.path.startswith("/api/v1/services/")


@pytest.mark.parametrize("server", ["vllm", "sglang", "llamacpp", "ollama"])
def test_server_is_chosen(server: str, run: Run) -> None:
    # The key of the service is not sent to other servers.
    environment = {"DASHSCOPE_API_KEY": "sk-of-the-service"}
    with Sandbox(server=server) as sandbox:
        url = ("--base-url", sandbox.base_url)
        done = run("ask", "Who?", CHELSEA, "--server", server, *url, environment=environment)

        assert done.returncode == 0, done.stderr
        assert "sk-of" not in str(sandbox.last_request.headers)
        assert "service" not in str(sandbox.last_request.headers)


def test_model_behind_the_name_of_a_gateway_is_named(run: Run, cat_schema: Path) -> None:
    # Which fields a request has is up to the model that is behind the name.
    with Sandbox(server="vllm", served_models={"vision": "Qwen/Qwen3-VL-8B-Instruct"}) as sandbox:
        options = ("--model", "vision", "--base-model", "qwen3-vl-plus", "--schema", cat_schema)
        url = ("--server", "vllm", "--base-url", sandbox.base_url)
        done = run("ask", "Who?", CHELSEA, *options, *url)

        assert done.returncode == 0, done.stderr
        assert sandbox.last_request.json["model"] == "vision"


def test_sandbox_imitates_the_server(run: Run) -> None:
    done = run("ask", "Who?", CHELSEA, "--server", "vllm", "--sandbox")

    assert done.returncode == 0, done.stderr
    # 14 x 9 visual tokens, without the markers that the service counts.
    assert "126 image" in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--temperature", "2"], 4, "--temperature: "),
        (["--temperature", "warm"], 2, "--temperature"),
        (["--max-tokens", "0"], 4, "--max-tokens: "),
        (["--seed", "-1"], 4, "--seed: "),
        (["--timeout", "0"], 2, "0 is not a number of seconds above 0"),
        (["--timeout", "nan"], 2, "above 0"),
        (["--protocol", "soap"], 2, "'native'"),
        (["--server", "tgi"], 2, "'vllm'"),
        (["--server", "vllm", "--protocol", "native"], 4, "exclude each other"),
        (["--base-url", "http://localhost:9/v1"], 4, "exclude each other"),
    ],
)
def test_wrong_options_are_explained(options: list[str], code: int, words: str, run: Run) -> None:
    done = run("ask", "Who?", *options, "--sandbox")

    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_server_without_a_url_is_told_by_its_option(run: Run) -> None:
    done = run("ask", "Who?", "--server", "vllm")

    assert done.returncode == 4
    assert '--base-url="http://' in done.stderr


@pytest.mark.parametrize(
    "options",
    [(), ("--model", "qwen3.7-plus"), ("--server", "vllm"), ("--protocol", "native")],
)
def test_answer_follows_the_schema(options: tuple[str, ...], run: Run, cat_schema: Path) -> None:
    done = run("ask", "Who?", CHELSEA, "--schema", cat_schema, *options, "--sandbox")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).keys() == {"name", "age"}


def test_schema_comes_from_standard_input(run: Run, cat_schema: Path) -> None:
    done = run("ask", "Who?", "--schema", "-", "--sandbox", "--json", stdin=cat_schema)

    printed = json.loads(done.stdout)
    assert printed["parsed"] == json.loads(printed["answer"])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("A cat.", "The answer is not JSON."),
        ('{"name": "Chelsea"}', "$: 'age' is a required property."),
        ('{"name": "Chelsea", "age": "old"}', "$.age: 'old' is not of type 'integer'."),
        ('[{"name": "Chelsea", "age": 3}]', "is not of type 'object'."),
        ("{} {}", "The answer is not JSON."),
    ],
)
def test_answer_that_does_not_follow_the_schema_has_an_exit_code(
    answer: str, words: str, ask: Run, cat_schema: Path, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script(answer)
    done = ask("Who?", "--schema", cat_schema)

    assert (done.returncode, done.stdout) == (7, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "answer",
    [
        '{"name": "Chelsea", "age": 3}',
        '```json\n{"name": "Chelsea", "age": 3}\n```',
        'Here it is: {"name": "Chelsea", "age": 3}',
    ],
)
def test_answer_is_printed_as_json(
    answer: str, ask: Run, cat_schema: Path, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script(answer)
    done = ask("Who?", "--schema", cat_schema)

    assert done.returncode == 0, done.stderr
    assert done.stdout == '{\n  "name": "Chelsea",\n  "age": 3\n}\n'


def test_answer_that_breaks_off_follows_no_schema(run: Run, cat_schema: Path) -> None:
    done = run("ask", "Who?", "--schema", cat_schema, "--max-tokens", "3", "--sandbox", "--json")

    assert done.returncode == 7
    error = json.loads(done.stdout)["error"]
    assert error["type"] == "AnswerFormatError"
    assert "cut off" in error["message"]
    assert error["text"]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is not JSON"),
        ("[]", "not an object"),
        ('{"type": "objekt"}', "is not a JSON schema: $.type: "),
        ('{"type": "array"}', "the service takes schemas of objects"),
        ('{"properties": {"a": {"$ref": "https://example.com/a.json"}}}', "cannot be checked"),
        ('{"properties": {"a": {"pattern": "("}}}', "is not a JSON schema"),
    ],
)
def test_wrong_schema_is_explained(
    schema: str | None, words: str, ask: Run, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    path = tmp_path / "schema.json"
    if schema is not None:
        path.write_text(schema)
    qwen_vl_sandbox.script('{"a": "b"}')
    done = ask("Who?", "--schema", path)

    assert (done.returncode, done.stdout) == (4, ""), done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
