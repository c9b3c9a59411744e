"""Ctrl-C at any time gives one sentence and exit code 130, without a traceback."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from skillpm_world import PACKAGES, REPOSITORY, start_process


def interrupted_at(module: str, command: list[str], tmp_path: Path) -> tuple[int, str, str]:
    """Run a command in which the import of `module` is interrupted from the keyboard."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    done = subprocess.run(
        [sys.executable, *command],
        env={"PYTHONPATH": f"{tmp_path}:{REPOSITORY}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
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
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'skillpm.flows.inspect.verify':\n"
        "            try:\n"
        "                os.kill(os.getpid(), signal.SIGINT)\n"
        "                signal.sigtimedwait([], 0.1)\n"
        "            except KeyboardInterrupt:\n"
        "                raise ImportError('initialisation failed')\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    path = f"{tmp_path}:{REPOSITORY}"
    with start_process("verify", "x.skillpack", PYTHONPATH=path) as process:
        _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (130, "error: interrupted; no partial changes remain\n")


@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
def test_interrupt_of_generated_code_gives_the_exit_code_of_an_interrupt(
    sent: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'skillpm.flows.inspect.verify':\n"
        f"            exec('os.kill(os.getpid(), signal.{sent}); signal.sigtimedwait([], 1)')\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    path = f"{tmp_path}:{PACKAGES}"
    with start_process("verify", "x.skillpack", PYTHONPATH=path) as process:
        _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (130, "error: interrupted; no partial changes remain\n")
