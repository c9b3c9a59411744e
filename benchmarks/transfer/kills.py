"""Figure 3: a transfer of tiny models that is killed at random times.

Each kill is a SIGKILL. After each one, the answers that were recorded before must still be there,
in their places. Each transfer runs to its end in the end: no answer is recorded twice, and the SFT
rows and the pack are those of an undisturbed run, byte for byte.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.tools.table import Table

TESTS = Path(__file__).parents[2] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "transfer")]

from skillpm_world import World, start_process  # noqa: E402 - the tests own the models
from transfer_models import NOUNS, NUMBERS, make_base  # noqa: E402
from transfer_world import TransferModels, TransferWorld  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NOUNS", "NUMBERS", "attack", "make_base"]
BATCH = 16
"""Answers of a batch, which one write appends."""
_EPOCH = "1700000000"
_LONGEST = 3600.0
_MARKS = (
    ("packing", "abilities.json"),
    ("evaluating", "general/_base.jsonl"),
    ("after SFT", "sft/tuned"),
    ("SFT", "sft.jsonl"),
    ("sampling", "rehearsal.json"),
)
"""The first file that is there gives the stage of a kill."""
_LOGS = ("answers", "items", "general")


@dataclass(frozen=True)
class Finished:
    """The SFT rows and the digest of the pack of a transfer that ended."""

    rows: bytes
    digest: str


@dataclass
class Scene:
    """A transfer file, what an undisturbed run gives, and how long it takes."""

    file: Path
    expected: Finished
    seconds: float
    faults: list[str] = field(default_factory=list)
    stages: Counter[str] = field(default_factory=Counter)

    @classmethod
    def make(cls, folder: Path) -> Scene:
        """Train the models, write the files, and run the transfer once."""
        world = World(folder)
        world.project.mkdir()
        file = TransferWorld(world, TransferModels(folder / "models")).write()
        started = time.monotonic()
        expected = finish(file, folder / "undisturbed")
        return cls(file, expected, time.monotonic() - started)


def attack(points: int, seed: int) -> int:
    """Kill transfers at `points` random times; print the table. 1 if anything did not hold."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="skillpm-kills-") as name:
        scene = Scene.make(Path(name))
        transfers, kills = 0, 0
        while kills < points:
            home = Path(name) / f"home-{transfers}"
            kills += _attack_one(scene, home, draw, points - kills)
            transfers += 1
            print(f"{kills} of {points} kills, faults: {scene.faults}", file=sys.stderr, flush=True)
    table = Table(f"{points} kills, seed {seed}", ("killed during", "kills"))
    for stage, count in scene.stages.items():
        table.row(stage, count)
    print(table.markdown())
    print(f"{transfers} transfers ended as the undisturbed one; faults: {scene.faults or 'none'}")
    return int(bool(scene.faults))


def _attack_one(scene: Scene, home: Path, draw: random.Random, most: int) -> int:
    """Kill one transfer until it ends by itself or `most` is reached; the number of kills."""
    kills = 0
    recorded: dict[str, list[bytes]] = {}
    while kills < most and killed_after(scene.file, home, draw.uniform(0, scene.seconds)):
        kills += 1
        scene.stages[_stage(home)] += 1
        found = recorded_answers(home)
        scene.faults += lost_answers(recorded, found)
        recorded = found
    end = finish(scene.file, home)
    found = recorded_answers(home)
    scene.faults += [*lost_answers(recorded, found), *repeated_answers(found)]
    if end.rows != scene.expected.rows:
        scene.faults.append("other SFT rows")
    if end.digest != scene.expected.digest:
        scene.faults.append(f"another pack: {end.digest}")
    return kills


def killed_after(file: Path, home: Path, seconds: float) -> bool:
    """Run a transfer, and kill it after some seconds; False if it ended before."""
    with _transfer(file, home, "-q") as process:
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
    return process.returncode == -signal.SIGKILL


def finish(file: Path, home: Path) -> Finished:
    """Run a transfer to its end. A failure ends the benchmark."""
    with _transfer(file, home, "--json") as process:
        out, err = process.communicate(timeout=_LONGEST)
    if process.returncode:
        sys.exit(f"the transfer gave exit code {process.returncode}: {out}{err}")
    report: dict[str, Any] = json.loads(out)
    rows = (Path(report["workspace"]) / "sft.jsonl").read_bytes()
    return Finished(rows, report["pack"]["digest"])


def _transfer(file: Path, home: Path, *options: str) -> subprocess.Popen[str]:
    output = home.with_name(f"{home.name}.skillpack")
    environment = {"SKILLPM_HOME": str(home), "SOURCE_DATE_EPOCH": _EPOCH}
    return start_process("transfer", file, "-o", output, *options, **environment)


def _folders(home: Path) -> list[Path]:
    return sorted((home / "transfer").glob("*"))


def _stage(home: Path) -> str:
    for folder in _folders(home):
        for stage, file in _MARKS:
            if (folder / file).exists():
                return stage
    return "before sampling"


def recorded_answers(home: Path) -> dict[str, list[bytes]]:
    """The whole lines of each log of answers."""
    found = {}
    for folder in _folders(home):
        for log in (path for name in _LOGS for path in sorted((folder / name).glob("*.jsonl"))):
            data = log.read_bytes()
            found[f"{log.parent.name}/{log.name}"] = data[: data.rfind(b"\n") + 1].splitlines()
    return found


def lost_answers(before: dict[str, list[bytes]], after: dict[str, list[bytes]]) -> Iterator[str]:
    """The logs in which an answer of a whole batch is missing, or is not where it was."""
    for name, lines in before.items():
        whole = lines[: len(lines) // BATCH * BATCH]
        if after.get(name, [])[: len(whole)] != whole:
            yield f"{name}: recorded answers changed"


def repeated_answers(logs: dict[str, list[bytes]]) -> Iterator[str]:
    """The logs in which two answers are to the same request."""
    for name, lines in logs.items():
        answers = [json.loads(line) for line in lines]
        requests = {(each["key"], each["id"], each["draw"]) for each in answers}
        if len(requests) != len(answers):
            yield f"{name}: answers recorded twice"
