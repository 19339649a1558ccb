"""How commands report: errors as JSON, exit codes, warnings in one line, and completion."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox

Run = Callable[..., subprocess.CompletedProcess[str]]

_BASH = shutil.which("bash")


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (
            ["ask", "What?", "nowhere.png"],
            3,
            {"type": "MediaNotFoundError", "where": "nowhere.png"},
        ),
        (["tokens", "nowhere.png"], 3, {"type": "MediaNotFoundError", "where": "nowhere.png"}),
        (["locate", "nowhere.png", "a cat"], 3, {"type": "MediaNotFoundError"}),
        (["timeline", CHELSEA], 3, {"where": str(CHELSEA)}),
        (["ask", "What?"], 4, {"type": "ConfigurationError"}),
        (["ask", "What?", "--fps", "50"], 4, {"type": "ConfigurationError"}),
        (
            ["ask", "What?", "--model", "qwen-vl-max", "--sandbox"],
            5,
            {"type": "NotFoundError", "status": 404, "code": "model_not_found"},
        ),
        (["ask"], 2, {"type": "MissingParameter"}),
        (["ask", "What?", "--color"], 2, {"type": "NoSuchOption"}),
        (["ask", "What?", "--seed", "x"], 2, {"type": "BadParameter"}),
        (["ask", "  "], 2, {"message": "Invalid value: The question is empty."}),
        (["nothing"], 2, {"message": "No such command 'nothing'."}),
    ],
)
def test_error_is_one_json_object(
    arguments: list[object], code: int, error: dict[str, Any], run_here: Run
) -> None:
    plain, done = run_here(*arguments), run_here(*arguments, "--json")

    assert (plain.returncode, plain.stdout) == (code, "")
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout.count("\n") == 1
    found = json.loads(done.stdout)["error"]
    assert found.keys() == {
        *("type", "message", "where", "status", "code", "request_id", "text", "exit_code")
    }
    assert {name: found[name] for name in error} == error
    assert found["exit_code"] == code
    assert (found["request_id"] is not None) == (code == 5)


def test_flag_behind_two_dashes_is_a_question(run_here: Run) -> None:
    done = run_here("ask", "nowhere.png", "--", "nowhere.png", "--json")

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("Error: nowhere.png: ")


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("locate", "I see no boxes."),
        ("locate", '[{"bbox_2d": [4000, 4000, 5000, 5000], "label": "cat"}]'),
        ("timeline", "Nothing happens."),
    ],
)
def test_answer_that_cannot_be_read_has_an_exit_code(
    command: str, answer: str, run_here: Run, qwen_vl_sandbox: Sandbox, tmp_path: Path
) -> None:
    gif = tmp_path / "moving.gif"
    frames = [Image.new("RGB", (64, 48), color) for color in ("red", "green", "blue", "white")]
    frames[0].save(gif, save_all=True, append_images=frames[1:], duration=500)
    arguments = [gif] if command == "timeline" else [CHELSEA, "cat"]
    environment = {"DASHSCOPE_API_KEY": "sk-env", "DASHSCOPE_BASE_URL": qwen_vl_sandbox.base_url}
    qwen_vl_sandbox.script(answer, answer)
    plain = run_here(command, *arguments, environment=environment)
    done = run_here(command, *arguments, "--json", environment=environment)

    assert (plain.returncode, plain.stdout) == (7, "")
    assert (plain.stderr[:7], plain.stderr.count("\n")) == ("Error: ", 1)
    assert done.returncode == 7
    assert json.loads(done.stdout)["error"]["text"] == answer


@pytest.mark.slow
def test_warning_is_one_line_without_a_path(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "cat.json"
    path.write_text('{"type": "object", "properties": {"name": {"type": "string"}}}')
    arguments = ("ask", "Who?", CHELSEA, "--schema", path, "--think", "--sandbox", "--json")
    done = run(*arguments)

    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("Warning: The service refuses ")
    assert done.stderr.count("\n") == 1
    assert ".py" not in done.stderr
    assert json.loads(done.stdout)["parsed"]


def test_options_without_values_are_completed(run_here: Run) -> None:
    assert _complete(run_here, "qwen-vl loc") == ["locate"]
    assert "--schema" in _complete(run_here, "qwen-vl ask hi --s")


@pytest.mark.parametrize(
    ("typed", "choices"),
    [
        ("ask hi --protocol ", ["openai", "native"]),
        ("ask hi --server v", ["vllm"]),
        ("ask hi --video-mode ", ["auto", "inline", "frames", "upload"]),
        ("locate a b --space ", ["normalized", "resized", "sent"]),
        ("timeline a --protocol n", ["native"]),
        ("tokens a --server sg", ["sglang"]),
        ("sandbox --server o", ["ollama"]),
        ("ask hi --model qwen3-vl", ["qwen3-vl-plus"]),
        ("ask hi --region us", ["us-east-1"]),
    ],
)
def test_choices_are_completed(typed: str, choices: list[str], run_here: Run) -> None:
    assert _complete(run_here, f"qwen-vl {typed}") == choices


def _complete(run: Run, typed: str) -> list[str]:
    variables = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1)}
    done = run(environment={"_QWEN_VL_COMPLETE": "complete_bash", **variables})
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.skipif(_BASH is None, reason="needs bash")
def test_bash_completes(tmp_path: Path) -> None:
    (tmp_path / "qwen-vl").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m qwen_vl "$@"\n')
    (tmp_path / "qwen-vl").chmod(0o755)
    script = (
        "source <(qwen-vl --show-completion bash)\n"
        'COMP_WORDS=(qwen-vl locate a b --space "") COMP_CWORD=5\n'
        "_qwen_vl_completion qwen-vl\n"
        'echo "${COMPREPLY[@]}"\n'
        "complete -p qwen-vl\n"
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HOME": str(tmp_path)}
    done = subprocess.run(
        [str(_BASH), "-c", script], env=environment, capture_output=True, text=True, check=False
    )

    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "normalized resized sent",
        "complete -o default -F _qwen_vl_completion qwen-vl",
    ]


@pytest.mark.parametrize(
    "command", ["ask", "demo", "locate", "models", "sandbox", "timeline", "tokens"]
)
def test_help_names_every_option(command: str, run_here: Run) -> None:
    done = run_here(command, "--help")

    assert done.returncode == 0
    assert f"Usage: qwen-vl {command} [OPTIONS]" in done.stdout
    options = [line for line in done.stdout.splitlines() if line.startswith("│ --")]
    assert options
    assert all(len(line.strip(" │").split(maxsplit=2)) == 3 for line in options)
