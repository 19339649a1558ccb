"""What is asked about each row, and the key that its answer is known by."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from qwen_vl.bulk.row import MediaSource, Row
from qwen_vl.bulk.tasks import Question, TaskName, find_kind, make_question
from qwen_vl.content import Audio, Document, Image, Part, Text, Turn, Url, Video
from qwen_vl.errors import ConfigurationError
from qwen_vl.media.video.file import open_file
from qwen_vl.parsing import read_json_answer
from qwen_vl.reply import Reply
from qwen_vl.request.build import build_media_policy, build_request
from qwen_vl.request.rules import choose_structured_method, to_json_schema_format, to_object_schema
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings

Validator: TypeAlias = Callable[[Any], str | None]
"""Returns what is wrong with a value, or `None`."""

# Of the keys: another one where the same row would be asked otherwise.
_VERSION = 1
_READ_BYTES = 1 << 20
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([A-Za-z_][\w .-]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A question that is asked about each row. It can be pickled; the key of the API is not.

    Args:
        settings: The model, how to reach it, and which files may be read.
        prompt: The question; `{column}` stands for the value of a column, `{{` and `}}` for braces.
        system: The system message.
        schema: JSON schema of an object, which each answer must follow.
        parameters: Parameters of each call, such as `{"max_tokens": 200}`.
        task: What is asked: `ask`, the prompt; `locate`, where the things are that the prompt
            names; `timeline`, when they happen; `ocr`, the text; `parse`, the blocks of a page.

    Raises:
        ConfigurationError: The task needs a prompt, or takes no schema.

    Example:
        >>> job = Job(settings=QwenVLSettings(api_key="sk-1"), prompt="Is this a {kind}?")
        >>> image = Url("https://example.com/a.png")
        >>> row = Row(number=0, media=(image,), columns={"kind": "cat"})
        >>> [part.text for part in job.make_turns(row)[0].parts[1:]]
        ['Is this a cat?']
    """

    settings: QwenVLSettings
    prompt: str
    system: str | None = None
    schema: Mapping[str, Any] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    task: TaskName = "ask"

    def __post_init__(self) -> None:
        if self.task in {"ask", "locate"} and not self.prompt.strip():
            raise ConfigurationError(f"task {self.task!r} needs a prompt.")
        if self.task != "ask" and (self.schema is not None or self.system is not None):
            raise ConfigurationError(
                f"task {self.task!r} has its own form: leave out schema and system."
            )

    def make_question(self, row: Row, find_problem: Validator | None = None) -> Question:
        """Return what is sent for a row, and what reads the answer.

        The media of tasks other than `ask` is read now.

        Args:
            row: Any row.
            find_problem: Checks values against the schema.

        Raises:
            ConfigurationError: A parameter is wrong, or the prompt names a missing column.
            MediaError: The media cannot be read or sent.
        """
        if self.task == "ask":
            return Question(
                request=self.make_request(row),
                read=lambda reply: self.read_answer(reply, find_problem),
            )
        prompt = fill_in(self.prompt, row.columns)
        return make_question(self.task, row, prompt, self.settings, self.parameters)

    def make_turns(self, row: Row) -> tuple[Turn, ...]:
        """Return the conversation that is asked about a row.

        Args:
            row: Its media comes first, then the prompt.

        Raises:
            ConfigurationError: The prompt names a column that the row does not have.
        """
        parts: list[Part] = [_to_part(source, row.name) for source in row.media]
        parts.append(Text(text=fill_in(self.prompt, row.columns)))
        turns = (Turn(role="user", parts=tuple(parts)),)
        if self.system is None:
            return turns
        return (Turn(role="system", parts=(Text(text=self.system),)), *turns)

    def make_request(self, row: Row) -> Request:
        """Return the request that is sent for a row; its media is not read yet.

        Args:
            row: Any row.

        Raises:
            ConfigurationError: A parameter is wrong, or the prompt names a missing column.
        """
        return build_request(
            self.settings, self.make_turns(row), stream=None, **self.options, **self.parameters
        )

    def find_key(self, row: Row) -> str:
        """Return the key of a row: a hash of what is asked, and of the bytes of its files.

        The same question about the same content has the same key, in any folder.

        Args:
            row: Its files are read.

        Raises:
            MediaError: A file does not exist, or may not be read.
        """
        identity = {
            "version": _VERSION,
            "model": self.settings.model,
            "server": self.settings.server,
            "system": self.system,
            "prompt": fill_in(self.prompt, row.columns),
            "schema": self.schema,
            "parameters": self.parameters,
            "media": [self._hash(source, row.name) for source in row.media],
        }
        if self.task != "ask":
            identity |= {"task": self.task, "page": row.page}
        written = json.dumps(identity, default=str, sort_keys=True)
        return hashlib.sha256(written.encode(errors="surrogatepass")).hexdigest()

    def read_answer(self, reply: Reply, find_problem: Validator | None = None) -> Any:
        """Return what a row was answered: text, or the value that follows the schema.

        Args:
            reply: The answer.
            find_problem: Checks values against the schema.

        Raises:
            AnswerFormatError: The answer is not JSON, breaks off, or does not follow the schema.
        """
        return reply.text if self.schema is None else read_json_answer(reply, find_problem)

    def _hash(self, source: MediaSource, where: str) -> str:
        if isinstance(source, Url):
            return f"url:{source.url}"
        digest = hashlib.sha256()
        with open_file(source, build_media_policy(self.settings), where) as file:
            while block := file.read(_READ_BYTES):
                digest.update(block)
        return digest.hexdigest()

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that the prompt names.

        Example:
            >>> Job(settings=QwenVLSettings(), prompt="Is {name} a {{kind}}?").columns
            ('name',)
        """
        names = (match[1] for match in _PLACEHOLDER.finditer(self.prompt))
        return tuple(dict.fromkeys(name for name in names if name is not None))

    @property
    def options(self) -> dict[str, Any]:
        """Return the options of each call that hold answers to the schema."""
        if self.schema is None:
            return {}
        settings = self.settings
        method = choose_structured_method(
            settings.model, protocol=settings.protocol, server=settings.server
        )
        if method == "json_schema":
            return {"response_format": to_json_schema_format(self.schema)}
        schema = to_object_schema(self.schema)
        return {"response_format": {"type": "json_object"}, "response_schema": schema}


def fill_in(template: str, columns: Mapping[str, Any]) -> str:
    """Put the values of columns into a prompt.

    Args:
        template: `{column}` stands for a value, `{{` and `}}` for braces.
        columns: The values.

    Raises:
        ConfigurationError: The column does not exist.

    Example:
        >>> fill_in("Is {name} a {{kind}}?", {"name": "Chelsea"})
        'Is Chelsea a {kind}?'
    """

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return match[0][0]
        if name not in columns:
            known = ", ".join(columns) or "none"
            raise ConfigurationError(
                f"The prompt has {{{name}}}, and the row lacks this column. Its columns: {known}. "
                f"Write {{{{{name}}}}} for the braces themselves."
            )
        return str(columns[name])

    return _PLACEHOLDER.sub(replace, template)


def _to_part(source: MediaSource, where: str) -> Part:
    kind = find_kind(source)
    if kind == "video":
        return Video(source=source, where=where)
    if kind == "audio":
        return Audio(source=source, where=where)
    if kind == "document":
        return Document(source=source, where=where)
    return Image(source=source, where=where)
