"""Servers of the tests: one that most tests share, and its administrator."""

from collections.abc import Iterator

import pytest
from live_server import Api, Server, configured, initialized, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on SQLite and folders, without rate limits."""
    folder = tmp_path_factory.mktemp("server")
    arguments = configured(folder / "registry")
    token = initialized(arguments)
    with running(folder, *arguments) as started:
        started.environment["ADMIN"] = token
        yield started


@pytest.fixture
def admin(server: Server) -> Api:
    """The API of the shared server, with the token of an administrator."""
    return server.client(server.environment["ADMIN"])


@pytest.fixture
def anybody(server: Server) -> Api:
    """The API of the shared server, without a token."""
    return server.client()
