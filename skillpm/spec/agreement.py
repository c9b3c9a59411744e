"""Checks that the packs of a set record the same facts about their architecture (ADR 31).

`pack` records what the installed library states about the architecture of the base. Packs with
different facts assume different structures of the same base, so no graft can satisfy both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from skillpm.errors import ResolutionError
from skillpm.spec.manifest import Manifest
from skillpm.spec.manifest_parts import ArchitectureFacts
from skillpm.spec.sidefiles import CONFIG

_ABSENT = "nothing"
_SHOWN = 12
"""The most differences that one message lists."""


@dataclass(frozen=True)
class FactDifference:
    """A field of `architecture_facts` in which two manifests differ, with both values."""

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
    """The first difference between each two packs, in the order of `manifests`.

    `tied` and `names` must be equal. If both packs patch `config.json`, the `config_keys` of one
    must include those of the other. Another version of the library is not a difference, and packs
    without facts are skipped. Packs with equal facts are compared only once.
    """
    distinct: dict[tuple[object, ...], Manifest] = {}
    for manifest in manifests:
        if manifest.architecture_facts.library is not None:
            distinct.setdefault(_comparison_key(manifest), manifest)
    for first, second in combinations(distinct.values(), 2):
        difference = _difference(first, second)
        if difference is not None:
            yield difference


def check_facts(manifests: Sequence[Manifest]) -> None:
    """Raise `ResolutionError` if packs record different facts of their architecture (ADR 31)."""
    differences = list(fact_differences(manifests))
    if differences:
        listed = "\n".join(f"  {difference}" for difference in differences[:_SHOWN])
        again = differences[0].second
        raise ResolutionError(
            f"these packs record different facts about the base's architecture:\n{listed}",
            hint=f"pack `{again.skill}` again with the library version of the other pack: "
            f"`skillpm pack ./base ./tuned --name {again.skill} --version …`",
        )


def _comparison_key(manifest: Manifest) -> tuple[object, ...]:
    """Everything that is compared. Packs with equal keys differ from the same packs."""
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
    """The first key in sorted order whose values differ in the two mappings."""
    ours, theirs = values
    name = min(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))
    stated = tuple(f"`{mapping[name]}`" if name in mapping else _ABSENT for mapping in values)
    return FactDifference(first, second, f"{field}.{name}", (stated[0], stated[1]))


def _groups(facts: ArchitectureFacts) -> frozenset[frozenset[str]]:
    """The groups of tied tensors, regardless of which tensor of a group is the source."""
    groups: dict[str, set[str]] = {}
    for name, source in facts.tied.items():
        merged = groups.get(name, {name}) | groups.get(source, {source})
        groups |= dict.fromkeys(merged, merged)
    return frozenset(map(frozenset, groups.values()))


def _moved(facts: ArchitectureFacts, others: ArchitectureFacts) -> dict[str, str]:
    """The entries of `facts.tied` whose group of tied tensors differs in `others`."""
    equal = frozenset().union(*(_groups(facts) & _groups(others)))
    return {name: source for name, source in facts.tied.items() if name not in equal}


def _patches_config(manifest: Manifest) -> bool:
    return any(file.path == CONFIG for file in manifest.files)
