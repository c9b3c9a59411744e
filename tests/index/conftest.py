"""A registry of files with one large blob, and clients of it that do not wait long."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from served_registry import FaultyServer, StaticTree, serving

from skillpm.index.credentials import Credentials, StoredTokens
from skillpm.index.remote.open import RemoteSettings, open_remote
from skillpm.index.remote.registry import RemoteIndex
from skillpm.index.remote.retry import RetryPolicy
from skillpm.spec.digests import Digest
from skillpm.spec.location import RegistryLocation
from skillpm.spec.served import blob_path

FAST = RetryPolicy(
    pause=0.01, pause_limit=0.05, asked_limit=2.0, read_timeout=1.0, window=0.4, least_speed=10_000
)
CONTENT = b"".join(number.to_bytes(4, "big") for number in range(1 << 20))
"""A blob of 4 MiB."""
DIGEST = Digest.of(CONTENT)
Open = Callable[..., RemoteIndex]


@pytest.fixture
def tree(tmp_path: Path) -> StaticTree:
    tree = StaticTree(tmp_path / "tree", namespaces=["acme"])
    tree.write_config()
    tree.write(f"/blobs{blob_path(DIGEST)}", CONTENT)
    return tree


@pytest.fixture
def server(tree: StaticTree) -> Iterator[FaultyServer]:
    with serving(tree.folder) as server:
        yield server


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """A function that opens the index of a URL; further arguments replace settings."""
    indexes: list[RemoteIndex] = []

    def open_url(url: str, token: str | None = None, **changes: object) -> RemoteIndex:
        location = RegistryLocation.parse(url)
        home = tmp_path / "home"
        credentials = Credentials(StoredTokens(home), token, frozenset())
        settings = {"home": home, "credentials": credentials, "now": 1e9, "policy": FAST}
        index = open_remote(location, RemoteSettings(**{**settings, **changes}))  # type: ignore[arg-type]
        indexes.append(index)
        return index

    yield open_url
    for index in indexes:
        index.close()
