"""Base + set as one model: what `pack --over`, `verify` and `graft` share."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from skillpm.delta.compose import Composition
from skillpm.delta.packs import OpenPack
from skillpm.errors import GraftError, IntegrityError
from skillpm.flows.lower import AnyPack
from skillpm.spec.digests import Digest
from skillpm.spec.merkle import Identity, LeafHasher


def opened(packs: Iterable[AnyPack]) -> list[OpenPack]:
    """Packs ready to decode."""
    return [OpenPack.of(pack.manifest, pack.open_layer) for pack in packs]


def composed_identity(
    composition: Composition, base: Identity, *, workers: int, advance: Callable[[int], None]
) -> Identity:
    """The identity of base + set, computed in memory: only touched tensors are decoded."""
    specs = composition.specs
    touched = [name for name in composition.touched if name in specs]

    def leaf(name: str) -> Digest:
        hasher = LeafHasher(specs[name].dtype, specs[name].shape)
        for chunk in composition.chunks(name):
            hasher.update(chunk)
        advance(specs[name].nbytes)
        return hasher.digest()

    with ThreadPoolExecutor(workers) as pool:
        try:
            fresh = dict(zip(touched, pool.map(leaf, touched), strict=True))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    check_results(composition, fresh)
    leaves = {name: fresh.get(name) or base.leaves[name] for name in specs}
    return Identity(specs, leaves)


def check_results(composition: Composition, leaves: dict[str, Digest]) -> None:
    """Raise `IntegrityError` where a tensor is not what the one pack that decides it promised."""
    for name, leaf in leaves.items():
        entry = composition.sole(name)
        if entry is not None and entry.result is not None and leaf != entry.result:
            raise IntegrityError(
                f"`{name}` came out with leaf `{leaf}`; its pack promised `{entry.result}`"
            )


def check_effect(composition: Composition, base: Identity, leaves: dict[str, Digest]) -> None:
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
    touched: Iterable[str] = composition.touched
    return sum(composition.specs[name].nbytes for name in touched if name in composition.specs)
