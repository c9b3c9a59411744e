"""`verify` and `inspect`: is a pack what it says, and what does it say."""

from dataclasses import dataclass
from pathlib import Path

from skillpm.archive.reader import PackFile, open_pack
from skillpm.delta.compose import Applied, Composition
from skillpm.errors import IntegrityError
from skillpm.flows.base import check_footprint, footprint_fits
from skillpm.flows.compose import check_effect, composed_identity, opened, total_bytes
from skillpm.flows.lower import with_lower
from skillpm.flows.setting import Setting, open_model
from skillpm.spec.digests import Digest
from skillpm.spec.merkle import Identity


@dataclass(frozen=True)
class Verified:
    """A pack that holds; with a base, the root that it gives."""

    pack: PackFile
    root: Digest | None


def inspect_pack(path: Path) -> PackFile:
    """Read and verify a pack file."""
    return open_pack(path)


def verify_pack(
    setting: Setting, path: Path, base: Path | None, *, accept_footprint: bool = False
) -> Verified:
    """Re-hash everything; with a base, graft in memory and compare with `result_root`.

    On a base that is nearly right (law 8), every tensor's `result` is compared instead.
    """
    pack = open_pack(path)
    for one in opened([pack]):
        one.hash_layers()
    if base is None:
        return Verified(pack, None)
    model = open_model(base)
    identity = setting.identify(model, "hashing base", cached=False)
    exact = identity.root == pack.manifest.base.root
    if not exact:
        _check_nearly(pack, base, identity, accept_footprint=accept_footprint)
    check_footprint(pack.manifest, identity.leaves)
    model.expected = identity.leaves
    packs = opened(with_lower(setting, [pack]))
    composition = Composition(model, [Applied(each) for each in packs])
    advance = setting.progress("verifying", total_bytes(composition))
    found = composed_identity(composition, identity, workers=setting.workers, advance=advance)
    check_effect(composition, identity, found.leaves)
    if exact and found.root != pack.manifest.result_root:
        raise IntegrityError(
            f"{pack.manifest.ref} promises the root `{pack.manifest.result_root}`, "
            f"but gives `{found.root}`"
        )
    return Verified(pack, found.root)


def _check_nearly(
    pack: PackFile, base: Path, identity: Identity, *, accept_footprint: bool
) -> None:
    """Raise `IntegrityError` for a base that is not the one; say where it is nearly right."""
    fits = footprint_fits(pack.manifest, identity.leaves)
    if fits and accept_footprint:
        return
    raise IntegrityError(
        f"{pack.manifest.ref} was cut from base `{pack.manifest.base.root}`, "
        f"but `{base}` is `{identity.root}`"
        + ("; but all tensors that the pack touches are the same" if fits else ""),
        hint="`--accept-footprint` goes on"
        if fits
        else f"`skillpm identify {base}` tells what this model is",
    )
