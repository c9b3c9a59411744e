"""Which packs can be grafted together: told from their manifests alone (contract, section 4)."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from skillpm.spec.dtypes import is_float
from skillpm.spec.manifest import FootprintEntry, Manifest
from skillpm.spec.names import SkillName


def layer_closure(
    over: Mapping[SkillName, Sequence[SkillName]],
) -> dict[SkillName, frozenset[SkillName]]:
    """For each skill, all that it lies over, directly or not."""

    def below(skill: SkillName) -> frozenset[SkillName]:
        found: set[SkillName] = set()
        queue = [skill]
        while queue:
            fresh = [lower for lower in over.get(queue.pop(), ()) if lower not in found]
            found.update(fresh)
            queue.extend(fresh)
        return frozenset(found)

    return {skill: below(skill) for skill in over}


def clashes(manifests: Sequence[Manifest], weights: Mapping[SkillName, float]) -> Iterator[str]:
    """Every reason why these packs, at these weights, cannot be grafted together.

    Deltas of a floating point tensor that is `changed` add up. Any other entry must have the same
    `result` in all packs, at weight 1; a pack replaces what it lies over.
    """
    below = layer_closure({m.skill: [lower.skill for lower in m.over] for m in manifests})
    for manifest in manifests:
        if weights.get(manifest.skill, 1.0) == 0.0:
            yield f"`{manifest.skill}` has weight 0: it would change nothing"
        elif weights.get(manifest.skill, 1.0) != 1.0:
            fixed = [entry.tensor for entry in manifest.footprint if not is_additive(entry)]
            if fixed:
                yield (
                    f"`{manifest.skill}` has weight {weights[manifest.skill]}, but `{fixed[0]}` "
                    "cannot be scaled"
                )
    entries = {m.skill: {entry.tensor: entry for entry in m.footprint} for m in manifests}
    settled = {
        skill: {tensor for tensor, entry in touched.items() if not is_additive(entry)}
        for skill, touched in entries.items()
    }
    for one, other in combinations(manifests, 2):
        if one.skill in below[other.skill] or other.skill in below[one.skill]:
            continue
        ours, theirs = entries[one.skill], entries[other.skill]
        # Most packs only add: few names are worth a look, however many packs there are.
        narrow = (settled[one.skill] & theirs.keys()) | (settled[other.skill] & ours.keys())
        tensor = min((t for t in narrow if ours[t].result != theirs[t].result), default=None)
        if tensor:
            yield f"`{one.skill}` and `{other.skill}` give `{tensor}` different contents"


def is_scalable(manifest: Manifest) -> bool:
    """Whether a pack may have another weight than 1: all that it touches can be scaled."""
    return all(map(is_additive, manifest.footprint))


def is_additive(entry: FootprintEntry) -> bool:
    """Whether an entry's delta can be weighted and summed with others'."""
    return entry.change == "changed" and is_float(entry.dtype)
