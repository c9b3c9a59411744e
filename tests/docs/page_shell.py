"""Runs the commands of a documentation page in this process, in a scratch folder.

Paths of servers, `/srv` and `/etc/skillpm`, are below the scratch folder.
"""

import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from skillpm_world import Outcome, run_here

PLACES = re.compile(r"(?<![\w.])(/srv|/etc/skillpm)(?=/)")
PROGRAMS = frozenset({"mkdir", "cp", "cat", "ls", "rm", "git", "printf"})
"""Programs of the system that pages may call."""
_OPERATORS = frozenset({"&&", ";"})
_INTO = {">": "w", ">>": "a"}
"""How the file after an operator is opened."""


@dataclass
class PageShell:
    """The working folder, and the variables that the page exported."""

    root: Path
    patch: pytest.MonkeyPatch
    outcomes: list[tuple[str, Outcome]] = field(default_factory=list)

    def run(self, line: str) -> int:
        """Run a line: commands with `&&` or `;`, and `> FILE`. Returns the last exit code."""
        code = 0
        for words, operator, into in _steps(PLACES.sub(rf"{self.root}\1", line)):
            outcome = self._command(words)
            self.outcomes.append((line, outcome))
            if into is not None:
                with Path(into[0]).open(into[1], encoding="utf-8") as file:
                    file.write(outcome.out)
            code = outcome.code
            if code and operator == "&&":
                break
        return code

    def _command(self, words: list[str]) -> Outcome:
        match words:
            case ["skillpm", *arguments]:
                return run_here(*arguments)
            case ["cd", folder]:
                self.patch.chdir(folder)
            case ["export", *settings]:
                for setting in settings:
                    self.patch.setenv(*setting.split("=", 1))
            case ["python", "-m", module, *arguments]:
                self.patch.setattr(sys, "argv", [module, *arguments])
                self.patch.delitem(sys.modules, module, raising=False)  # It runs as a new program.
                try:
                    runpy.run_module(module, run_name="__main__")
                except SystemExit as end:
                    return Outcome(int(end.code or 0), "", "")
            case ["python", script]:
                runpy.run_path(script, run_name="__main__")
            case [program, *_] if program in PROGRAMS:
                done = subprocess.run(words, capture_output=True, text=True, check=False)
                return Outcome(done.returncode, done.stdout, done.stderr)
            case _:
                pytest.fail(f"cannot run `{shlex.join(words)}` here; mark the block `not run`")
        return Outcome(0, "", "")


def _steps(line: str) -> Iterator[tuple[list[str], str, tuple[str, str] | None]]:
    """Each command of a line, the operator after it, and the file that gets its output."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&;>|")
    lexer.whitespace_split = True
    words: list[str] = []
    into: tuple[str, str] | None = None
    for word in lexer:
        if word in _INTO:
            into = (next(lexer), _INTO[word])
        elif word in _OPERATORS:
            yield words, word, into
            words, into = [], None
        else:
            words.append(word)
    if words:
        yield words, "", into
