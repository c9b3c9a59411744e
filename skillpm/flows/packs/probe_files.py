"""Read and check the probes of packs in the store, before a pack is installed."""

from collections.abc import Iterable

from skillpm.spec.capabilities import check_probes_size, read_probes
from skillpm.spec.digests import Digest
from skillpm.spec.oci import PROBES_TYPE
from skillpm.spec.probes import Probes
from skillpm.store.blobs import Store
from skillpm.store.packs import StoredPack, load_pack


def probes_of(pack: StoredPack) -> Probes | None:
    """The probes that a pack carries, if any. Raises `SpecError` if they cannot be read."""
    layers = pack.image.layer(PROBES_TYPE)
    if not layers:
        return None
    check_probes_size(pack.manifest, layers[0].size)
    return read_probes(pack.manifest, pack.read(layers[0].digest))


def check_probes(store: Store, packs: Iterable[Digest]) -> None:
    """Raise `SpecError` if the probes of one of these stored packs cannot be read."""
    for digest in packs:
        probes_of(load_pack(store, digest))
