"""What goes together at the service, and what one request does where it does not."""

from typing import Any

import pytest

from qwen_vl.content import Text, Turn
from qwen_vl.errors import ConfigurationError
from qwen_vl.request.rules import ensure_json_instruction, to_json_schema_format, to_object_schema

JSON_MODE = {"response_format": {"type": "json_object"}}
TREE = {
    "type": "object",
    "title": "Tree",
    "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}},
}
REFERRING = {"$defs": {"Tree": TREE}, "$ref": "#/$defs/Tree"}


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_json_is_mentioned_where_no_system_message_is_taken(role: Any) -> None:
    turns = (Turn(role=role, parts=(Text(text="Hello"),)),)
    mentioned = ensure_json_instruction(turns, JSON_MODE, "qwen-vl-ocr")
    assert mentioned[-1].role == "user"
    assert "JSON" in str(mentioned[-1].parts)


def test_root_that_refers_to_a_definition_is_written_out() -> None:
    assert to_object_schema(REFERRING) == {**TREE, "$defs": {"Tree": TREE}}
    assert set(REFERRING) == {"$defs", "$ref"}
    sent = to_json_schema_format(REFERRING)["json_schema"]
    assert (sent["name"], sent["schema"]["type"]) == ("Tree", "object")


@pytest.mark.parametrize("schema", [{"type": "array"}, {"title": "Cats", "type": "string"}])
def test_schema_that_is_no_object(schema: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="Make it a field"):
        to_object_schema(schema)
