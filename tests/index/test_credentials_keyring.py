"""Tokens in a keyring: a package `keyring` with a store of its own, as on a desktop."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from skillpm.errors import StateError
from skillpm.index.credentials import StoredTokens
from skillpm.spec.origin import WebOrigin

ORIGIN = WebOrigin.of("https://skills.example.org")
PACKAGE = """
from keyring import errors
PASSWORDS, STATE = {}, {"priority": 5, "locked": False}

class Backend:
    priority = property(lambda self: STATE["priority"])

def get_keyring():
    return Backend()

def _check():
    if STATE["locked"]:
        raise errors.KeyringError("it is locked")

def get_password(service, name):
    _check()
    return PASSWORDS.get((service, name))

def set_password(service, name, password):
    _check()
    PASSWORDS[service, name] = password

def delete_password(service, name):
    _check()
    if (service, name) not in PASSWORDS:
        raise errors.PasswordDeleteError("none")
    del PASSWORDS[service, name]
"""
ERRORS = """
class KeyringError(Exception): pass
class PasswordDeleteError(KeyringError): pass
"""


@pytest.fixture
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The state of the keyring: its priority, and whether it is locked."""
    package = tmp_path / "modules" / "keyring"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(PACKAGE)
    (package / "errors.py").write_text(ERRORS)
    for name in [name for name in sys.modules if name.partition(".")[0] == "keyring"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(package.parent)
    state: dict[str, object] = import_module("keyring").STATE
    return state


@pytest.fixture
def tokens(tmp_path: Path) -> StoredTokens:
    return StoredTokens(tmp_path / "home")


def _written(tokens: StoredTokens) -> bytes:
    return b"".join(path.read_bytes() for path in tokens.home.rglob("*") if path.is_file())


def test_a_usable_keyring_has_the_token_and_the_file_only_says_so(
    keyring: dict[str, object], tokens: StoredTokens
) -> None:
    assert "keyring" in tokens.put(ORIGIN, "sk-secret")
    assert b"sk-secret" not in _written(tokens)
    assert tokens.get(ORIGIN) == "sk-secret"
    assert tokens.get(WebOrigin.of("https://other.example.org")) is None
    assert tokens.remove(ORIGIN)
    assert tokens.get(ORIGIN) is None
    assert import_module("keyring").PASSWORDS == {}


@pytest.mark.parametrize("state", [{"priority": 0}, {"locked": True}])
def test_without_a_usable_keyring_the_token_is_in_a_private_file(
    state: dict[str, object], keyring: dict[str, object], tokens: StoredTokens
) -> None:
    keyring |= state
    tokens.put(ORIGIN, "sk-secret")
    assert b"sk-secret" in _written(tokens)
    assert tokens.get(ORIGIN) == "sk-secret"


def test_a_keyring_that_is_locked_later_is_an_error_with_a_hint(
    keyring: dict[str, object], tokens: StoredTokens
) -> None:
    tokens.put(ORIGIN, "sk-secret")
    keyring["locked"] = True
    with pytest.raises(StateError, match="cannot be read") as failed:
        tokens.get(ORIGIN)
    assert "SKILLPM_TOKEN" in (failed.value.hint or "")
