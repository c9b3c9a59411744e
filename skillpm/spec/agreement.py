"""Whether packs of one set state the same of their architecture (ADR 31).

`pack` records what the library of its time says. Two packs that say different things were made for
two readings of one base, and no graft can hold to both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from skillpm.spec.manifest import Manifest
from skillpm.spec.manifest_parts import ArchitectureFacts
from skillpm.spec.sidefiles import CONFIG

_ABSENT = "nothing"


@dataclass(frozen=True)
class FactDifference:
    """What two manifests state differently, and by which libraries."""

    first: Manifest
    second: Manifest
    path: str
    stated: tuple[str, str]

    def __str__(self) -> str:
        sides = (
            f"`{manifest.skill}` {manifest.version} states {stated} "
            f"({manifest.architecture_facts.library})"
            for manifest, stated in zip((self.first, self.second), self.stated, strict=True)
        )
        return f"`architecture_facts.{self.path}` differs: {', '.join(sides)}"


def fact_differences(manifests: Sequence[Manifest]) -> Iterator[FactDifference]:
    """The first difference of each two packs, in the order of `manifests`.

    Ties and names must be equal; keys of a config matter where both packs patch `config.json`, and
    there the keys of one must hold the other's. The library's version alone is no difference, and
    a pack without facts states none. Costs one comparison per different statement, not per pair.
    """
    speaking: dict[tuple[object, ...], Manifest] = {}
    for manifest in manifests:
        if manifest.architecture_facts.library is not None:
            speaking.setdefault(_statement(manifest), manifest)
    for first, second in combinations(speaking.values(), 2):
        difference = _difference(first, second)
        if difference is not None:
            yield difference


def _statement(manifest: Manifest) -> tuple[object, ...]:
    """All that is compared: packs with the same statement agree with the same others."""
    facts = manifest.architecture_facts
    keys = frozenset(facts.config_keys) if _patches_config(manifest) else None
    return _groups(facts), frozenset(facts.names.items()), keys


def _difference(first: Manifest, second: Manifest) -> FactDifference | None:
    ours, theirs = first.architecture_facts, second.architecture_facts
    if _groups(ours) != _groups(theirs):
        return _in_mapping(first, second, "tied", (_moved(ours, theirs), _moved(theirs, ours)))
    if ours.names != theirs.names:
        return _in_mapping(first, second, "names", (ours.names, theirs.names))
    keys, others = set(ours.config_keys), set(theirs.config_keys)
    if _patches_config(first) and _patches_config(second) and keys - others and others - keys:
        stated = f"`{min(keys - others)}`", f"`{min(others - keys)}`"
        return FactDifference(first, second, "config_keys", stated)
    return None


def _in_mapping(
    first: Manifest,
    second: Manifest,
    field: str,
    values: tuple[Mapping[str, str], Mapping[str, str]],
) -> FactDifference:
    """The first name, in their order, of which the two mappings say different things."""
    ours, theirs = values
    name = min(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    stated = tuple(f"`{each[name]}`" if name in each else _ABSENT for each in values)
    return FactDifference(first, second, f"{field}.{name}", (stated[0], stated[1]))


def _groups(facts: ArchitectureFacts) -> frozenset[frozenset[str]]:
    """The sets of tensors that share their values, whichever of a set is named as the source."""
    groups: dict[str, set[str]] = {}
    for name, source in facts.tied.items():
        merged = groups.get(name, {name}) | groups.get(source, {source})
        groups |= dict.fromkeys(merged, merged)
    return frozenset(map(frozenset, groups.values()))


def _moved(facts: ArchitectureFacts, others: ArchitectureFacts) -> dict[str, str]:
    """The ties of `facts` whose tensor shares its values with other tensors by `others`."""
    alike = frozenset().union(*(_groups(facts) & _groups(others)))
    return {name: source for name, source in facts.tied.items() if name not in alike}


def _patches_config(manifest: Manifest) -> bool:
    return any(file.path == CONFIG for file in manifest.files)
