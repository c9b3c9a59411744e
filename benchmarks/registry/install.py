"""Issue 21: `install` of 20 skills over HTTP from a server on this machine.

`python -m benchmarks.registry.install [--runs 5] [--skills 20] [--clock wall|processor]`

A server, `skillpm registry serve`, has the skills of `benchmarks.commands.install`. Three pairs of
commands alternate:

- cold: an install into a new home and project, over HTTP and from the server's own folder. The
  difference is what HTTP costs; both move the same bytes and verify the same packs. At most 1 s.
- warm: `install` of all 20 skills by name in a home that has them, while the registry answers 304
  to each document; and `install` with nothing to do. At most 250 ms more.
- `list`, in a project whose skills came over HTTP, and from a folder.

The exit code is 1 if a difference of medians is above its limit. `--clock processor` compares the
processor time of the commands, which a busy machine changes less.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.commands.install import write_model
from benchmarks.tools.running import SKILLPM, Ran, medians_side_by_side, skillpm
from benchmarks.tools.table import Table, add_output, publish

COLD_LIMIT, WARM_LIMIT = 1.0, 0.25
_MAX_AGE = 10.5
"""Seconds after which a document of the server is asked for again."""


@dataclass(frozen=True)
class Served:
    """A registry: its URL, its folder, and the skills that it has."""

    url: str
    folder: Path
    base: Path
    names: tuple[str, ...]


@contextmanager
def serving(folder: Path, skills: int) -> Iterator[Served]:
    """Serve a registry of new skills until the block ends."""
    registry, home = folder / "registry", folder / "home"
    base = write_model(folder / "base", 0)
    names = tuple(f"acme/skill-{number:02}" for number in range(1, skills + 1))
    command = [SKILLPM, "registry", "serve", "--registry", str(registry), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "SKILLPM_HOME": str(home)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        token = process.stdout.readline().strip()
        line = next(line for line in process.stderr if line.startswith("serving http"))
        url = line.split()[-1]
        try:
            _fill(folder, url, token, base, names)
            yield Served(url, registry, base, names)
        finally:
            process.terminate()


def _fill(folder: Path, url: str, token: str, base: Path, names: tuple[str, ...]) -> None:
    """Create the namespace, and publish a fine-tune under each name."""
    home = folder / "home"
    environment = {**os.environ, "SKILLPM_HOME": str(home), "SKILLPM_TOKEN": token}

    def run(*words: str) -> None:
        subprocess.run([SKILLPM, *words, "--registry", url, "--json"], env=environment,
                       check=True, stdout=subprocess.DEVNULL)  # fmt: skip

    run("registry", "namespace", "create", "acme")
    for number, name in enumerate(names, 1):
        pack = str(folder / f"{number}.skillpack")
        tuned = str(write_model(folder / f"{number}", number))
        skillpm("pack", str(base), tuned, "--name", name, "--version", "1.0.0", "-o", pack,
                home=home)  # fmt: skip
        run("publish", pack)


@dataclass
class User:
    """A project and a home, which `clear` empties. `registry` is a URL or a folder."""

    folder: Path
    served: Served
    registry: str

    @property
    def project(self) -> Path:
        """The project's folder."""
        return self.folder / "project"

    @property
    def home(self) -> Path:
        """The home."""
        return self.folder / "home"

    def clear(self) -> None:
        """Begin with an empty home and a new project."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.project.mkdir(parents=True)
        skillpm("init", "--base", str(self.served.base), cwd=self.project, home=self.home)

    def install(self) -> Ran:
        """Install all skills by name."""
        return skillpm(
            "install", *self.served.names, "--registry", self.registry,
            cwd=self.project, home=self.home,
        )  # fmt: skip

    def cold(self) -> Ran:
        """Install into a new home and project."""
        self.clear()
        return self.install()

    def warm(self) -> Ran:
        """Install again, after the documents are no longer fresh."""
        time.sleep(_MAX_AGE)
        return self.install()

    def nothing(self) -> Ran:
        """Install what the lock says; nothing changes."""
        return skillpm("install", "--registry", self.registry, cwd=self.project, home=self.home)

    def list(self) -> Ran:
        """List the installed skills."""
        return skillpm("list", "--registry", self.registry, cwd=self.project, home=self.home)


def timed(clock: str, command: Callable[[], Ran]) -> Ran:
    """Run a command; its `seconds` are those of the clock."""
    ran = command()
    return replace(ran, seconds=ran.processor) if clock == "processor" else ran


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--skills", type=int, default=20)
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    add_output(parser)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="skillpm-bench-") as name:
        folder = Path(name)
        with serving(folder, asked.skills) as served:
            http = User(folder / "http", served, served.url)
            local = User(folder / "local", served, str(served.folder))
            peers = [(http.cold, local.cold), (http.warm, http.nothing), (http.list, local.list)]
            found = [
                medians_side_by_side(
                    asked.runs, [partial(timed, asked.clock, each) for each in pair]
                )
                for pair in peers
            ]
    table = Table(f"`install` of {asked.skills} skills, {asked.runs} runs, {asked.clock} time",
                  ("commands", "median", "of the second", "difference", "limit"))  # fmt: skip
    labels = ("cold, HTTP and folder", "warm (304s), and nothing to do", "list, HTTP and folder")
    limits = (COLD_LIMIT, WARM_LIMIT, WARM_LIMIT)
    fails = False
    for label, limit, ((first, _), (second, _)) in zip(labels, limits, found, strict=True):
        fails |= first - second > limit
        cells = [f"{seconds * 1e3:.0f} ms" for seconds in (first, second, first - second, limit)]
        table.row(label, *cells)
    publish(table, asked.append)
    sys.exit(1 if fails else 0)


if __name__ == "__main__":
    main()
