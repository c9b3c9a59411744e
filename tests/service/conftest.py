"""Servers of the tests: one that most tests share, its administrator, and a user of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from live_server import Api, Server, configured, fresh, initialized, running
from plain_models import plain_tensors, write_plain
from services import PostgresServer, postgres
from skillpm_world import World
from spaces import Space, make_space


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


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresServer]:
    """A PostgreSQL server of the module."""
    with postgres() as started:
        yield started


@pytest.fixture(scope="module")
def spaces(server: Server) -> dict[bool, Space]:
    """A public and a private namespace, by whether they are private."""
    admin = server.client(server.environment["ADMIN"])
    return {private: make_space(admin, private=private) for private in (False, True)}


@pytest.fixture
def namespace(admin: Api) -> str:
    """A new namespace on the shared server."""
    return fresh(admin)


@pytest.fixture
def base(world: World) -> Path:
    base = write_plain(world.folder / "base", plain_tensors())
    world.init(base)
    return base


@pytest.fixture
def user(world: World, server: Server, admin: Api, monkeypatch: pytest.MonkeyPatch) -> str:
    """The token of a user, which the environment has, with the registry."""
    token = admin.token("read", "publish", "publish-new", "yank")
    monkeypatch.setenv("SKILLPM_REGISTRY", server.url)
    monkeypatch.setenv("SKILLPM_TOKEN", token)
    return token
