"""Each kind of registry loads only its own libraries, and a stored lock loads none."""

import os
import subprocess
import sys

import pytest
from served_registry import FaultyServer
from skillpm_world import PACKAGES, World

HTTP = frozenset({"httpx", "httpcore"})
DATABASE = frozenset({"sqlalchemy", "alembic"})
SERVER = frozenset({"granian", "starlette", "psycopg", "obstore"})
_PROBE = """
import sys
from skillpm.cli import main
try:
    main(sys.argv[1:])
except SystemExit as done:
    print(*[name for name in sys.modules if "." not in name], file=sys.stderr)
    raise
"""


def loaded(*command: object) -> set[str]:
    """The top-level modules that a command loads."""
    ran = subprocess.run(
        [sys.executable, "-c", _PROBE, *map(str, command)],
        env={**os.environ, "PYTHONPATH": PACKAGES}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran
    modules = set(ran.stderr.splitlines()[-1].split())
    assert "click" in modules
    return modules


@pytest.fixture
def fetched(world: World, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of the registry, from which a skill is installed."""
    monkeypatch.setenv("SKILLPM_REGISTRY", server.url)
    world.ask("install", "acme/a")
    return server.url


def test_help_loads_no_library_of_a_registry() -> None:
    assert not loaded("--help") & (HTTP | DATABASE | SERVER | {"keyring", "certifi", "torch"})


def test_a_folder_loads_no_http_library(world: World) -> None:
    world.ask("registry", "init", world.folder / "team")
    modules = loaded("search", "--registry", world.folder / "team")
    assert not modules & (HTTP | SERVER)
    assert "sqlalchemy" in modules


def test_http_loads_no_database(fetched: str) -> None:
    for command in (("show", "acme/a"), ("outdated",), ("install", "acme/b", "--dry-run")):
        modules = loaded(*command)
        assert "httpx" in modules
        assert not modules & (DATABASE | SERVER | {"rich"})


def test_a_stored_lock_opens_no_registry(world: World, fetched: str, server: FaultyServer) -> None:
    server.requests.clear()
    for command in ("install", "install --frozen", "list", "tree", "lock"):
        assert not loaded(*command.split()) & (HTTP | DATABASE | SERVER), command
    assert server.requests == []
