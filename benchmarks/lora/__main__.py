"""Figure 6: graft of a LoRA pack into a 1 GB model, compared with PEFT's and mergekit's merge.

`python -m benchmarks.lora [--gb 1] [--rank 64] [--runs 3] [--mergekit PATH]`, where PATH is the
`mergekit-yaml` of a separate environment. Each method is a process that leaves a model directory on
disk; the methods alternate. skillpm verifies every byte of base and pack and syncs its output,
which the others do not. Takes a few minutes and six times the model's size on disk.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.lora.peers import mergekit_merge, peft_merge
from benchmarks.tools.running import Ran, run, skillpm
from benchmarks.tools.table import Table, add_output, megabytes, publish

FASTER, SMALLER = 3.0, 5.0


@dataclass
class Race:
    """The same merge by all methods, several times."""

    folder: Path
    adapter: Path
    mergekit: str | None
    seconds: dict[str, list[float]] = field(default_factory=dict)
    processor: dict[str, list[float]] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)

    @property
    def base(self) -> Path:
        """The base model of all methods."""
        return self.folder / "base"

    def note(self, who: str, ran: Ran) -> None:
        """Record the time and the largest peak."""
        self.seconds.setdefault(who, []).append(ran.seconds)
        self.processor.setdefault(who, []).append(ran.processor)
        self.peaks[who] = max(self.peaks.get(who, 0), ran.peak)

    def fresh(self, name: str) -> Path:
        """A path that does not exist."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return self.folder / name


def prepare(race: Race) -> None:
    """Pack the adapter and install it; this happens once for any number of grafts."""
    home, project = race.fresh("home"), race.fresh("project")
    project.mkdir()
    file = str(race.fresh("lora.skillpack"))
    (race.folder / "lora.skillpack").unlink(missing_ok=True)
    name = ("--name", "acme/lora", "--version", "1.0.0", "-o", file)
    packed = skillpm("pack", str(race.base), str(race.adapter), *name, home=home)
    race.note("skillpm pack", packed)
    document = packed.document
    size = (race.adapter / "adapter_model.safetensors").stat().st_size
    print(
        f"{race.adapter.name}: adapter {megabytes(size)}, pack {megabytes(document['file_bytes'])}"
    )
    skillpm("init", "--base", str(race.base), cwd=project, home=home)
    skillpm("install", file, cwd=project, home=home)


def once(race: Race) -> None:
    """Run each method once."""
    home, project = race.folder / "home", race.folder / "project"
    race.fresh("project/graft")
    race.note("skillpm graft", skillpm("graft", cwd=project, home=home))
    out = race.fresh("peft")
    race.note("PEFT merge and save", peft_merge(race.base, race.adapter, out))
    shutil.rmtree(out)
    if race.mergekit:
        out = race.fresh("mergekit")
        race.note("mergekit", mergekit_merge(race.mergekit, race.base, race.adapter, out))
        shutil.rmtree(out)


def report(race: Race, title: str) -> tuple[Table, bool]:
    """The table, and whether the goals are met against every peer."""
    columns = ("command", "seconds", "to graft", "processor s", "peak memory", "to graft")
    table = Table(title, columns)
    ours = statistics.median(race.seconds["skillpm graft"])
    memory = race.peaks["skillpm graft"]
    held = True
    for who, times in race.seconds.items():
        seconds, peak = statistics.median(times), race.peaks[who]
        ratios = (seconds / ours, peak / memory)
        if not who.startswith("skillpm"):
            held = held and ratios[0] >= FASTER and ratios[1] >= SMALLER
        work = statistics.median(race.processor[who])
        cells = (f"{seconds:.2f}", f"{ratios[0]:.1f}", f"{work:.1f}")
        table.row(who, *cells, megabytes(peak), f"{ratios[1]:.1f}")
    return table, held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--mergekit", help="the `mergekit-yaml` to run")
    parser.add_argument("--dir", type=Path, help="working folder (default: a temporary one)")
    add_output(parser)
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    held = True
    with tempfile.TemporaryDirectory(dir=arguments.dir, prefix="skillpm-bench-") as name:
        make = ("-m", "benchmarks.lora.data", name, "--gb", str(arguments.gb))
        run(sys.executable, *make, "--rank", str(arguments.rank))
        for dtype in ("F32", "BF16"):
            race = Race(Path(name), Path(name) / f"lora-{dtype}", arguments.mergekit)
            prepare(race)
            for _ in range(arguments.runs):
                once(race)
            title = (
                f"Rank {arguments.rank} in {dtype}, all linear layers, {arguments.gb:g} GB of bf16"
            )
            table, fine = report(race, title)
            publish(table, arguments.append)
            held = held and fine
    sys.exit(0 if held else f"not {FASTER:g} times as fast in a {SMALLER:g}th of the memory")


if __name__ == "__main__":
    main()
