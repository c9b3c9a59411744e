"""Commands on models of large shapes: processor time and peak memory of each.

`python -m benchmarks.large [--shapes 70b|experts] [--dir DIR]`. `70b` has the tensors of a 70B
llama, two layers of it: 7.6 GB for each of base, tuned model and graft. `experts` has 40,032 small
tensors. Peak memory of a command on `70b` must stay under 4 GB.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.large.synthetic import SHAPES
from benchmarks.tools.running import Ran, run, skillpm
from benchmarks.tools.table import Table, add_output, megabytes, publish

MEMORY_LIMIT = 4e9
_SCHEMES = {
    "fast": ("--scheme", "lossless", "--effort", "fast"),
    "lossless": ("--scheme", "lossless"),
    "graftllm": ("--scheme", "graftllm"),
}


@dataclass(frozen=True)
class Measured:
    """A command and how it ran."""

    step: str
    ran: Ran


def measure(folder: Path, scheme: str) -> list[Measured]:
    """Run every command once, on the models in `folder`."""
    home, project = folder / "home", folder / "project"
    project.mkdir()
    base, file = str(folder / "base"), str(folder / "large.skillpack")
    named = ("--name", "acme/large", "--version", "1.0.0", "-o", file)
    tuned = folder / "tuned"
    steps = [
        Measured("pack", skillpm("pack", base, str(tuned), *named, *_SCHEMES[scheme], home=home))
    ]
    shutil.rmtree(tuned)
    skillpm("init", "--base", base, cwd=project, home=home)
    for step, *arguments in (
        ("install", "install", file),
        ("list", "list"),
        ("show", "show", "acme/large"),
        ("graft", "graft"),
        ("graft, unchanged", "graft"),
        ("verify --base", "verify", file, "--base", base),
    ):
        steps.append(Measured(step, skillpm(*arguments, cwd=project, home=home)))
    return steps


def report(steps: list[Measured], title: str) -> Table:
    """The table of all commands."""
    table = Table(title, ("command", "CPU s", "peak memory"))
    for each in steps:
        table.row(each.step, f"{each.ran.processor:.1f}", megabytes(each.ran.peak))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", choices=SHAPES, action="append")
    parser.add_argument("--scheme", choices=_SCHEMES, default="fast")
    parser.add_argument("--dir", type=Path, help="working folder (default: a temporary one)")
    add_output(parser)
    arguments = parser.parse_args()
    peak = 0
    for shapes in arguments.shapes or SHAPES:
        with tempfile.TemporaryDirectory(dir=arguments.dir, prefix="skillpm-bench-") as name:
            folder = Path(name)
            run(sys.executable, "-m", "benchmarks.large.synthetic", name, "--shapes", shapes)
            steps = measure(folder, arguments.scheme)
        publish(report(steps, f"{shapes}, {arguments.scheme}"), arguments.append)
        peak = max(peak, *(each.ran.peak for each in steps))
    sys.exit(0 if peak < MEMORY_LIMIT else "a command takes 4 GB or more")


if __name__ == "__main__":
    main()
