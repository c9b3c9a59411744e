"""Figure 4: response time of commands without tensor work, beside a minimal click program.

`python -m benchmarks.commands.startup [--runs 20] [--imports]`. Each run is a fresh process; the
commands alternate. The medians of `--help` and `list` must be under 200 ms. `--imports` lists the
imports of `list` that take longest.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.tensors.synthetic import make
from benchmarks.tools.running import Ran, medians_side_by_side, run, skillpm
from benchmarks.tools.table import Table, add_output, publish

LIMIT = 0.2
BARE = """
import click
@click.command()
@click.option("--name", default="you", help="Who is greeted.")
def hello(name):
    "Greet."
    click.echo(name)
hello()
"""
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|\s+(\S+)")


def project_in(folder: Path) -> tuple[Path, Path]:
    """Create a project with one skill installed; return it with its home."""
    home, project = folder / "home", folder / "project"
    project.mkdir()
    make(folder, 0.02)
    file = str(folder / "one.skillpack")
    base, tuned = str(folder / "base"), str(folder / "tuned")
    skillpm("pack", base, tuned, "--name", "acme/one", "--version", "1.0.0", "-o", file, home=home)
    skillpm("init", "--base", base, cwd=project, home=home)
    skillpm("publish", file, cwd=project, home=home)
    skillpm("install", "acme/one", cwd=project, home=home)
    return project, home


def measure(project: Path, home: Path, runs: int) -> tuple[Table, bool]:
    """Time all commands, alternating with the minimal program."""
    bare = project.parent / "bare.py"
    bare.write_text(BARE, encoding="utf-8")

    def ours(*arguments: str) -> Ran:
        return skillpm(*arguments, cwd=project, home=home)

    peers = {
        "bare click program --help": lambda: run(sys.executable, str(bare), "--help"),
        "skillpm --help": lambda: ours("--help"),
        "skillpm list": lambda: ours("list"),
        "skillpm history": lambda: ours("history"),
        "skillpm install (nothing to do)": lambda: ours("install"),
    }
    found = medians_side_by_side(runs, list(peers.values()))
    table = Table(f"Startup, {runs} fresh processes", ("command", "median", "least", "to bare"))
    for name, (median, least) in zip(peers, found, strict=True):
        figures = (f"{median * 1e3:.0f} ms", f"{least * 1e3:.0f} ms", f"{median / found[0][0]:.2f}")
        table.row(name, *figures)
    return table, found[1][0] < LIMIT and found[2][0] < LIMIT


def import_costs(project: Path, home: Path, command: str) -> list[tuple[int, int, str]]:
    """Each imported module of a command: microseconds with and without its own imports, name."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "skillpm", command],
        cwd=project, env={"SKILLPM_HOME": str(home), "PYTHONPATH": str(Path.cwd())},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [(int(m[2]), int(m[1]), m[3]) for m in _IMPORT.finditer(done.stderr)]


def imports(project: Path, home: Path, *, shown: int = 15) -> Table:
    """The slowest imports of `list`, with and without the modules that they import."""
    rows = import_costs(project, home, "list")
    title = f"What `skillpm list` imports: {len(rows)} modules"
    table = Table(title, ("module", "ms with all below", "ms by itself"))
    for below, itself, name in sorted(rows, reverse=True)[:shown]:
        table.row(name, f"{below / 1e3:.1f}", f"{itself / 1e3:.1f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--imports", action="store_true", help="print the imports of `list`")
    add_output(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="skillpm-bench-") as name:
        project, home = project_in(Path(name))
        table, held = measure(project, home, arguments.runs)
        publish(table, arguments.append)
        if arguments.imports:
            publish(imports(project, home), arguments.append)
    sys.exit(0 if held else "a command takes 200 ms or more")


if __name__ == "__main__":
    main()
