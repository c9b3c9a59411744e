"""A skill and all skills that it requires, as they run beside a base."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.tensors.ports import Source
from skillpm.spec.manifest import FootprintEntry
from skillpm.spec.merging import Merging


@dataclass(frozen=True)
class SkillLayers:
    """The set that `graft --only SKILL` would graft. Payloads stay in the store, verified.

    `refusal` is the reason that it cannot run live, or None. `note` is a warning for the user.
    `merging` is the method of the lock, for tensors that several task vectors change.
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
        """The composition of the base and the set."""
        return Composition(self.base, list(self.applied), self.merging)

    @cached_property
    def entries(self) -> Mapping[str, FootprintEntry]:
        """An entry for each tensor that the set changes; one that is not `changed`, if any."""
        entries: dict[str, FootprintEntry] = {}
        for weighted in self.applied:
            for tensor, entry in weighted.pack.entries.items():
                if tensor not in entries or entry.change != "changed":
                    entries[tensor] = entry
        return entries

    def packs_changing(self, tensor: str) -> list[tuple[OpenPack, float]]:
        """Return the packs that change a tensor, with their weights."""
        return [
            (weighted.pack, weighted.weight)
            for weighted in self.applied
            if tensor in weighted.pack.entries
        ]
