"""Pack, publish, install, graft, uninstall and roll back, with the result of each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from examples.journey.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from examples.code_search.prepare import Prepared
    from examples.journey.command import Skillpm

SKILL = "acme/code-search"
LOSSLESS = "1.0.0"
GRAFTLLM = "1.1.0"


@dataclass(frozen=True, slots=True)
class Model:
    """A model directory at one moment: its root from skillpm, and the independent fingerprint."""

    root: str
    tensors: str


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack file and the time to make it."""

    file: Path
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Graft:
    """A grafted directory and its retrieval quality."""

    model: Model
    mrr: float


@dataclass(frozen=True, slots=True)
class Check:
    """A check that two models hold the same bytes."""

    what: str
    wanted: Model
    found: Model

    @property
    def holds(self) -> bool:
        """Whether both skillpm's roots and the independent fingerprints agree."""
        return self.wanted == self.found


@dataclass(frozen=True, slots=True)
class Journey:
    """Results of the commands, by version where there are two."""

    packs: dict[str, Pack]
    grafts: dict[str, Graft]
    exact: Check
    undone: Check
    restored: Check

    @property
    def checks(self) -> tuple[Check, ...]:
        """All checks of exactness, in the order of the run."""
        return (self.exact, self.undone, self.restored)


def travel(skillpm: Skillpm, prepared: Prepared, *, measure: Callable[[Path], float]) -> Journey:
    """Run all steps in the project of `skillpm`; `measure` returns a directory's MRR."""
    skillpm("init", "--base", "../base")
    base = _identify(skillpm, prepared.base)
    tuned = _identify(skillpm, prepared.tuned)
    packs = {
        LOSSLESS: _pack(skillpm, "--version", LOSSLESS),
        GRAFTLLM: _pack(skillpm, "--version", GRAFTLLM, "--scheme", "graftllm"),
    }
    for pack in packs.values():
        skillpm("publish", pack.file.name)
    grafts = {}
    for version in packs:
        skillpm("install", f"{SKILL}@={version}")
        grafts[version] = Graft(_graft(skillpm), measure(skillpm.project / "graft"))
    skillpm("uninstall", SKILL)
    without = _graft(skillpm)
    skillpm("rollback")
    again = _graft(skillpm)
    return Journey(
        packs=packs,
        grafts=grafts,
        exact=Check(f"graft of {LOSSLESS} = tuned model", tuned, grafts[LOSSLESS].model),
        undone=Check("graft after uninstall = base", base, without),
        restored=Check("graft after rollback = before", grafts[GRAFTLLM].model, again),
    )


def _identify(skillpm: Skillpm, folder: Path) -> Model:
    document = skillpm("identify", f"../{folder.name}")
    return Model(root=str(document["root"]), tensors=fingerprint(folder))


def _pack(skillpm: Skillpm, *options: str) -> Pack:
    document = skillpm(
        "pack", "../base", "../tuned", "--name", SKILL, "--license", "Apache-2.0", *options
    )
    file = skillpm.project / str(document["path"])
    return Pack(file=file, size=file.stat().st_size, seconds=float(document["seconds"]))


def _graft(skillpm: Skillpm) -> Model:
    document: dict[str, Any] = skillpm("graft")
    folder = skillpm.project / str(document["path"])
    skillpm.console.print(f"  root {document['root']}", highlight=False)
    return Model(root=str(document["root"]), tensors=fingerprint(folder))
