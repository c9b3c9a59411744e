"""What a manifest is held against: the pack's other documents, its decoded tensors, a base."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from skillpm.delta.apply.recompute import DecodedTensor
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.manifest import ArchitectureFacts, Manifest
from skillpm.spec.oci import PackImage


@dataclass(frozen=True)
class Discrepancy:
    """A statement that does not hold: its path, what it says, and what would hold."""

    path: str
    stated: object
    expected: object

    def __str__(self) -> str:
        return f"{self.path}: stated {shown(self.stated)}, expected {shown(self.expected)}"


Discrepancies = Iterator[Discrepancy]
_SHOWN = 90
_PLAIN = (bool, int, float, list, tuple, dict, type(None))


def shown(value: object) -> str:
    """A value as a message shows it, cut to a length that a line takes."""
    text = repr(value) if isinstance(value, _PLAIN) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


@dataclass(frozen=True)
class PackDocuments:
    """A pack without its payload: every blob of it has been hashed.

    `size` counts the bytes of all its blobs, `read` gives a small one.
    """

    image: PackImage
    manifest: Manifest
    size: int
    read: Callable[[Digest], bytes]


@dataclass(frozen=True)
class BaseFacts:
    """A base as it was found here.

    `architecture` is None where its folder does not say. `exact` is False for a base that only has
    the same footprint (law 8): what is said of the whole base cannot be checked on it. `files`
    gives its small files by name, `ask_facts` what a library here says of its architecture.
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
    """A pack decoded on a base: its tensors, and the manifests of all that it is layered on.

    `specs` are the tensors of what the pack was cut from.
    """

    tensors: Mapping[str, DecodedTensor]
    specs: Mapping[str, TensorSpec]
    lower: tuple[tuple[Digest, Manifest], ...] = ()
