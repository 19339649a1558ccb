"""`python -m fuzz.opened_files FOLDER`: which files are opened, where paths stand in content.

An audit hook sees every file that this process opens; the secret lies in FOLDER, outside of the
root. Prints JSON: how many forms were tried, and those in which the secret was opened.
"""

import copy
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage, messages_from_dict
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.schema import ImageDocument, ImageNode, MediaResource, Node, TextNode

from fuzz.targets import BLOCKS, LLAMA_INDEX_BLOCKS
from langchain_qwen_vl.messages import to_turns as langchain_turns
from llama_index.llms.qwen_vl.messages import to_turns as llama_index_turns
from llama_index.llms.qwen_vl.nodes.read import to_media_blocks
from qwen_vl.content import Turn
from qwen_vl.media import prepare_media
from qwen_vl.request.types import MediaPolicy, Request

SECRET = "secret-of-this-test.png"
_opened: list[str] = []


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """Note that the secret is opened, by any name."""
    if event == "open" and isinstance(arguments[0], str | bytes | Path):
        name = arguments[0].decode() if isinstance(arguments[0], bytes) else str(arguments[0])
        if name.endswith(SECRET):
            _opened.append(name)


def spell_paths(folder: Path) -> Iterator[str]:
    """Yield the path of the secret in the forms that programs write."""
    path = folder / SECRET
    yield str(path)
    yield path.as_uri()
    yield f"file:{path}"
    yield f"FILE://localhost{path}"
    yield f"file://{quote(str(path))}".replace("secret", "%73ecret")
    yield f"{folder}/root/../{SECRET}"
    yield f"./root/../{SECRET}"
    yield SECRET
    yield f" {path}"
    yield f"{path}\n"
    yield f"/proc/self/cwd/{SECRET}"
    yield f"{folder}/root/link/{SECRET}"
    yield f"data:image/png;base64,{path}"


def replaced(value: Any, path: str) -> Iterator[Any]:
    """Yield copies of a block with the path in the place of each of its texts."""
    if isinstance(value, dict):
        for name, inner in value.items():
            for changed in replaced(inner, path):
                yield {**value, name: changed}
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            for changed in replaced(inner, path):
                yield [*value[:index], changed, *value[index + 1 :]]
    elif isinstance(value, str):
        yield path


def langchain_forms(path: str) -> Iterator[tuple[str, Callable[[], tuple[Turn, ...]]]]:
    blocks = [block for shape in BLOCKS for block in replaced(shape, path)]
    blocks += [{"type": "image", key: path} for key in ("path", "file", "image", "data", "id")]
    blocks += [{"type": "video", key: path} for key in ("path", "file", "video", "frames", "data")]
    for block in blocks:
        made: list[tuple[str, Callable[[], Any]]] = [
            ("message", lambda b=block: HumanMessage([b])),
            ("earlier answer", lambda b=block: AIMessage([b])),
            ("tool", lambda b=block: ToolMessage([b], tool_call_id="c1")),
            ("artifact", lambda b=block: ToolMessage("x", artifact=b, tool_call_id="c1")),
            ("loaded", lambda b=block: load(dumpd(HumanMessage([b])), allowed_objects="messages")),
            ("dict", lambda b=block: messages_from_dict([_as_dict(b)])[0]),
        ]
        for name, make in made:
            yield f"{name}: {block}", lambda m=make: langchain_turns([m()])
    yield f"text: {path}", lambda: langchain_turns([HumanMessage(path)])


def _as_dict(block: dict[str, Any]) -> dict[str, Any]:
    return {"type": "human", "data": {"content": [block]}}


def llama_index_forms(path: str) -> Iterator[tuple[str, Callable[[], tuple[Turn, ...]]]]:
    blocks = [block for shape in LLAMA_INDEX_BLOCKS for block in replaced(shape, path)]
    for kind in ("image", "video", "audio", "document"):
        blocks += [{"block_type": kind, key: path} for key in ("path", "url", "data", kind)]
    for block in blocks:
        for role in ("user", "tool", "assistant"):
            message = {"role": role, "blocks": [block], "additional_kwargs": {"tool_call_id": "c"}}
            yield (
                f"{role}, from JSON: {block}",
                lambda m=message: llama_index_turns(
                    [ChatMessage.model_validate_json(json.dumps(copy.deepcopy(m)))]
                ),
            )
    metadata = ("image_path", "image_url", "video_path", "video_url", "video_frames", "file_path")
    nodes: list[tuple[str, Callable[[], Any]]] = [
        *(
            (f"metadata {key}", lambda k=key: TextNode(text="a", metadata={k: path}))
            for key in metadata
        ),
        *(
            (f"metadata [{key}]", lambda k=key: TextNode(text="a", metadata={k: [path]}))
            for key in metadata
        ),
        ("ImageNode path", lambda: ImageNode(image_path=path)),
        ("ImageNode url", lambda: ImageNode(image_url=path)),
        ("ImageNode image", lambda: ImageNode(image=path)),
        ("ImageDocument", lambda: ImageDocument(image_url=path)),
        ("resource", lambda: Node(image_resource=MediaResource(url=path))),
        ("video", lambda: Node(video_resource=MediaResource(path=Path(path)))),
    ]
    for name, make in nodes:
        yield f"node, {name}: {path}", lambda m=make: llama_index_turns(_ask_about(m()))


def _ask_about(node: Any) -> list[ChatMessage]:
    # As from a store: what the program itself has made is its own.
    kept = type(node).model_validate_json(node.model_dump_json())
    return [ChatMessage(blocks=to_media_blocks([kept]))]


def main() -> None:
    """Try every form with and without roots."""
    folder = Path(sys.argv[1]).resolve()
    warnings.simplefilter("ignore")
    sys.addaudithook(note)
    outcome: dict[str, Any] = {"roots": [0, []], "none": [0, []]}
    for path in spell_paths(folder):
        for forms in (langchain_forms(path), llama_index_forms(path)):
            for name, convert in forms:
                for policy_name, policy in (
                    ("roots", MediaPolicy(media_roots=(folder / "root",))),
                    ("none", MediaPolicy()),
                ):
                    _opened.clear()
                    # What is refused is refused; what was opened before counts.
                    with suppress(Exception):
                        turns = convert()
                        prepare_media(Request(model="qwen3-vl-plus", turns=turns, policy=policy))
                    tried, found = outcome[policy_name]
                    outcome[policy_name] = [tried + 1, found + ([name] if _opened else [])]
    json.dump(outcome, sys.stdout)


if __name__ == "__main__":
    main()
