"""Build every distribution into `dist/`, and check what came out: `make dist` runs this.

Contents are compared with the repository. Then the wheels are installed into fresh environments
outside of the checkout, without an index, on the oldest and on the newest Python found: programs of
`tests/release` run there, and mypy and pyright check one of them.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from archives import find_archives, find_problems
from distributions import ROOT, Distribution, read_distributions
from pythons import Environment, Python, clean_environment, fill_wheelhouse, find_lowest_and_newest
from version import find_version

DIST = ROOT / "dist"
WHEELHOUSE = ROOT / ".wheelhouse"
PROGRAMS = ROOT / "tests/release"
TYPED_PROGRAM = "typed_program.py"
EXTRAS = {"qwen-vl": "[cli,sandbox]"}
"""What users of the command install."""

_ASK_SANDBOX = """
import os, runpy
from qwen_vl_sandbox import Sandbox
with Sandbox() as sandbox:
    os.environ |= {"DASHSCOPE_API_KEY": "sk-sandbox", "DASHSCOPE_BASE_URL": sandbox.base_url}
    runpy.run_path("typed_program.py", run_name="__main__")
"""


def build(distributions: Sequence[Distribution]) -> None:
    """Build sdists, and wheels from them.

    Args:
        distributions: What to build.
    """
    shutil.rmtree(DIST, ignore_errors=True)
    command = [sys.executable, "-m", "uv", "build", "--quiet", "--no-create-gitignore"]
    for each in distributions:
        subprocess.run([*command, "--out-dir", str(DIST), str(each.folder)], check=True)


def check_archives(distributions: Sequence[Distribution]) -> None:
    """Print the sizes of all archives, and check what is in them.

    Args:
        distributions: What was built.

    Raises:
        SystemExit: Something is missing, or does not belong there.
    """
    archives = [archive for each in distributions for archive in find_archives(each, DIST)]
    for archive in archives:
        print(f"  {archive.stat().st_size / 1024:8,.1f} KiB  {archive.name}")
    strays = {path.name for path in DIST.iterdir()} - {archive.name for archive in archives}
    problems = [f"dist/{name} does not belong there" for name in sorted(strays)]
    for each in distributions:
        problems += find_problems(each, DIST)
    if problems:
        sys.exit("\n".join(problems))
    twine = [sys.executable, "-m", "twine", "--no-color", "check", "--strict"]
    subprocess.run([*twine, *map(str, archives)], check=True)


def check_installed(python: Python, distributions: Sequence[Distribution]) -> None:
    """Install the wheels into a fresh environment, and run programs there.

    Args:
        python: Its interpreter.
        distributions: What was built.
    """
    wheels = {
        each.name: f"{find_archives(each, DIST)[0]}{EXTRAS.get(each.name, '')}"
        for each in distributions
    }
    requirements = sorted(name for each in distributions for name in each.requirements)
    wheelhouse = WHEELHOUSE / python.version
    fill_wheelhouse(python, wheelhouse, list(wheels.values()), requirements)
    with TemporaryDirectory(prefix="qwen-vl-dist-") as name:
        folder = Path(name).resolve()
        environment = Environment(python, folder)
        for program in PROGRAMS.glob("*.py"):
            shutil.copy(program, folder)
        pytest = ("-m", "pytest", "-q", "-p", "no:cacheprovider")

        print("Only qwen-vl:")
        environment.install([wheels["qwen-vl"].partition("[")[0], "pytest"], wheelhouse)
        environment.run("smoke.py", "core")
        environment.run(*pytest, "without_plugin.py")

        print("All packages:")
        environment.install(list(wheels.values()), wheelhouse)
        environment.run("smoke.py", "all")
        # pytest-asyncio, which llama-index-vision-tests brings, warns where this is not set.
        loops = ("-o", "asyncio_default_fixture_loop_scope=function")
        environment.run(*pytest, *loops, "with_plugin.py")
        environment.run("-c", _ASK_SANDBOX)
        check_types(environment)


def check_types(environment: Environment) -> None:
    """Check a user's program against the packages of an environment.

    Args:
        environment: Where the packages are; the type checkers need not be.

    Raises:
        CalledProcessError: There are errors.
    """
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir=mypy"]
    settings = {"typeCheckingMode": "standard", "include": [TYPED_PROGRAM]}
    (environment.folder / "pyrightconfig.json").write_text(json.dumps(settings))
    pyright = [sys.executable, "-m", "pyright", "--pythonpath", environment.python]
    for command in ([*mypy, "--python-executable", environment.python, TYPED_PROGRAM], pyright):
        print(f"  {command[2]}: ", end="", flush=True)
        subprocess.run(command, cwd=environment.folder, check=True, env=clean_environment())


def main() -> None:
    """Build and check everything, and say how long it took."""
    started = time.monotonic()
    distributions = read_distributions()
    print(f"== Build {find_version(distributions)}")
    build(distributions)
    check_archives(distributions)
    for python in find_lowest_and_newest():
        began = time.monotonic()
        print(f"== Python {python.version}: {python.path}", flush=True)
        check_installed(python, distributions)
        print(f"  {time.monotonic() - began:.0f} s")
    print(f"== Done in {time.monotonic() - started:.0f} s: upload the files of {DIST.name}/")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd))
        sys.exit(f"exit code {error.returncode}: {command}")
