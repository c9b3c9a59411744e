"""Checks by their manifests whether packs can be grafted together (contract, section 4)."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from skillpm.spec.closure import layer_closure
from skillpm.spec.dtypes import is_float
from skillpm.spec.manifest import FootprintEntry, Manifest
from skillpm.spec.names import SkillName


def clashes(manifests: Sequence[Manifest], weights: Mapping[SkillName, float]) -> Iterator[str]:
    """Every reason why these packs cannot be grafted together at these weights.

    Deltas of `changed` floating-point tensors are summed. All other entries need weight 1 and the
    same `result` in all packs, except that a layered pack overrides the packs that it is layered
    on.
    """
    below = layer_closure({m.skill: [layer.skill for layer in m.over] for m in manifests})
    for manifest in manifests:
        if weights.get(manifest.skill, 1.0) == 0.0:
            yield f"`{manifest.skill}` has weight 0, so it would change nothing"
        elif weights.get(manifest.skill, 1.0) != 1.0:
            fixed = [entry.tensor for entry in manifest.footprint if not is_additive(entry)]
            if fixed:
                yield (
                    f"`{manifest.skill}` has weight {weights[manifest.skill]}, but `{fixed[0]}` "
                    "cannot be scaled"
                )
    entries = {m.skill: {entry.tensor: entry for entry in m.footprint} for m in manifests}
    fixed_tensors = {
        skill: {tensor for tensor, entry in footprint.items() if not is_additive(entry)}
        for skill, footprint in entries.items()
    }
    for first, second in combinations([manifest.skill for manifest in manifests], 2):
        if first in below[second] or second in below[first]:
            continue
        ours, theirs = entries[first], entries[second]
        # Most packs have only additive entries, so few tensors are compared, even in large sets.
        shared = (fixed_tensors[first] & theirs.keys()) | (fixed_tensors[second] & ours.keys())
        tensor = min((t for t in shared if ours[t].result != theirs[t].result), default=None)
        if tensor:
            yield f"`{first}` and `{second}` set the tensor `{tensor}` to different values"


def is_scalable(manifest: Manifest) -> bool:
    """Whether a pack may have another weight than 1: all its entries are additive."""
    return all(map(is_additive, manifest.footprint))


def is_additive(entry: FootprintEntry) -> bool:
    """Whether the delta of an entry can be scaled and summed with the deltas of other packs."""
    return entry.change == "changed" and is_float(entry.dtype)
