"""A project, a registry and a home in a temporary folder, and functions that run commands."""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from cut_packs import CutPacks
from documented import check_document

from skillpm.cli import main

REPOSITORY = Path(__file__).parents[1]
PACKAGES = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "registry")])
"""`PYTHONPATH` of the two packages under test."""


@dataclass(frozen=True)
class Outcome:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        assert self.out.count("\n") == 1, "one JSON document on stdout, nothing else"
        return document

    @property
    def error(self) -> dict[str, Any]:
        document = self.json
        assert document["schema_version"] == 1
        assert set(document["error"]) == {"kind", "message", "hint"}
        failure: dict[str, Any] = document["error"]
        return failure


def run_here(*arguments: object) -> Outcome:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as done:
            code = done.code
    assert isinstance(code, int)
    return Outcome(code, out.getvalue(), err.getvalue())


class Process(subprocess.Popen[Any]):
    """A process that is killed if its block raises, so that a failed test does not wait for it."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, value, trace)


def default_interrupt() -> None:
    """Handle Ctrl-C in a new process even if this one ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start_process(*arguments: object, **environment: str) -> Process:
    """Start a command in a separate process."""
    return Process(
        [sys.executable, "-m", "skillpm", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": PACKAGES, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=default_interrupt,
    )


def run_process(*arguments: object, **environment: str) -> Outcome:
    """Run a command in a separate process."""
    with start_process(*arguments, **environment) as process:
        out, err = process.communicate(timeout=120)
    return Outcome(process.returncode, out, err)


def snapshot(folder: Path) -> dict[str, str]:
    """Every file and folder below, with the digest of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "folder"
        for path in sorted(folder.rglob("*"))
    }


@dataclass(frozen=True)
class World:
    """A user's folders; the project is the current folder. Packs made before are copied."""

    folder: Path
    cut: CutPacks | None = None

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def lock(self) -> str:
        return (self.project / "skillpm.lock").read_text()

    @property
    def file(self) -> Path:
        return self.project / "skillpm.toml"

    def run(self, *arguments: object) -> Outcome:
        return run_here(*arguments)

    def ask(self, *arguments: object, code: int = 0) -> dict[str, Any]:
        """Run with `--json`, check the exit code, and the document against its schema."""
        outcome = run_here(*arguments, "--json")
        assert outcome.code == code, outcome
        assert outcome.json["schema_version"] == 1
        check_document(arguments, outcome.json)
        return outcome.json

    def fail(self, *arguments: object, code: int, kind: str) -> str:
        """Run a command that must fail with this code and kind; return its message and hint."""
        outcome = run_here(*arguments, "--json")
        assert (outcome.code, outcome.error["kind"]) == (code, kind), outcome
        check_document(arguments, outcome.json)
        return f"{outcome.error['message']}\n{outcome.error['hint'] or ''}"

    def init(self, base: Path) -> str:
        root: str = self.ask("init", "--base", base)["root"]
        return root

    def pack(self, pair: tuple[Path, Path], name: str, version: str, *more: object) -> Path:
        """Pack a (base, tuned) pair into a file beside the project."""
        path = self.folder / f"{name.replace('/', '-')}-{version}.skillpack"
        kept = self.cut.place(pair, name, version, *more) if self.cut else None
        if kept is not None and kept.exists():
            return Path(shutil.copyfile(kept, path))
        self.ask("pack", *pair, "--name", name, "--version", version, "-o", path, *more)
        if self.cut and kept is not None:
            self.cut.keep(path, kept)
        return path

    def publish(self, pair: tuple[Path, Path], name: str, version: str, *more: object) -> str:
        """Pack and publish; return the digest."""
        digest: str = self.ask("publish", self.pack(pair, name, version, *more))["digest"]
        return digest

    def graft_root(self, *more: object) -> str:
        root: str = self.ask("graft", *more)["root"]
        return root

    def installed(self) -> dict[str, str]:
        return {one["skill"]: one["version"] for one in self.ask("list")["skills"]}


def root_of(model: Path) -> str:
    root: str = run_here("identify", model, "--json").json["root"]
    return root
