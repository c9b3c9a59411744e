"""The cost of merging on held-out text: pairs and sets of real packs, composed as by `graft`."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.finetunes.cache import sha256
from benchmarks.interference.skills import ALL, HALVES, SKILLS, Skill, base, data, tuned
from benchmarks.peers.files import tensor_of
from benchmarks.tools.offline import setting_at
from examples.continual import model as lm
from skillpm.archive.reader import open_pack
from skillpm.checkpoint.model import open_checkpoint
from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.delta.encoding.schemes import Lossless
from skillpm.flows.pack.model_pair import PackRequest
from skillpm.flows.pack.pack import pack
from skillpm.flows.packs.composition import opened
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
HALF = 0.5
HELD_OUT_ROWS = 64


@dataclass(frozen=True, slots=True)
class Row:
    """The held-out loss of one skill's text: of the base, of its pack alone, and merged.

    All packs are merged at one `weight`; `weighed` is the loss of the pack alone at that weight.
    """

    seed: int
    victim: str
    others: tuple[str, ...]
    base: float
    alone: float
    merged: float
    weight: float = 1.0
    weighed: float | None = None

    @property
    def lost(self) -> float:
        """The share of the skill's gain lost to the other packs; its own weight is left out."""
        own = self.alone if self.weighed is None else self.weighed
        return (self.merged - own) / (self.base - self.alone)


@dataclass(frozen=True, slots=True)
class World:
    """The skills of one seed as packs, with their held-out data."""

    seed: int
    base: Path
    tuned: dict[str, Path]
    packs: dict[str, PackFile]
    held_out: dict[str, torch.Tensor]
    manifests: dict[str, Manifest]


def world(cache: Path, seed: int, advance: Advance) -> World:
    """Train and pack all skills of a seed; results of earlier runs are reused."""
    start = base(cache, seed, advance)
    folders, packs, rows, manifests = {}, {}, {}, {}
    for number, skill in enumerate(ALL):
        folders[skill.name] = folder = tuned(cache, seed, skill, advance)
        packs[skill.name] = one = open_pack(_packed(cache, start, folder, skill))
        parts = torch.cat([data(cache, kind, "held_out") for kind in skill.kinds])
        step = max(2, len(parts) // HELD_OUT_ROWS)
        rows[skill.name] = parts[::step][:HELD_OUT_ROWS]
        manifests[skill.name] = _probed(one.manifest, start, folder, parts[1::step])
        advance("packing", number + 1, len(ALL))
    return World(seed, start, folders, packs, rows, manifests)


def _probed(manifest: Manifest, start: Path, folder: Path, probes: torch.Tensor) -> Manifest:
    """The manifest as `pack --probes` writes it, with probes that are not measured."""
    before, after = (lm.loss(lm.load(one), probes) for one in (start, folder))
    recorded = Capability(
        name="probes", metric="token_loss", value=after, base_value=before, samples=len(probes)
    )
    return manifest.model_copy(update={"capabilities": [recorded]})


def _packed(cache: Path, start: Path, folder: Path, skill: Skill) -> Path:
    path = folder.parent / f"{sha256(folder / 'model.safetensors')[7:19]}.skillpack"
    if not path.exists():
        session = setting_at(cache / "home", cache)
        name, version = SkillName.parse(f"acme/{skill.slug}"), Version.parse("1.0.0")
        request = PackRequest(start, folder, name, version, output=path)
        pack(session, request, Lossless())
    return path


def groups(seed: int) -> list[tuple[float, tuple[str, ...]]]:
    """Weights and names of the packs to merge.

    All pairs and the seed's random sets, at weights 1 and 0.5; disjoint pairs of two texts at 1.
    """
    draw = random.Random(seed)
    drawn = [tuple(sorted(draw.sample(SKILLS, SET_SIZE), key=SKILLS.index)) for _ in range(SETS)]
    merged = [tuple(s.name for s in group) for group in (*combinations(SKILLS, 2), *drawn)]
    attention, mlp = HALVES[::2], HALVES[1::2]
    disjoint = [(a.name, b.name) for a in attention for b in mlp if a.kinds != b.kinds]
    at_one = [*merged, *(pair for pair in disjoint if pair not in merged)]
    return [*((1.0, group) for group in at_one), *((HALF, group) for group in merged)]


class Losses:
    """Loads base + packs into one model and measures held-out text."""

    def __init__(self, found: World) -> None:
        self._world = found
        self._base = open_checkpoint(found.base)
        self._model = lm.load(found.base)

    def of(self, together: Sequence[str], victim: str, weight: float = 1.0) -> float:
        """The loss of a skill's text with these packs merged; without packs, of the base."""
        self.fill(together, weight)
        return self.read(victim)

    def fill(self, together: Sequence[str], weight: float = 1.0) -> None:
        """Load every tensor of the composition into the model."""
        packs = opened([self._world.packs[name] for name in together])
        composition = Composition(self._base, [WeightedPack(pack, weight) for pack in packs])
        state: dict[str, Any] = {
            name: tensor_of(b"".join(composition.chunks(name)), spec).float()
            for name, spec in composition.specs.items()
        }
        self._model.load_state_dict(state, strict=False)

    def read(self, victim: str) -> float:
        """The loss of a skill's text with the model's current weights."""
        return lm.loss(self._model, self._world.held_out[victim])


def measure(found: World, advance: Advance) -> Iterator[Row]:
    """One row for each member of every group."""
    losses = Losses(found)
    names = list(found.packs)
    before = {name: losses.of((), name) for name in names}
    alone = {(name, weight): losses.of((name,), name, weight)
             for weight in (1.0, HALF) for name in names}  # fmt: skip
    todo = groups(found.seed)
    for number, (weight, together) in enumerate(todo):
        losses.fill(together, weight)
        for victim in together:
            others = tuple(name for name in together if name != victim)
            ends = before[victim], alone[victim, 1.0]
            own = alone[victim, weight]
            yield Row(found.seed, victim, others, *ends, losses.read(victim), weight, own)
        advance(f"merging {found.seed}", number + 1, len(todo))


def measured(cache: Path, found: World, advance: Advance) -> list[Row]:
    """As `measure`, but reuses rows of the same packs from an earlier run."""
    path = cache / f"measured-{found.seed}.json"
    packs = {name: str(one.digest) for name, one in found.packs.items()}
    wanted = {"packs": packs, "groups": json.loads(json.dumps(groups(found.seed)))}
    if path.exists():
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["from"] == wanted:
            return [Row(**{**row, "others": tuple(row["others"])}) for row in document["rows"]]
    rows = list(measure(found, advance))
    document = {"from": wanted, "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(document), encoding="utf-8")
    return rows


def forecast_of(found: World, row: Row, *, gains: bool = True) -> float | None:
    """The loss that `install --dry-run` forecasts for this skill, from the set's manifests.

    Without `gains`, the forecast is made as if no pack had probes.
    """
    manifests = [found.manifests[name] for name in (row.victim, *row.others)]
    if not gains:
        manifests = [one.model_copy(update={"capabilities": []}) for one in manifests]
    weights = {manifest.skill: row.weight for manifest in manifests}
    skill = found.manifests[row.victim].skill
    skills = forecast(manifests, weights, "merged").skills
    return next(one.harm for one in skills if one.skill == skill)
