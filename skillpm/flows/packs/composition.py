"""Compose a base and a set of packs to one model; used by `pack --over`, `verify` and `graft`."""

from collections.abc import Iterable, Iterator, Mapping

from skillpm.delta.decoding.compose import Composition
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.errors import GraftError, IntegrityError
from skillpm.flows.packs.protocol import AnyPack
from skillpm.parallel import Advance, parallel_map
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.merkle import Identity, LeafHasher, leaf_of_chunks


def opened(packs: Iterable[AnyPack]) -> list[OpenPack]:
    """The decoders of packs."""
    return [OpenPack.of(pack.manifest, pack.open_layer) for pack in packs]


def composed_identity(
    composition: Composition, base: Identity, *, workers: int, advance: Advance
) -> Identity:
    """The identity of the base with the packs. Decodes only the tensors that a pack changes."""

    def leaf(spec: TensorSpec) -> Digest:
        digest = leaf_of_chunks(spec, composition.chunks(spec.name))
        advance(spec.nbytes)
        return digest

    rewritten = composition.rewritten
    digests = parallel_map(leaf, rewritten.values(), workers=workers, size=lambda spec: spec.nbytes)
    new_leaves = dict(zip(rewritten, digests, strict=True))
    check_results(composition, new_leaves)
    leaves = {name: new_leaves.get(name) or base.leaves[name] for name in composition.specs}
    return Identity(composition.specs, leaves)


class Hashed:
    """A composition that hashes its tensors while they are read."""

    def __init__(self, composition: Composition, advance: Advance) -> None:
        self.specs = composition.specs
        self._advance = advance
        self._composition = composition
        self._leaves: dict[str, Digest] = {}

    def chunks(self, name: str) -> Iterator[bytes]:
        """A tensor's bytes. Records the tensor's leaf after the last chunk."""
        hasher = LeafHasher(self.specs[name].dtype, self.specs[name].shape)
        for chunk in self._composition.chunks(name):
            hasher.update(chunk)
            self._advance(len(chunk))
            yield chunk
        self._leaves[name] = hasher.digest()

    def leaves(self, base: Identity) -> dict[str, Digest]:
        """The leaf of every tensor. Decodes the changed tensors that were not read before."""
        for name in self._composition.rewritten.keys() - self._leaves.keys():
            for _ in self.chunks(name):
                pass
        return {name: self._leaves.get(name) or base.leaves[name] for name in self.specs}


def check_composed(composition: Composition, base: Identity, leaves: Mapping[str, Digest]) -> None:
    """Check a composition as `graft` does: results match the manifests, every skill has an effect.

    Raises `IntegrityError` as `check_results` and `GraftError` as `check_effect` do.
    """
    check_results(composition, {name: leaves[name] for name in composition.rewritten})
    check_effect(composition, base, leaves)


def check_results(composition: Composition, leaves: Mapping[str, Digest]) -> None:
    """Raise `IntegrityError` if a tensor's leaf differs from the `result` in its pack's manifest.

    Only tensors that a single pack determines have an expected result.
    """
    for name, leaf in leaves.items():
        entry = composition.sole(name)
        if entry is not None and entry.result is not None and leaf != entry.result:
            raise IntegrityError(
                f"the decoded `{name}` has leaf `{leaf}`, but the manifest of its pack expects "
                f"`{entry.result}`"
            )


def check_effect(composition: Composition, base: Identity, leaves: Mapping[str, Digest]) -> None:
    """Raise `GraftError` if a skill of the set changes no tensor (law 6)."""
    for skill in composition.skills:
        touched = [name for name, skills in composition.touched.items() if skill in skills]
        if all(leaves.get(name) == base.leaves.get(name) for name in touched):
            raise GraftError(
                f"`{skill}` changes no tensor of this graft",
                hint=f"remove it, `skillpm uninstall {skill}`, or give it another weight",
            )


def total_bytes(composition: Composition) -> int:
    """The total size in bytes of all changed tensors, dense."""
    return sum(spec.nbytes for spec in composition.rewritten.values())
