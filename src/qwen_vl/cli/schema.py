"""The JSON schema that an answer must follow, from a file, and the check of the answer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from qwen_vl.cli.inputs import STANDARD_INPUT, expand_path, read_text_input
from qwen_vl.errors import ConfigurationError, extra_required
from qwen_vl.parsing import read_json_answer
from qwen_vl.reply import Reply
from qwen_vl.request.rules import (
    choose_structured_method,
    to_json_schema_format,
    to_object_schema,
)
from qwen_vl.settings import QwenVLSettings


@dataclass(frozen=True, slots=True)
class AnswerSchema:
    """A JSON schema that answers are asked for by, and checked against.

    Args:
        schema: The schema.
        validator: Checks values against it.
    """

    schema: Mapping[str, Any]
    validator: Any

    def options(self, settings: QwenVLSettings) -> dict[str, Any]:
        """Return the options of a call whose answer follows the schema.

        Args:
            settings: The model, and how to reach it.
        """
        method = choose_structured_method(
            settings.model, protocol=settings.protocol, server=settings.server
        )
        if method == "json_schema":
            return {"response_format": to_json_schema_format(self.schema)}
        return {"response_format": {"type": "json_object"}, "response_schema": self.schema}

    def read(self, reply: Reply) -> Any:
        """Return the value that an answer holds.

        Args:
            reply: The answer.

        Raises:
            AnswerFormatError: It is not JSON, breaks off, or does not follow the schema.
            ConfigurationError: The schema has a reference or a pattern that cannot be used.
        """
        return read_json_answer(reply, self.find_problem)

    def find_problem(self, value: Any) -> str | None:
        """Return where a value does not follow the schema, and how; `None` if it does.

        Args:
            value: From an answer.

        Raises:
            ConfigurationError: The schema has a reference or a pattern that cannot be used.
        """
        from referencing.exceptions import Unresolvable  # noqa: PLC0415 - as in `read_schema`

        try:
            problem = next(iter(self.validator.iter_errors(value)), None)
        except (Unresolvable, re.error) as error:
            # References and patterns are not part of what a schema's own schema checks.
            raise ConfigurationError(f"--schema: the answer cannot be checked: {error}.") from error
        return None if problem is None else f"{problem.json_path}: {problem.message}"


def read_schema(value: str) -> AnswerSchema:
    """Read a JSON schema from a file, or from standard input if it is `-`.

    Args:
        value: As the user typed it.

    Raises:
        ConfigurationError: The file does not exist, or does not hold a JSON schema of an object.
        MissingExtraError: jsonschema is not installed.
    """
    with extra_required("--schema", extra="cli"):
        from jsonschema import SchemaError  # noqa: PLC0415 - slow, and for this option only
        from jsonschema.validators import validator_for  # noqa: PLC0415 - as above
        from referencing import Registry  # noqa: PLC0415 - as above

    try:
        text = read_text_input() if value == STANDARD_INPUT else expand_path(value).read_bytes()
        schema = orjson.loads(text)
    except OSError as error:
        raise ConfigurationError(f"--schema: {value} cannot be read: {error.strerror}.") from error
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"--schema: {value} is not JSON: {error}.") from error
    if not isinstance(schema, dict):
        raise ConfigurationError(f"--schema: {value} holds {type(schema).__name__}, not an object.")
    kind = validator_for(schema)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ConfigurationError(
            f"--schema: {value} is not a JSON schema: {error.json_path}: {error.message}."
        ) from error
    # An empty registry: a reference to a URL is never fetched.
    return AnswerSchema(to_object_schema(schema), kind(schema, registry=Registry()))
