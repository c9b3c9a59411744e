"""Run the `skillpm` of the user's environment and print the command."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples.errors import DemoError

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Skillpm:
    """Runs commands in one project, with its own home.

    Environment variables that would change the result, such as `SKILLPM_REGISTRY`, are left out.
    The command's progress bars are shown on the terminal.
    """

    project: Path
    home: Path
    console: Console

    def __call__(self, *arguments: str) -> dict[str, Any]:
        """Run one command with `--json` and return its document; a failure is a `DemoError`."""
        done = self._run(*arguments, "--json")
        try:
            document = json.loads(done.stdout)
        except ValueError:
            document = {}
        if done.returncode or not isinstance(document, dict):
            error = document.get("error", {}) if isinstance(document, dict) else {}
            said = [str(error[key]) for key in ("message", "hint") if error.get(key)]
            command = shlex.join(["skillpm", *arguments])
            raise DemoError("\n".join([f"`{command}` gave exit code {done.returncode}", *said]))
        return document

    def show(self, *arguments: str) -> None:
        """Run one command and print its output."""
        done = self._run(*arguments)
        self.console.out(done.stdout.rstrip(), highlight=False)
        if done.returncode:
            command = shlex.join(["skillpm", *arguments])
            raise DemoError(f"`{command}` gave exit code {done.returncode}")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        shown = [argument for argument in arguments if argument != "--json"]
        self.console.print(
            f"$ {shlex.join(['skillpm', *shown])}", style="bold", markup=False, highlight=False
        )
        return subprocess.run(
            [str(script()), *arguments],
            cwd=self.project,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            check=False,
        )

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SKILLPM_")}
        return {**kept, "SKILLPM_HOME": str(self.home)}


def scripts() -> Path:
    """Return the folder of this environment's console scripts."""
    return Path(sysconfig.get_path("scripts"))


def path_line() -> str:
    """Return the shell line that puts this environment's commands on the PATH."""
    activate = scripts() / "activate"
    if activate.is_file():
        return f"source {shlex.quote(os.path.relpath(activate))}"
    return f'export PATH={shlex.quote(str(scripts()))}:"$PATH"'


def script() -> Path:
    """Return this environment's `skillpm`; raise `DemoError` if it is not installed."""
    for name in ("skillpm", "skillpm.exe"):
        if (scripts() / name).is_file():
            return scripts() / name
    raise DemoError(f"skillpm is not installed in this environment ({scripts()})")
