"""A registry of files with one large blob, and clients of it that do not wait long."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from remote_values import CONTENT, DIGEST, FAST, INDEX, Open, listing
from served_registry import FaultyServer, serving
from static_tree import StaticTree

from skillpm.index.credentials import Credentials, StoredTokens
from skillpm.index.remote.open import RemoteSettings, open_remote
from skillpm.index.remote.registry import RemoteIndex
from skillpm.spec.location import RegistryLocation
from skillpm.spec.served import blob_path
from skillpm.store.blobs import Store


@pytest.fixture(autouse=True)
def _without_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")


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
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """A function that opens the index of a URL; further arguments replace settings."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
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


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home" / "store")


@pytest.fixture
def math(tree: StaticTree) -> StaticTree:
    tree.write(INDEX, listing("1.10.0", "1.9.0", "2.0.0-rc.1"))
    return tree
