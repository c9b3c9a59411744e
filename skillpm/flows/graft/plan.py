"""Plan a graft: where the bytes of each file and tensor come from, before any is written.

A plan reads headers, small files and known leaves, and writes nothing. Known leaves only show what
may be reused: whatever is reused is hashed again when the plan is executed (ADR 24, ADR 35).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from skillpm.checkpoint.folder import small_files
from skillpm.checkpoint.model import Shard, VerifiedCheckpoint
from skillpm.checkpoint.place import is_own_file, is_read_only
from skillpm.delta.decoding.compose import Composition
from skillpm.flows.graft.existing_graft import ExistingGraft
from skillpm.flows.graft.graft_record import SUMS, manifest_leaf, metadata_bytes
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.merkle import merkle_root
from skillpm.spec.safetensors import dump_header, layout


class Origin(Enum):
    """Where the bytes of a file or of a tensor come from."""

    BASE = "base"
    EXISTING = "existing graft"
    COMPOSED = "composition"


@dataclass(frozen=True)
class GraftInputs:
    """The inputs of a graft: base, composition, side files (None: removed), and metadata.

    With `link`, files that no pack touches are hard links to the base's files if that is safe.
    """

    base: VerifiedCheckpoint
    composition: Composition
    side: Mapping[str, bytes | None]
    link: bool
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class FilePlan:
    """One weight file of a graft, and the origin of each of its tensors.

    `whole` is the origin of a file that is taken as it is; None if tensors are written one by one.
    """

    name: str
    tensors: Mapping[str, Origin]
    whole: Origin | None = None


@dataclass(frozen=True)
class GraftPlan:
    """What a graft contains, and where it comes from.

    `unchanged` is None, or the leaves that make the existing graft equal to the new one: all else
    of it is equal already.
    """

    inputs: GraftInputs
    files: tuple[FilePlan, ...]
    small: Mapping[str, bytes]
    existing: ExistingGraft | None = None
    unchanged: Mapping[str, Digest] | None = None

    @property
    def existing_graft(self) -> ExistingGraft:
        """The existing graft, of a plan in which something comes from it."""
        assert self.existing is not None  # noqa: S101 - else no origin is `EXISTING`
        return self.existing


def plan_graft(inputs: GraftInputs, existing: ExistingGraft | None = None) -> GraftPlan:
    """Decide what of a graft comes from the base, from the existing graft, and from the packs.

    Reads the headers of weight files, and the small files; no tensor.
    """
    shards = _tensors_by_file(inputs)
    small = _small_contents(inputs, shards)
    if existing is None:
        return GraftPlan(inputs, tuple(_plan_files(inputs, shards, frozenset())), small)
    leaves = _known_leaves(inputs, existing)
    equal = frozenset(
        tensor for tensor, leaf in leaves.items() if existing.identity.leaves.get(tensor) == leaf
    )
    same = frozenset(
        name
        for name, tensors in shards.items()
        if equal.issuperset(tensors)
        and existing.has_file(
            name, header_of(inputs.composition, inputs.base.shards[name], tensors)
        )
    )
    files = (
        _taken(inputs, file, existing) if file.name in same else file
        for file in _plan_files(inputs, shards, equal)
    )
    plan = GraftPlan(inputs, tuple(files), small, existing)
    return replace(plan, unchanged=leaves) if _needs_nothing(plan, existing, same, leaves) else plan


def _tensors_by_file(inputs: GraftInputs) -> dict[str, list[str]]:
    """Return the tensors of each file: as in the base, with added tensors in the last file."""
    shards: dict[str, list[str]] = {name: [] for name in sorted(inputs.base.shards)}
    last = max(shards)
    for tensor in sorted(inputs.composition.specs):
        known = tensor in inputs.base.specs
        shards[inputs.base.shard_of(tensor).name if known else last].append(tensor)
    return shards


def _known_leaves(inputs: GraftInputs, existing: ExistingGraft) -> dict[str, Digest]:
    """Return the leaf of each tensor, except of those that must be decoded to know it.

    A tensor that packs merge has the leaf of the existing graft if the merge inputs are equal.
    """
    composition, leaves = inputs.composition, dict[str, Digest]()
    recorded, now = existing.merge_digests, inputs.metadata.get(SUMS, {})
    for tensor in composition.specs:
        leaf: Digest | None = None
        if tensor not in composition.touched:
            leaf = inputs.base.identity.leaves[tensor]
        elif tensor not in now:
            leaf = manifest_leaf(composition, tensor)
        elif recorded.get(tensor) == now[tensor]:
            leaf = existing.identity.leaves.get(tensor)
        if leaf is not None:
            leaves[tensor] = leaf
    return leaves


def _plan_files(
    inputs: GraftInputs, shards: Mapping[str, Collection[str]], equal: Collection[str]
) -> Iterator[FilePlan]:
    """Yield the files, with the tensors in `equal` from the existing graft if packs change them."""
    touched = inputs.composition.touched

    def origin(tensor: str) -> Origin:
        if tensor not in touched:
            return Origin.BASE
        return Origin.EXISTING if tensor in equal else Origin.COMPOSED

    for name, tensors in shards.items():
        untouched = _is_untouched(inputs.composition, inputs.base.shards[name], tensors)
        if tensors or untouched:
            origins = {tensor: origin(tensor) for tensor in tensors}
            yield FilePlan(name, origins, Origin.BASE if untouched else None)


def _taken(inputs: GraftInputs, file: FilePlan, existing: ExistingGraft) -> FilePlan:
    """Return the plan to take a file of the existing graft, unless it is to be linked to the base.

    A file with other hard links is not taken, because an edit of one of them would change it.
    """
    if inputs.link and file.whole is Origin.BASE:
        return file
    if not is_own_file(existing.folder / file.name):
        return file
    return FilePlan(file.name, dict.fromkeys(file.tensors, Origin.EXISTING), Origin.EXISTING)


def _needs_nothing(
    plan: GraftPlan, existing: ExistingGraft, same: Collection[str], leaves: Mapping[str, Digest]
) -> bool:
    """Whether the existing graft has the files and the metadata of the new one."""
    names = {file.name for file in plan.files}
    if len(leaves) < len(plan.inputs.composition.specs) or not names.issubset(same):
        return False
    metadata = metadata_bytes(plan.inputs.metadata, merkle_root(leaves), plan.small)
    return existing.contains(names | plan.small.keys(), metadata) and all(
        _is_in_place(plan, existing, file) for file in plan.files
    )


def _is_in_place(plan: GraftPlan, existing: ExistingGraft, file: FilePlan) -> bool:
    """Whether a file is linked to the base if that was requested and is possible, else unlinked."""
    path, source = existing.folder / file.name, plan.inputs.base.shards[file.name]
    status = path.stat()
    if plan.inputs.link and file.whole is Origin.BASE:
        base_status = source.file.path.stat()
        if status.st_dev == base_status.st_dev:
            return status.st_ino == base_status.st_ino and is_read_only(path)
    return status.st_nlink == 1


def _is_untouched(composition: Composition, shard: Shard, tensors: Collection[str]) -> bool:
    """Whether the graft has a file of the base without changes."""
    before = {placed.spec.name for placed in shard.header.tensors}
    return before == set(tensors) and not before & composition.touched.keys()


def header_of(composition: Composition, shard: Shard, tensors: Collection[str]) -> bytes:
    """Return the safetensors header of a graft's file, given the base's file of that name."""
    if _is_untouched(composition, shard, tensors):
        return shard.file.read(0, shard.header.data_start)
    specs = [composition.specs[tensor] for tensor in tensors if tensor in composition.specs]
    return dump_header(layout(specs), shard.header.metadata)


def _small_contents(inputs: GraftInputs, shards: Mapping[str, Collection[str]]) -> dict[str, bytes]:
    """Return the index, the side files, and the base's small files without a side file."""
    contents = {name: data for name, data in inputs.side.items() if data is not None}
    base = inputs.base
    if base.index is not None:
        contents[base.index_name] = json.pretty(_index(inputs, base.index, shards))
    for path in small_files(base):
        if str(path) not in contents and str(path) not in inputs.side:
            assert base.folder is not None  # noqa: S101 - only a folder has small files
            contents[str(path)] = (base.folder / path).read_bytes()
    return contents


def _index(
    inputs: GraftInputs, before: Mapping[str, Any], shards: Mapping[str, Collection[str]]
) -> dict[str, Any]:
    metadata = before.get("metadata")
    total = sum(spec.nbytes for spec in inputs.composition.specs.values())
    return {
        **before,
        "metadata": {**(metadata if isinstance(metadata, dict) else {}), "total_size": total},
        "weight_map": {tensor: name for name, tensors in shards.items() for tensor in tensors},
    }
