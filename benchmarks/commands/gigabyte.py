"""Figure 3: pack, verify, install and graft of a 1 GB checkpoint, as ratios to `cp` plus fsync.

`python -m benchmarks.commands.gigabyte [--gb 1] [--runs 3]`. Memory is the peak of each process
above a process that only imports torch. Takes two minutes and seven times the checkpoint's size
on disk.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.tools.running import Ran, python, run, skillpm
from benchmarks.tools.table import Table, add_output, megabytes, publish

_SYNC = "import os,sys;[os.fsync(os.open(e,os.O_RDONLY)) for e in os.scandir(sys.argv[1])]"
MEMORY_LIMIT = 400e6


@dataclass
class Walk:
    """The commands on one checkpoint; each runs several times."""

    folder: Path
    model: Path
    seconds: dict[str, list[float]] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)
    last: dict[str, Ran] = field(default_factory=dict)

    def note(self, step: str, *ran: Ran) -> None:
        """Record the sum of the times and the largest peak."""
        self.seconds.setdefault(step, []).append(sum(each.seconds for each in ran))
        self.peaks[step] = max(self.peaks.get(step, 0), *(each.peak for each in ran))
        self.last[step] = ran[-1]

    def median(self, step: str) -> float:
        """The median time of a step."""
        return statistics.median(self.seconds[step])


def copy(walk: Walk) -> None:
    """Time `cp -r` of the model and fsync of every file of the copy."""
    target = walk.folder / "copy"
    first = run("cp", "-r", str(walk.model), str(target))
    walk.note("cp + fsync", first, run(sys.executable, "-c", _SYNC, str(target)))
    shutil.rmtree(target)


def once(walk: Walk) -> None:
    """Pack without a cache, verify, publish, install into a new project, graft."""
    copy(walk)
    home, project = walk.folder / "home", walk.folder / "project"
    for left in (home, project):
        shutil.rmtree(left, ignore_errors=True)
    project.mkdir()
    base, file = str(walk.folder / "base"), str(walk.folder / "big.skillpack")
    name = ("--name", "acme/big", "--version", "1.0.0", "-o", file)
    walk.note("pack", skillpm("pack", base, str(walk.model), *name, home=home))
    walk.note("verify --base", skillpm("verify", file, "--base", base, home=home))
    skillpm("init", "--base", base, cwd=project, home=home)
    walk.note("publish", skillpm("publish", file, cwd=project, home=home))
    walk.note("install", skillpm("install", "acme/big", cwd=project, home=home))
    walk.note("graft", skillpm("graft", cwd=project, home=home))
    linked = skillpm("graft", "--link", "-o", "linked", cwd=project, home=home)
    walk.note("graft --link", linked)
    roots = [ran.document.get("root") for ran in (walk.last["graft"], linked)]
    tuned = skillpm("identify", str(walk.model), home=home).document["root"]
    assert roots == [tuned, tuned], f"the graft is {roots}, the tuned model {tuned}"


def report(walk: Walk, title: str, floor: int) -> tuple[Table, bool]:
    """The table, and whether memory stayed below the limit."""
    columns = ("step", "seconds", "ratio to cp + fsync", "peak memory", "above torch", "written")
    table = Table(title, columns)
    copied = walk.median("cp + fsync")
    held = True
    for step in walk.seconds:
        seconds, peak = walk.median(step), walk.peaks[step]
        ours = step != "cp + fsync"
        held = held and (not ours or peak - floor <= MEMORY_LIMIT)
        document = walk.last[step].document if ours else {}
        size = document.get("written_bytes", document.get("file_bytes"))
        cells = (megabytes(peak), megabytes(peak - floor)) if ours else ("-", "-")
        written = megabytes(size) if size else "-"
        table.row(step, f"{seconds:.2f}", f"{seconds / copied:.1f}", *cells, written)
    return table, held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--dir", type=Path, help="working folder (default: a temporary one)")
    add_output(parser)
    arguments = parser.parse_args()
    floor = python("import torch").peak
    held = True
    with tempfile.TemporaryDirectory(dir=arguments.dir, prefix="skillpm-bench-") as name:
        folder = Path(name)
        make = ("-m", "benchmarks.tensors.synthetic", str(folder), "--gb", str(arguments.gb))
        run(sys.executable, *make)
        for model, what in (("tuned", "every tensor tuned"), ("touched", "one shard of ten tuned")):
            walk = Walk(folder, folder / model)
            for _ in range(arguments.runs):
                once(walk)
            table, fine = report(walk, f"{arguments.gb:g} GB of bf16, ten shards, {what}", floor)
            publish(table, arguments.append)
            held = held and fine
    print(f"`import torch` alone peaks at {megabytes(floor)}.")
    sys.exit(0 if held else "a command takes more than 400 MB above importing torch")


if __name__ == "__main__":
    main()
