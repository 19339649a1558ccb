"""Options that several commands share, and what completes their values."""

from typing import Annotated, TypeAlias

import typer

from qwen_vl.specs.endpoints import WORKSPACE_REGIONS
from qwen_vl.specs.models import CURRENT_MODELS
from qwen_vl.specs.servers import Protocol, Server


def _complete_model(incomplete: str) -> list[str]:
    return [model for model in CURRENT_MODELS if model.startswith(incomplete)]


def _complete_region(incomplete: str) -> list[str]:
    return [region for region in WORKSPACE_REGIONS if region.startswith(incomplete)]


def _check_timeout(timeout: float | None) -> float | None:
    if timeout is not None and not timeout > 0:
        raise typer.BadParameter(f"{timeout:g} is not a number of seconds above 0.")
    return timeout


Model: TypeAlias = Annotated[
    str,
    typer.Option(
        help="Model id. `qwen-vl models` lists known ones.", autocompletion=_complete_model
    ),
]
BaseModel: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Id of the model behind a gateway's own name for it.", autocompletion=_complete_model
    ),
]
Region: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Region of the hosted service: cn-beijing, ap-southeast-1, …",
        autocompletion=_complete_region,
    ),
]
BaseUrl: TypeAlias = Annotated[
    str | None, typer.Option(help="Base URL of another endpoint, ending in /v1.")
]
ServerOption: TypeAlias = Annotated[
    Server, typer.Option("--server", help="Server behind the base URL.")
]
ProtocolOption: TypeAlias = Annotated[
    Protocol,
    typer.Option("--protocol", help="Protocol of the hosted service."),
]
Timeout: TypeAlias = Annotated[
    float | None,
    typer.Option(
        help="Timeout of one attempt in seconds; 600 by default.", callback=_check_timeout
    ),
]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object, also for an error.")
]
UseSandbox: TypeAlias = Annotated[
    bool, typer.Option("--sandbox", help="Ask a local sandbox instead of the service.")
]

Rows: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="IN",
        help="Folder, pattern ('photos/*.jpg'), or .jsonl, .csv or .parquet file.",
    ),
]
Prompt: TypeAlias = Annotated[
    str, typer.Option(help="Question about each row; {column} stands for a value of it.")
]
System: TypeAlias = Annotated[str | None, typer.Option(help="System message.")]
Schema: TypeAlias = Annotated[
    str | None, typer.Option(metavar="FILE", help="JSON schema that answers must follow.")
]
MediaColumn: TypeAlias = Annotated[
    str | None, typer.Option(help="Column that names the image, video or document.")
]
MediaRoots: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--media-root",
        help="Folder that paths of a file may lie in; that of the file by default.",
    ),
]
Limit: TypeAlias = Annotated[
    int | None, typer.Option(help="Number of rows to ask about, from the first.", min=1)
]
MaxTokens: TypeAlias = Annotated[
    int | None, typer.Option(help="Maximum number of tokens of an answer.")
]
Window: TypeAlias = Annotated[
    str, typer.Option(help="Time within which a batch is to be done: 24h to 336h, 1d to 14d.")
]
Poll: TypeAlias = Annotated[
    float, typer.Option(help="Seconds until the first look at a batch; later ones wait longer.")
]
DEFAULT_POLL = 60.0
