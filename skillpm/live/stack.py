"""A skill as it is put beside a running base: with all the skills that it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from skillpm.delta.apply.compose import Composition, WeightedPack
from skillpm.delta.apply.open_pack import OpenPack
from skillpm.delta.tensors.ports import Source
from skillpm.spec.manifest import FootprintEntry
from skillpm.spec.merging import Merging


@dataclass(frozen=True)
class SkillLayers:
    """What `graft --only SKILL` would graft. Its payload stays where it is, verified.

    `refusal` says why it cannot run live, `note` what a person should know who runs it; `merging`
    is the lock's, for tensors in which several task vectors meet.
    """

    skill: str
    base: Source
    applied: tuple[WeightedPack, ...]
    payload_bytes: int
    refusal: str | None = None
    note: str | None = None
    merging: Merging = field(default_factory=Merging)

    @cached_property
    def composition(self) -> Composition:
        """Base + set."""
        return Composition(self.base, list(self.applied), self.merging)

    @cached_property
    def entries(self) -> Mapping[str, FootprintEntry]:
        """For each tensor that is touched an entry; one that does more than change it, if any."""
        found: dict[str, FootprintEntry] = {}
        for each in self.applied:
            for tensor, entry in each.pack.entries.items():
                if tensor not in found or entry.change != "changed":
                    found[tensor] = entry
        return found

    def touching(self, tensor: str) -> list[tuple[OpenPack, float]]:
        """The packs that touch a tensor, with their weights."""
        return [(a.pack, a.weight) for a in self.applied if tensor in a.pack.entries]
