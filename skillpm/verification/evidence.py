"""The evidence for the checks: a pack's documents, its decoded tensors, and a base."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from skillpm.delta.decoding.recompute import DecodedTensor
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.manifest import ArchitectureFacts, Manifest
from skillpm.spec.oci import PackImage


@dataclass(frozen=True)
class Discrepancy:
    """A false statement: its path in the manifest, the stated value, and the expected one."""

    path: str
    stated: object
    expected: object

    def __str__(self) -> str:
        return f"{self.path}: stated {shown(self.stated)}, expected {shown(self.expected)}"


Discrepancies = Iterator[Discrepancy]
_SHOWN = 90
_PLAIN = (bool, int, float, list, tuple, dict, type(None))


def shown(value: object) -> str:
    """Return a value as text for a message, at most `_SHOWN` characters long."""
    text = repr(value) if isinstance(value, _PLAIN) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


@dataclass(frozen=True)
class PackDocuments:
    """A pack without its payload. The caller has verified the hash of every blob.

    `size` is the number of bytes of all blobs; `read` returns a small blob.
    """

    image: PackImage
    manifest: Manifest
    size: int
    read: Callable[[Digest], bytes]


@dataclass(frozen=True)
class BaseFacts:
    """Facts of the base on this machine.

    `architecture` is None if the folder does not state one. `exact` is False if only the footprint
    of the base matches (law 8): statements about the whole base cannot be checked on it. `files`
    returns a small file by name, `ask_facts` the architecture facts of an installed library.
    """

    root: Digest
    architecture: str | None
    dtype: str
    parameters: int
    specs: Mapping[str, TensorSpec]
    exact: bool
    files: Callable[[str], bytes | None] = field(repr=False)
    ask_facts: Callable[[], ArchitectureFacts] = field(repr=False)


@dataclass(frozen=True)
class Decoded:
    """A pack decoded on a base: its tensors, and the manifests of the packs it is layered on.

    `specs` are the tensors of the model that the pack was encoded against.
    """

    tensors: Mapping[str, DecodedTensor]
    specs: Mapping[str, TensorSpec]
    lower: tuple[tuple[Digest, Manifest], ...] = ()
