"""What merging costs: pairs and sets of real packs, composed as `graft` does, on held-out text."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.finetunes.cache import sha256
from benchmarks.interference_skills import SKILLS, Skill, base, data, tuned
from benchmarks.offline import setting_at
from benchmarks.peers.files import tensor_of
from examples.continual import model as lm
from skillpm.archive.reader import open_pack
from skillpm.checkpoint.model import open_checkpoint
from skillpm.delta.compose import Applied, Composition
from skillpm.delta.schemes import Lossless
from skillpm.flows.compose import opened
from skillpm.flows.manifest_of import Request
from skillpm.flows.pack import pack
from skillpm.spec.forecast import forecast
from skillpm.spec.manifest import Capability, Manifest
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from examples.code_search.settings import Advance
    from skillpm.archive.reader import PackFile

SETS, SET_SIZE = 10, 5
HELD_OUT_ROWS = 64


@dataclass(frozen=True, slots=True)
class Row:
    """The held-out loss of one skill's text: by the base, by its pack alone, and merged."""

    seed: int
    victim: str
    others: tuple[str, ...]
    base: float
    alone: float
    merged: float

    @property
    def lost(self) -> float:
        """The share of the skill's gain that the merge takes."""
        return (self.merged - self.alone) / (self.base - self.alone)


@dataclass(frozen=True, slots=True)
class World:
    """The skills of one seed as packs, with what they are measured on."""

    seed: int
    base: Path
    tuned: dict[str, Path]
    packs: dict[str, PackFile]
    held_out: dict[str, torch.Tensor]
    manifests: dict[str, Manifest]


def world(cache: Path, seed: int, advance: Advance) -> World:
    """Train and pack all skills of a seed; what is there already is taken up again."""
    start = base(cache, seed, advance)
    folders, packs, rows, manifests = {}, {}, {}, {}
    for number, skill in enumerate(SKILLS):
        folders[skill.name] = folder = tuned(cache, seed, skill, advance)
        packs[skill.name] = one = open_pack(_packed(cache, start, folder, skill))
        parts = torch.cat([data(cache, kind, "held_out") for kind in skill.kinds])
        step = max(2, len(parts) // HELD_OUT_ROWS)
        rows[skill.name] = parts[::step][:HELD_OUT_ROWS]
        manifests[skill.name] = _probed(one.manifest, start, folder, parts[1::step])
        advance("packing", number + 1, len(SKILLS))
    return World(seed, start, folders, packs, rows, manifests)


def _probed(manifest: Manifest, start: Path, folder: Path, probes: torch.Tensor) -> Manifest:
    """The manifest as `pack --probes` writes it, with probes that nothing is measured on."""
    before, after = (lm.loss(lm.load(one), probes) for one in (start, folder))
    figures = {"value": after, "base_value": before, "samples": len(probes)}
    recorded = Capability(name="probes", metric="token_loss", **figures)
    return manifest.model_copy(update={"capabilities": [recorded]})


def _packed(cache: Path, start: Path, folder: Path, skill: Skill) -> Path:
    path = folder.parent / f"{sha256(folder / 'model.safetensors')[7:19]}.skillpack"
    if not path.exists():
        setting = setting_at(cache / "home", cache)
        name, version = SkillName.parse(f"acme/{skill.slug}"), Version.parse("1.0.0")
        request = Request(start, folder, name, version, output=path)
        pack(setting, request, Lossless())
    return path


def groups(seed: int) -> list[tuple[Skill, ...]]:
    """All pairs, then some sets that a seed draws."""
    draw = random.Random(seed)
    drawn = [tuple(sorted(draw.sample(SKILLS, SET_SIZE), key=SKILLS.index)) for _ in range(SETS)]
    return [*combinations(SKILLS, 2), *drawn]


class Losses:
    """Puts base + packs into one running model and reads it on held-out text."""

    def __init__(self, found: World) -> None:
        self._world = found
        self._base = open_checkpoint(found.base)
        self._model = lm.load(found.base)

    def of(self, together: Sequence[str], victim: str) -> float:
        """The loss of a skill's text with these packs merged; of none, by the base."""
        self.fill(together)
        return lm.loss(self._model, self._world.held_out[victim])

    def fill(self, together: Sequence[str]) -> None:
        """Put every tensor of the composition into the model."""
        packs = opened([self._world.packs[name] for name in together])
        composition = Composition(self._base, [Applied(one) for one in packs])
        state: dict[str, Any] = {
            name: tensor_of(b"".join(composition.chunks(name)), spec).float()
            for name, spec in composition.specs.items()
        }
        self._model.load_state_dict(state, strict=False)

    def read(self, victim: str) -> float:
        """The loss of a skill's text by what the model holds now."""
        return lm.loss(self._model, self._world.held_out[victim])


def measure(found: World, advance: Advance) -> Iterator[Row]:
    """One row for each member of every group."""
    losses = Losses(found)
    names = [skill.name for skill in SKILLS]
    before = {name: losses.of((), name) for name in names}
    alone = {name: losses.of((name,), name) for name in names}
    todo = groups(found.seed)
    for number, group in enumerate(todo):
        together = [skill.name for skill in group]
        losses.fill(together)
        for victim in together:
            others = tuple(name for name in together if name != victim)
            ends = before[victim], alone[victim]
            yield Row(found.seed, victim, others, *ends, losses.read(victim))
        advance(f"merging {found.seed}", number + 1, len(todo))


def measured(cache: Path, found: World, advance: Advance) -> list[Row]:
    """As `measure`; rows that an earlier run wrote of the same packs are taken up again."""
    path = cache / f"measured-{found.seed}.json"
    wanted = {"packs": {name: str(one.digest) for name, one in found.packs.items()}, "sets": SETS}
    if path.exists():
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["from"] == wanted:
            return [Row(**{**row, "others": tuple(row["others"])}) for row in document["rows"]]
    rows = list(measure(found, advance))
    document = {"from": wanted, "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(document), encoding="utf-8")
    return rows


def forecast_of(found: World, row: Row) -> float:
    """What `install --dry-run` says that this skill loses, from the manifests of the set."""
    together = (row.victim, *row.others)
    told = forecast([found.manifests[name] for name in together], {}, "merged")
    skill = found.manifests[row.victim].skill
    harm = next(one.harm for one in told.skills if one.skill == skill)
    assert harm is not None
    return harm
