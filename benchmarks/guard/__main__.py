"""Figure 5: 20 installs with `--guard`; 6 skills are planted to hurt an installed one.

`python -m benchmarks.guard [--seeds N] [--steps N] [--append FILE]`

The guard should stop all 6 planted skills and name each as the culprit, and stop none of the other
14. The same 20 packs are installed in a second project without the guard, for comparison of time
and of failing probes. At the end, all 20 are installed at once in an empty project: the guard
should name the 6 planted ones.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import statistics
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.guard.skills import TOPICS, Maker, Skill
from benchmarks.tools.table import Table, add_output, publish
from skillpm.cli import main as skillpm

PLANTED = 6
HONEST = TOPICS - PLANTED
SETTLED = 4
"""Number of honest skills installed before the first planted one."""


@dataclass
class Counts:
    """Counts of one seed."""

    stopped: int = 0
    alarms: int = 0
    named: int = 0
    guarded: list[float] = field(default_factory=list)
    stops: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)
    failing_guarded: int = 0
    failing_plain: int = 0
    together: str = ""
    together_seconds: float = 0.0


def ask(project: Path, *command: object) -> tuple[dict[str, Any], float]:
    """Run a command in this process, without import time; return document and seconds."""
    out, started = io.StringIO(), time.perf_counter()
    with redirect_stdout(out), redirect_stderr(io.StringIO()), suppress(SystemExit):
        skillpm(["-C", str(project), "--json", *map(str, command)])
    document: dict[str, Any] = json.loads(out.getvalue())
    return document, time.perf_counter() - started


def made(folder: Path, seed: int, steps: int) -> tuple[Path, list[Skill]]:
    """The base and the 20 skills of a seed, ordered so that every victim comes first."""
    maker, draw = Maker(folder, seed, steps=steps), random.Random(seed)
    topics = draw.sample(range(TOPICS), TOPICS)
    honest, planted = topics[:HONEST], topics[HONEST:]
    order: list[int] = list(honest)
    for topic in planted:
        order.insert(draw.randint(SETTLED, len(order)), topic)
    kinds = [maker.opposed, maker.careless, maker.undone] * 2
    skills: list[Skill] = []
    installed: list[int] = []
    for topic in order:
        if topic in honest:
            skills.append(maker.honest(topic))
            installed.append(topic)
        else:
            skills.append(kinds[planted.index(topic)](topic, draw.choice(installed)))
    return maker.base, skills


def packed(folder: Path, base: Path, skill: Skill) -> Path:
    path = folder / f"{skill.name}.skillpack"
    found, _ = ask(
        folder, "pack", base, skill.folder, "--name", f"acme/{skill.name}", "--version", "1.0.0",
        "--probes", skill.probes, "-o", path,
    )  # fmt: skip
    assert "error" not in found, found
    return path


def culprits(document: dict[str, Any]) -> frozenset[str]:
    """The skills that an error of the guard names as culprits."""
    lines = document["error"]["message"].splitlines()
    named = [line.split("culprit: ")[1] for line in lines if "culprit: " in line]
    return frozenset(part.split()[0] for line in named for part in line.split("`")[1::2]
                     if part.endswith("1.0.0"))  # fmt: skip


def one_seed(folder: Path, seed: int, steps: int) -> Counts:
    base, skills = made(folder, seed, steps)
    packs = [packed(folder, base, skill) for skill in skills]
    projects = [folder / name for name in ("guarded", "plain", "together")]
    for project in projects:
        project.mkdir()
        ask(project, "init", "--base", base)
    found = Counts()
    for skill, path in zip(skills, packs, strict=True):
        document, seconds = ask(projects[0], "install", path, "--guard")
        _count(found, skill, document, seconds)
        found.plain.append(ask(projects[1], "install", path)[1])
    found.failing_guarded = _failing(projects[0])
    found.failing_plain = _failing(projects[1])
    document, found.together_seconds = ask(projects[2], "install", *packs, "--guard")
    named = culprits(document) if "error" in document else frozenset()
    planted = {f"acme/{skill.name}" for skill in skills if skill.victim}
    found.together = f"{len(named & planted)} of {PLANTED}, {len(named - planted)} others"
    return found


def _count(found: Counts, skill: Skill, document: dict[str, Any], seconds: float) -> None:
    stopped = "error" in document
    if stopped and document["error"]["kind"] != "graft":
        raise SystemExit(document["error"]["message"])
    (found.stops if stopped else found.guarded).append(seconds)
    if skill.victim is None:
        found.alarms += stopped
    elif stopped:
        found.stopped += 1
        found.named += culprits(document) == {f"acme/{skill.name}"}
    state = "stopped" if stopped else "installed"
    print(f"  {skill.name}: {state}, {seconds:.1f} s", flush=True)
    if stopped:
        print(document["error"]["message"], document["error"]["hint"], sep="\n", flush=True)


def _failing(project: Path) -> int:
    results = ask(project, "probe")[0]["results"]
    return len({one["skill"] for one in results if not one["passed"]})


def report(counts: list[Counts], append: str | None) -> None:
    table = Table(
        f"Guard: {TOPICS} installs, {PLANTED} planted to hurt another skill",
        ("seed", "planted stopped", "culprit named", "others stopped", "failing, guarded",
         "failing, unguarded", "all 20 at once: planted named"),
    )  # fmt: skip
    for seed, one in enumerate(counts):
        table.row(
            seed, f"{one.stopped} of {PLANTED}", f"{one.named} of {PLANTED}",
            f"{one.alarms} of {HONEST}", f"{one.failing_guarded} of {HONEST}",
            f"{one.failing_plain} of {TOPICS}", one.together,
        )  # fmt: skip
    publish(table, append)
    times = Table(
        "Guard: median seconds of an install, in a process where all is imported",
        ("seed", "install", "with guard", "stopped by guard", "20 at once, stopped"),
    )
    for seed, one in enumerate(counts):
        medians = (statistics.median(each) for each in (one.plain, one.guarded, one.stops))
        times.row(seed, *(f"{each:.2f}" for each in medians), f"{one.together_seconds:.1f}")
    publish(times, append)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    add_output(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["HF_HUB_OFFLINE"] = "1"
    counts = []
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["SKILLPM_HOME"] = str(Path(folder) / "home")
            counts.append(one_seed(Path(folder), seed, arguments.steps))
            report(counts, None)
    report(counts, arguments.append)


if __name__ == "__main__":
    main()
