"""Learn, pack, publish, install under guard, ten times; then take one off, and come back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from examples.continual.school import learn
from examples.continual.texts import KINDS
from examples.errors import DemoError
from examples.journey.progress import watching

if TYPE_CHECKING:
    from pathlib import Path

    from examples.continual.school import Learnt
    from examples.journey.command import Skillpm

GONE = "tokens"
ONE_BY_ONE = 4
WATCHED = ("headers", "prose", "stubs")


@dataclass(frozen=True, slots=True)
class Check:
    """A promise, and whether it held."""

    what: str
    holds: bool


@dataclass
class Year:
    """What the commands showed."""

    learnt: dict[str, Learnt] = field(default_factory=dict)
    probed: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    def check(self, what: str, *, holds: bool) -> None:
        """Keep a promise's outcome."""
        self.checks.append(Check(what, holds))


def name(kind: str) -> str:
    """The skill's name."""
    return f"school/{kind}"


def live(folder: Path, ours: Skillpm, theirs: Skillpm) -> Year:
    """Take the whole walk in `ours`; `theirs` is another project with the same home."""
    year = Year()
    ours("init", "--base", "../base")
    one_by_one, together = list(KINDS)[:ONE_BY_ONE], list(KINDS)[ONE_BY_ONE:]
    for number, kind in enumerate(KINDS):
        _learn(year, folder, ours, kind, number)
        if number == 1:
            _refused(ours, kind)
        elif kind in one_by_one:
            ours("install", name(kind), "--guard")
    ours("install", *map(name, together), "--guard")
    _probe(year, "ten", ours)
    ten = _alone(ours, [*WATCHED, GONE])
    _months_later(year, ours, ten)
    _nine_alone(year, ours, theirs)
    _back(year, ours, ten)
    return year


def _learn(year: Year, folder: Path, ours: Skillpm, kind: str, number: int) -> None:
    with watching(ours.console) as advance:
        learnt = year.learnt[kind] = learn(folder, kind, number, advance)
    told = f"{kind}: held-out loss {learnt.base_loss:.2f} → {learnt.tuned_loss:.2f} nats a byte"
    ours.console.print(told)
    files = (
        "--probes",
        f"../files/{learnt.probes.name}",
        "--router",
        f"../files/{learnt.router.name}",
    )
    packed = ours(
        "pack", "../base", f"../tuned/{kind}", "--name", name(kind), "--version", "1.0.0", *files
    )
    ours("publish", str(packed["path"]))


def _refused(ours: Skillpm, kind: str) -> None:
    """The second skill: forecast, stopped by the guard where it would be merged, then routed."""
    ours.show("install", name(kind), "--dry-run")
    try:
        ours("install", name(kind), "--guard")
    except DemoError as refusal:
        ours.console.print(str(refusal), markup=False)
    else:
        raise DemoError("two skills that hurt each other were merged under guard")
    file = ours.project / "skillpm.toml"
    ours.console.print('skillpm.toml: [graft] mode = "routed"', markup=False)
    file.write_text(file.read_text("utf-8") + '\n[graft]\nmode = "routed"\n', "utf-8")
    ours("install", name(kind), "--guard")


def _probe(year: Year, when: str, skillpm: Skillpm) -> None:
    results = skillpm("probe")["results"]
    year.probed[when] = {one["skill"]: one["now"] for one in results}
    kept = all(one["passed"] and one["now"] == one["recorded"] for one in results)
    year.check(f"the probes of {when} give what was recorded, to the last digit", holds=kept)


def _alone(skillpm: Skillpm, kinds: list[str]) -> dict[str, str]:
    """The root of base + each skill, as an answer routed to it sees the model."""
    roots = {}
    for kind in kinds:
        roots[kind] = str(skillpm("graft", "--only", name(kind), "-o", f"only-{kind}")["root"])
    return roots


def _months_later(year: Year, ours: Skillpm, ten: dict[str, str]) -> None:
    ours("uninstall", name(GONE))
    _probe(year, "nine", ours)
    before = {skill: now for skill, now in year.probed["ten"].items() if skill != name(GONE)}
    year.check("nine answer as among ten", holds=year.probed["nine"] == before)
    nine = _alone(ours, [*WATCHED])
    year.check("their models' roots are the same", holds=nine.items() <= ten.items())


def _nine_alone(year: Year, ours: Skillpm, theirs: Skillpm) -> None:
    """Ten less one, merged, and those nine alone, installed the other way round: one root."""
    _mode(ours, "merged")
    ours("install")
    left = ours("graft", "-o", "nine")["root"]
    theirs("init", "--base", "../base")
    theirs("install", *(name(kind) for kind in reversed(KINDS) if kind != GONE))
    alone = theirs("graft", "-o", "nine")["root"]
    year.check("ten less one, merged, has the root of those nine alone", holds=left == alone)


def _back(year: Year, ours: Skillpm, ten: dict[str, str]) -> None:
    history = ours("history")["generations"]
    whole = max(one["number"] for one in history if len(one["skills"]) == len(KINDS))
    ours("rollback", str(whole))
    again = _alone(ours, [GONE])
    year.check("after the rollback the tenth is what it was", holds=again[GONE] == ten[GONE])


def _mode(skillpm: Skillpm, mode: str) -> None:
    file = skillpm.project / "skillpm.toml"
    text = file.read_text("utf-8").replace('mode = "routed"', f'mode = "{mode}"')
    skillpm.console.print(f'skillpm.toml: [graft] mode = "{mode}"', markup=False)
    file.write_text(text, "utf-8")
