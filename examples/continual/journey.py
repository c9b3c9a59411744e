"""Learn, pack, publish and install with guard, ten times; then uninstall one, and roll back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from examples.continual.school import learn
from examples.errors import DemoError
from examples.journey.progress import watching

if TYPE_CHECKING:
    from pathlib import Path

    from examples.continual.school import Learnt
    from examples.journey.command import Skillpm

GONE = "bytecode"
ONE_BY_ONE = 4
WATCHED = ("headers", "prose")
# The same weights in another file may use another kernel: equal to more digits than are shown.
CLOSE = 1e-5


@dataclass(frozen=True, slots=True)
class Check:
    """A check and its result."""

    what: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Alone:
    """Base + one skill: its root, its loss on the skill's probes, and the pack's recorded loss."""

    root: str
    loss: float
    recorded: float


@dataclass
class Year:
    """Results of the commands."""

    learnt: dict[str, Learnt] = field(default_factory=dict)
    probed: dict[str, float] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)

    def check(self, what: str, *, holds: bool) -> None:
        """Add the result of a check."""
        self.checks.append(Check(what, holds))


def name(kind: str) -> str:
    """The skill's name."""
    return f"school/{kind}"


def live(folder: Path, ours: Skillpm, theirs: Skillpm, kinds: list[str]) -> Year:
    """Run all steps in the project of `ours`; `theirs` is another project with the same home."""
    year = Year()
    ours("init", "--base", "../base")
    together = kinds[ONE_BY_ONE:]
    for number, kind in enumerate(kinds):
        _learn(year, folder, ours, kind, number)
        if number == 1:
            _refused(ours, kind)
        elif kind not in together:
            ours("install", name(kind), "--guard")
    if together:
        ours("install", *map(name, together), "--guard")
    ours.show("probe")
    before = _alone(ours, [*WATCHED, GONE])
    _months_later(year, ours, before)
    _nine_alone(year, ours, theirs, [kind for kind in kinds if kind != GONE])
    _back(year, ours, before, len(kinds))
    return year


def _learn(year: Year, folder: Path, ours: Skillpm, kind: str, number: int) -> None:
    with watching(ours.console) as advance:
        learnt = year.learnt[kind] = learn(folder, kind, number, advance)
    line = f"{kind}: held-out loss {learnt.base_loss:.2f} → {learnt.tuned_loss:.2f} nats a byte"
    ours.console.print(line)
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
    """The second skill: its forecast, its refusal by the guard when merged, then routed mode."""
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


def _alone(skillpm: Skillpm, kinds: list[str]) -> dict[str, Alone]:
    """Base + each skill alone, which is the model of an answer that is routed to the skill."""
    found = {}
    for kind in kinds:
        root = skillpm("graft", "--only", name(kind), "-o", f"only-{kind}")["root"]
        (probe,) = skillpm("probe", name(kind), "--graft", f"only-{kind}")["results"]
        found[kind] = Alone(str(root), float(probe["now"]), float(probe["recorded"]))
    return found


def _months_later(year: Year, ours: Skillpm, before: dict[str, Alone]) -> None:
    exact = all(abs(one.loss - one.recorded) < CLOSE for one in before.values())
    year.check("each skill alone has its recorded loss", holds=exact)
    ours("uninstall", name(GONE))
    results = ours("probe")["results"]
    year.probed = {one["skill"]: one["now"] for one in results}
    year.check(
        "the probes of the remaining skills pass", holds=all(one["passed"] for one in results)
    )
    after = _alone(ours, [*WATCHED])
    year.check("their models and losses are unchanged", holds=after.items() <= before.items())


def _nine_alone(year: Year, ours: Skillpm, theirs: Skillpm, nine: list[str]) -> None:
    """Nine skills merged after the removal, and the same nine installed in reverse: equal roots."""
    _mode(ours, "merged")
    ours("install")
    left = ours("graft", "-o", "nine")["root"]
    theirs("init", "--base", "../base")
    for kind in reversed(nine):
        theirs("install", name(kind))
    alone = theirs("graft", "-o", "nine")["root"]
    year.check(
        "the remaining skills, merged, have the root of a fresh install", holds=left == alone
    )


def _back(year: Year, ours: Skillpm, before: dict[str, Alone], count: int) -> None:
    generations = ours("history")["generations"]
    whole = max(one["number"] for one in generations if len(one["skills"]) == count)
    ours("rollback", str(whole))
    again = _alone(ours, [GONE])
    year.check("the rollback restores the model", holds=again[GONE] == before[GONE])


def _mode(skillpm: Skillpm, mode: str) -> None:
    file = skillpm.project / "skillpm.toml"
    text = file.read_text("utf-8").replace('mode = "routed"', f'mode = "{mode}"')
    skillpm.console.print(f'skillpm.toml: [graft] mode = "{mode}"', markup=False)
    file.write_text(text, "utf-8")
