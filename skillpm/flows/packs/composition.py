"""Base + set as one model: what `pack --over`, `verify` and `graft` share."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from skillpm.delta.apply.compose import Composition
from skillpm.delta.apply.open_pack import OpenPack
from skillpm.errors import GraftError, IntegrityError
from skillpm.flows.packs.protocol import AnyPack
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.merkle import Identity, LeafHasher, leaf_of_chunks


def opened(packs: Iterable[AnyPack]) -> list[OpenPack]:
    """Packs ready to decode."""
    return [OpenPack.of(pack.manifest, pack.open_layer) for pack in packs]


def composed_identity(
    composition: Composition, base: Identity, *, workers: int, advance: Callable[[int], None]
) -> Identity:
    """The identity of base + set, computed in memory: only touched tensors are decoded."""

    def leaf(spec: TensorSpec) -> Digest:
        found = leaf_of_chunks(spec, composition.chunks(spec.name))
        advance(spec.nbytes)
        return found

    todo = composition.rewritten
    with ThreadPoolExecutor(workers) as pool:
        try:
            fresh = dict(zip(todo, pool.map(leaf, todo.values()), strict=True))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    check_results(composition, fresh)
    leaves = {name: fresh.get(name) or base.leaves[name] for name in composition.specs}
    return Identity(composition.specs, leaves)


class Hashed:
    """A composition as a source, whose tensors are hashed as they are read."""

    def __init__(self, composition: Composition, advance: Callable[[int], None]) -> None:
        self.specs = composition.specs
        self._advance = advance
        self._composition = composition
        self._found: dict[str, Digest] = {}

    def chunks(self, name: str) -> Iterator[bytes]:
        """A tensor's bytes; its leaf is known once they are all read."""
        hasher = LeafHasher(self.specs[name].dtype, self.specs[name].shape)
        for chunk in self._composition.chunks(name):
            hasher.update(chunk)
            self._advance(len(chunk))
            yield chunk
        self._found[name] = hasher.digest()

    def leaves(self, base: Identity) -> dict[str, Digest]:
        """The leaf of every tensor; what nobody read is decoded for it."""
        for name in self._composition.rewritten.keys() - self._found.keys():
            for _ in self.chunks(name):
                pass
        return {name: self._found.get(name) or base.leaves[name] for name in self.specs}


def check_composed(composition: Composition, base: Identity, leaves: Mapping[str, Digest]) -> None:
    """Raise what `graft` refuses a composition for: a false promise, a skill without effect."""
    check_results(composition, {name: leaves[name] for name in composition.rewritten})
    check_effect(composition, base, leaves)


def check_results(composition: Composition, leaves: Mapping[str, Digest]) -> None:
    """Raise `IntegrityError` where a tensor is not what the one pack that decides it promised."""
    for name, leaf in leaves.items():
        entry = composition.sole(name)
        if entry is not None and entry.result is not None and leaf != entry.result:
            raise IntegrityError(
                f"`{name}` came out with leaf `{leaf}`; its pack promised `{entry.result}`"
            )


def check_effect(composition: Composition, base: Identity, leaves: Mapping[str, Digest]) -> None:
    """Raise `GraftError` where a skill of the set changes no tensor (law 6)."""
    for skill in composition.skills:
        touched = [name for name, skills in composition.touched.items() if skill in skills]
        if all(leaves.get(name) == base.leaves.get(name) for name in touched):
            raise GraftError(
                f"`{skill}` changes no tensor of this graft",
                hint=f"`skillpm uninstall {skill}`, or give it another weight",
            )


def total_bytes(composition: Composition) -> int:
    """The dense bytes of all touched tensors."""
    return sum(spec.nbytes for spec in composition.rewritten.values())
