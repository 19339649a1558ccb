"""The notebooks of docs/examples: what they hold is what a run against the sandbox gives."""

import base64
import io
import os
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

from document_examples import NOTEBOOKS, ROOT, to_program

FOLDER = ROOT / "docs/examples"
# What a library of another version draws or prints is not compared.
RUN = [pytest.mark.slow, pytest.mark.any_version, pytest.mark.timeout(300)]
_DATA_URL = re.compile(r"data:image/(?:png|jpeg);base64,([\w+/=]+)")


def name_of(path: Path) -> str:
    return path.stem


def simplify(output: Any) -> dict[str, Any]:
    """Return what is kept of an output: its richest form, in a smaller encoding."""
    if output["output_type"] == "stream":
        return {"output_type": "stream", "name": output["name"], "text": output["text"]}
    data = output["data"]
    images = {kind: value for kind, value in data.items() if kind.startswith("image/")}
    if images:
        data = dict([min(images.items(), key=lambda item: len(item[1]))])
    elif "text/html" in data:
        data = {"text/html": data["text/html"]}
    # What `display` shows is not numbered.
    numbered = {"execution_count": output["execution_count"]} if "execution_count" in output else {}
    return {"output_type": output["output_type"], "data": data, "metadata": {}, **numbered}


def run(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Run a notebook in a folder, without a key, and keep its outputs."""
    notebook = nbformat.read(path, as_version=4)
    environment = {
        **{name: value for name, value in os.environ.items() if "DASHSCOPE" not in name},
        # Nothing of the user's: neither startup files nor history.
        "IPYTHONDIR": str(folder / ".ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / ".jupyter"),
    }
    work = folder / "work"
    work.mkdir()
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=240,
        coalesce_streams=True,
        resources={"metadata": {"path": str(work)}},
    )
    client.execute(env=environment)
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [nbformat.from_dict(simplify(output)) for output in cell.outputs]
    return notebook


def describe(notebook: Any) -> list[list[Any]]:
    """Return the outputs of each cell, without the pixels of images."""
    described = []
    for cell in notebook.cells:
        outputs = []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            kinds = [kind.partition("/")[0] for kind in data]
            html = _DATA_URL.sub("", "".join(data.get("text/html", "")))
            outputs.append((kinds, html, output.get("text", ""), data.get("text/plain", "")))
        described.append(outputs)
    return described


def find_images(notebook: Any) -> Iterator[Image.Image]:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for kind, value in output.get("data", {}).items():
                encoded = [value] if kind.startswith("image/") else _DATA_URL.findall(str(value))
                for each in encoded:
                    yield Image.open(io.BytesIO(base64.b64decode(each)))


@pytest.mark.parametrize("path", [pytest.param(path, marks=RUN) for path in NOTEBOOKS], ids=name_of)
def test_notebook_runs(path: Path, tmp_path: Path) -> None:
    for module in ("pandas", "rapidocr"):
        if find_spec(module) is None:
            pytest.skip(f"needs {module}")
    ran = run(path, tmp_path)
    image = list(find_images(ran))[-1]
    if os.environ.get("WRITE_EXAMPLES"):
        nbformat.write(ran, path)
        (FOLDER / "images").mkdir(exist_ok=True)
        image.convert("RGB").save(FOLDER / f"images/{path.stem}.jpg", quality=90)
    kept = nbformat.read(path, as_version=4)

    assert describe(ran) == describe(kept), "make examples writes the outputs again"
    sizes = [shown.size for shown in find_images(kept)]
    assert [shown.size for shown in find_images(ran)] == sizes
    with Image.open(FOLDER / f"images/{path.stem}.jpg") as shown:
        assert shown.size == image.size


@pytest.mark.any_version
@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_notebook_uses_the_sandbox_without_a_key_only(path: Path) -> None:
    code = to_program(path)
    (begin,) = re.findall(r"Sandbox\(.*\)", code)
    assert 'if "DASHSCOPE_API_KEY" not in os.environ:\n    from qwen_vl_sandbox' in code
    assert code.index(begin) < 300
    assert "asyncio.run" not in code
    nbformat.validate(nbformat.read(path, as_version=4))
    assert path.stat().st_size < 300_000


@pytest.mark.any_version
def test_examples_are_listed() -> None:
    page = (ROOT / "docs/examples.md").read_text(encoding="utf-8")
    for path in (*NOTEBOOKS, *FOLDER.glob("*.py")):
        assert f"(examples/{path.name})" in page
    for path in NOTEBOOKS:
        assert f"(examples/images/{path.stem}.jpg)" in page
    assert "(docs/examples.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
