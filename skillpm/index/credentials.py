"""Credentials of registries: `SKILLPM_TOKEN`, the URL's own, and those that `login` stored.

Each belongs to an origin and is sent nowhere else. Stored tokens are in the system's keyring, or
in a file of the home that only its owner can read.
"""

import os
import shlex
import stat
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

from skillpm.errors import StateError, UsageError
from skillpm.files.access import PRIVATE, HomeFolder
from skillpm.files.errors import MissingFileError
from skillpm.files.folder import Folder
from skillpm.journal.atomic import sweep_strays
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.location import RegistryLocation
from skillpm.spec.origin import WebOrigin

VARIABLE = "SKILLPM_TOKEN"
TOKEN_LIMIT = 8192
_FOLDER = "credentials"
_SERVICE = "skillpm"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def check_token(token: str, source: str) -> str:
    """The token without surrounding spaces. Raises `UsageError`; the message does not show it."""
    token = token.strip()
    if not token:
        raise UsageError(f"{source} is empty; expected a token")
    if len(token) > TOKEN_LIMIT or not (token.isascii() and token.isprintable()) or " " in token:
        raise UsageError(
            f"{source} is not a token: expected at most {TOKEN_LIMIT} visible ASCII characters"
        )
    return token


@dataclass(frozen=True)
class StoredTokens:
    """The tokens that `login` stored, by origin: one file each in `credentials` of the home."""

    home: Path

    def get(self, origin: WebOrigin) -> str | None:
        """The token for an origin; None if there is none.

        Raises `StateError` if the file is damaged, or if another user can read it.
        """
        try:
            with Folder.open(self.home) as top, top.subfolder(_FOLDER) as folder:
                data = self._read(folder, _name(origin))
        except MissingFileError:
            return None
        record = json.parse_object(data, "the stored credentials")
        if record.get("origin") != str(origin):
            return None
        if record.get("keyring") is True:
            keyring = _keyring()
            return _from_keyring(keyring, origin) if keyring else None
        token = record.get("token")
        return token if isinstance(token, str) else None

    @staticmethod
    def _read(folder: Folder, name: str) -> bytes:
        status = folder.status(name)
        if status is not None and (status.st_mode & _OTHERS or status.st_uid != os.geteuid()):
            raise StateError(
                f"`{folder.path / name}` holds a token, but other users can read or replace it",
                hint="`skillpm login` again, after `skillpm logout`",
            )
        return folder.read(name, limit=4 * TOKEN_LIMIT)

    def put(self, origin: WebOrigin, token: str) -> str:
        """Store a token. Returns the place as a clause for messages.

        Raises `StateError` if the home cannot be written.
        """
        keyring = _keyring()
        in_keyring = keyring is not None and _into_keyring(keyring, origin, token)
        secret = {"keyring": True} if in_keyring else {"token": token}
        with self._writing() as folder:
            sweep_strays(folder)
            record = json.canonical({"origin": str(origin), **secret})
            folder.write(_name(origin), record, mode=PRIVATE.file)
        return "in the system's keyring" if in_keyring else f"in `{self.home / _FOLDER}`"

    def remove(self, origin: WebOrigin) -> bool:
        """Forget the token of an origin. Returns whether there was one."""
        try:
            with Folder.open(self.home) as top, top.subfolder(_FOLDER) as folder:
                sweep_strays(folder)  # a killed `login` leaves a file that contains its token
                existed = folder.has(_name(origin))
                folder.remove_tree(_name(origin))
        except MissingFileError:
            return False
        keyring = _keyring()
        if keyring is not None:
            with suppress(keyring.errors.KeyringError):
                keyring.delete_password(_SERVICE, str(origin))
        return existed

    @contextmanager
    def _writing(self) -> Iterator[Folder]:
        """The folder of the tokens. Only its owner can list it, even in a home of a group."""
        HomeFolder.make(self.home).close()
        with (
            Folder.open(self.home) as top,
            top.subfolder(_FOLDER, create=True, mode=PRIVATE.folder) as folder,
        ):
            os.fchmod(folder.fd, PRIVATE.folder)
            yield folder


def _name(origin: WebOrigin) -> str:
    return f"{Digest.of(str(origin).encode()).hex[:32]}.json"


def _keyring() -> ModuleType | None:
    """The package keyring, if it is installed and the system has a keyring that it can use."""
    try:
        import keyring
        import keyring.errors
    except ImportError:
        return None
    usable = keyring.get_keyring().priority >= 1
    return keyring if usable else None


def _from_keyring(keyring: ModuleType, origin: WebOrigin) -> str | None:
    try:
        token: str | None = keyring.get_password(_SERVICE, str(origin))
    except keyring.errors.KeyringError as problem:
        raise StateError(
            f"the system's keyring cannot be read: {problem}",
            hint=f"unlock it, or set {VARIABLE}",
        ) from problem
    return token


def _into_keyring(keyring: ModuleType, origin: WebOrigin, token: str) -> bool:
    try:
        keyring.set_password(_SERVICE, str(origin), token)
    except keyring.errors.KeyringError:
        return False
    return True


@dataclass(frozen=True)
class Credentials:
    """All credentials of a command.

    `token` is that of `SKILLPM_TOKEN`. It goes only to an origin in `trusted`: those of
    `--registry`, `SKILLPM_REGISTRY` and the user's configuration, but none that only a project
    file names.
    """

    stored: StoredTokens
    token: str | None = field(default=None, repr=False)
    trusted: frozenset[WebOrigin] = frozenset()

    def authorization(self, location: RegistryLocation) -> str | None:
        """The value of the header `Authorization` for a registry; None without credentials.

        Raises `UsageError` for a `SKILLPM_TOKEN` that is no token.
        """
        origin = WebOrigin.of_location(location)
        if origin is None:
            return None
        if self.token and origin in self.trusted:
            return f"Bearer {check_token(self.token, VARIABLE)}"
        parts = urlsplit(location.reveal())
        if parts.username or parts.password:
            pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
            return f"Basic {b64encode(pair.encode()).decode()}"
        stored = self.stored.get(origin)
        return f"Bearer {check_token(stored, 'the stored token')}" if stored else None

    def withholds_token(self, location: RegistryLocation) -> bool:
        """Whether `SKILLPM_TOKEN` is set, but not sent to a registry."""
        origin = WebOrigin.of_location(location)
        return bool(self.token) and origin is not None and origin not in self.trusted

    def hint(self, location: RegistryLocation, *, authorized: bool) -> str:
        """What to do if a registry refuses a request, with or without credentials."""
        url = shlex.quote(location.public())
        if authorized:
            return f"the token may be expired or lack a right: `skillpm whoami --registry {url}`"
        if self.withholds_token(location):
            return (
                f"{VARIABLE} is not sent to `{WebOrigin.of_location(location)}`, because only a "
                f"project file names it; to send it, add `--registry {url}`; to store a token for "
                f"it: `skillpm login --registry {url}`"
            )
        return f"`skillpm login --registry {url}`, or set {VARIABLE}"
