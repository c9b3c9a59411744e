"""Ctrl-C at any time gives one sentence and exit code 130, without a traceback."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from skillpm_world import PACKAGES, REPOSITORY, default_interrupt, start_process


def at_import(module: str, tmp_path: Path, *lines: str) -> str:
    """A folder for `PYTHONPATH` whose `sitecustomize` runs lines when `module` is imported."""
    indented = "".join(f"            {line}\n" for line in lines)
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        f"{indented}"
        "sys.meta_path.insert(0, Finder())\n"
    )
    return str(tmp_path)


def interrupted_at(module: str, command: list[str], tmp_path: Path) -> tuple[int, str, str]:
    """Run a command in which the import of `module` is interrupted from the keyboard."""
    folder = at_import(module, tmp_path, "os.kill(os.getpid(), signal.SIGINT)")
    done = subprocess.run(
        [sys.executable, *command],
        env={"PYTHONPATH": f"{folder}:{REPOSITORY}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=default_interrupt,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "module", ["skillpm.cli.app", "skillpm.cli.inspecting", "skillpm.flows.inspect.verify"]
)
def test_command_interrupted_during_imports_reports_it(module: str, tmp_path: Path) -> None:
    command = ["-m", "skillpm", "verify", "x.skillpack"]
    code, _, err = interrupted_at(module, command, tmp_path)
    assert (code, err) == (130, "error: interrupted; no partial changes remain\n")
    code, out, err = interrupted_at(module, [*command, "--json"], tmp_path)
    assert (code, err) == (130, "")
    assert json.loads(out)["error"]["kind"] == "interrupted"


@pytest.mark.parametrize(
    ("module", "script"),
    [
        ("examples.code_search.evaluate", "examples.demo"),
        ("examples.continual.journey", "examples.continual"),
        ("benchmarks.commands.resolvers", "benchmarks.commands.resolution"),
        ("benchmarks.tools.table", "benchmarks.commands.startup"),
    ],
)
def test_script_interrupted_during_imports_reports_it(
    module: str, script: str, tmp_path: Path
) -> None:
    code, _, err = interrupted_at(module, ["-m", script], tmp_path)
    assert (code, err) == (130, "error: interrupted\n")


def test_interrupt_that_a_library_replaces_by_another_error_is_reported(tmp_path: Path) -> None:
    folder = at_import(
        "skillpm.flows.inspect.verify", tmp_path,
        "try:",
        "    os.kill(os.getpid(), signal.SIGINT)",
        "    signal.sigtimedwait([], 0.1)",
        "except KeyboardInterrupt:",
        "    raise ImportError('initialisation failed')",
    )  # fmt: skip
    path = f"{folder}:{REPOSITORY}"
    with start_process("verify", "x.skillpack", PYTHONPATH=path) as process:
        _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (130, "error: interrupted; no partial changes remain\n")


@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
def test_interrupt_of_generated_code_gives_the_exit_code_of_an_interrupt(
    sent: str, tmp_path: Path
) -> None:
    line = f"exec('os.kill(os.getpid(), signal.{sent}); signal.sigtimedwait([], 1)')"
    path = f"{at_import('skillpm.flows.inspect.verify', tmp_path, line)}:{PACKAGES}"
    with start_process("verify", "x.skillpack", PYTHONPATH=path) as process:
        _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (130, "error: interrupted; no partial changes remain\n")
