"""Where a registry is: a folder, an HTTP server, or an OCI registry; parsed once, printed safely.

A URL may hold credentials. What prints, logs or writes a location gets it without them; the raw
form is for the connection alone, which asks for it by `reveal`.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote_to_bytes, urlsplit

from skillpm.errors import SpecError

LENGTH_LIMIT = 4096
_HIDDEN = "***"
_LOCAL = ("", "localhost")
_PATHS = "/.~"
"""What a path may begin with, and no URL does."""


class RegistryKind(StrEnum):
    """How a registry is reached."""

    FOLDER = "folder"
    HTTP = "http"
    OCI = "oci"
    UNKNOWN = "unknown"


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_CREDENTIALS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)[^\s/?#`'\"]{1,4096}@")
_KINDS = {"http": RegistryKind.HTTP, "https": RegistryKind.HTTP, "oci": RegistryKind.OCI}


@dataclass(frozen=True, slots=True)
class RegistryLocation:
    """A registry's location; `str` and `repr` never show a user, a password or a query.

    `folder` is the path of an embedded registry, as it was written where it is no URL: a path that
    is relative, or begins with `~`, is for the caller to resolve.
    """

    kind: RegistryKind
    shown: str
    folder: str | None
    _raw: str

    @classmethod
    def parse(cls, text: str) -> "RegistryLocation":
        """Read a path, `file:///PATH` (percent-escapes as in the URL standard), or another URL.

        Raises `SpecError`, without the credentials.
        """
        if not text or "\0" in text or len(text) > LENGTH_LIMIT:
            raise SpecError(
                f"a registry is a folder or a URL of 1 to {LENGTH_LIMIT} characters, none of them "
                "NUL"
            )
        scheme, colon, rest = text.partition(":")
        if colon and scheme.lower() == "file" and rest.startswith("/"):
            return cls._of_file(text)
        if "://" not in text or text[0] in _PATHS:
            return cls(RegistryKind.FOLDER, text, text, text)
        return cls._of_url(text)

    @classmethod
    def of_folder(cls, folder: str) -> "RegistryLocation":
        """The embedded registry in a folder, whatever characters its path has."""
        return cls(RegistryKind.FOLDER, folder, folder, folder)

    @classmethod
    def _of_file(cls, text: str) -> "RegistryLocation":
        shown = _redacted(text)
        try:
            parts = urlsplit(text)
        except ValueError as problem:
            raise SpecError(f"`{shown}` is not a URL") from problem
        if parts.netloc.lower() not in _LOCAL:
            raise SpecError(f"`{shown}` names a host; expected `file:///PATH`")
        if parts.query or parts.fragment:
            raise SpecError(
                f"`{shown}` has a `?` or `#`; in the path of a file URL they are written `%3F` "
                "and `%23`"
            )
        folder = unquote_to_bytes(parts.path.encode("utf-8", "surrogateescape")).decode(
            "utf-8", "surrogateescape"
        )
        if "\0" in folder or not folder.startswith("/"):
            raise SpecError(f"`{shown}` names no folder; expected `file:///PATH`")
        return cls(RegistryKind.FOLDER, shown, folder, text)

    @classmethod
    def _of_url(cls, text: str) -> "RegistryLocation":
        shown = _redacted(text)
        try:
            parts = urlsplit(text)
            sound = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            sound = False
        if not sound:
            raise SpecError(
                f"`{shown}` is not a URL: expected `SCHEME://HOST/PATH`",
                hint="reserved characters of a user or password are percent-escaped: `/` is `%2F`",
            )
        return cls(_KINDS.get(parts.scheme, RegistryKind.UNKNOWN), shown, None, text)

    @property
    def is_path(self) -> bool:
        """Whether it was written as a path, and not as a URL."""
        return self.folder is not None and self.folder == self._raw

    @property
    def has_credentials(self) -> bool:
        """Whether the raw form holds more than is shown."""
        return self.shown != self._raw

    def public(self) -> str:
        """The raw form without user, password and query: for files that go to other people."""
        bare = self.shown.removesuffix(f"?{_HIDDEN}").removesuffix(f"#{_HIDDEN}")
        return bare.replace(f"://{_HIDDEN}@", "://", 1) if self.has_credentials else self._raw

    def reveal(self) -> str:
        """The raw form, credentials and all: for the connection alone, never for a message."""
        return self._raw

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"RegistryLocation({self.shown!r})"


def is_url(text: str) -> bool:
    """Whether a text begins as a URL does, slashes folded or not."""
    return _URL.match(text) is not None


def redact_urls(text: str) -> str:
    """Text in which no URL has a user or a password: for messages that quote what was typed."""
    return _CREDENTIALS.sub(rf"\1{_HIDDEN}@", text)


def _redacted(text: str) -> str:
    """A URL without its user, password and query.

    In a URL that is not sound, all up to the last `@` may belong to a password.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    rest, hash_, _ = rest.partition("#")
    rest, mark, _ = rest.partition("?")
    authority, slash, path = rest.partition("/")
    _, at, host = authority.rpartition("@")
    port = host.rpartition(":")[2] if ":" in host.rpartition("]")[2] else ""
    if not at and "@" in text and (not port.isdecimal() if port else ":" in host):
        return f"{scheme}://{_HIDDEN}@{text.rpartition('@')[2].partition('?')[0].partition('#')[0]}"
    tail = f"?{_HIDDEN}" if mark else f"#{_HIDDEN}" if hash_ else ""
    return f"{scheme}://{f'{_HIDDEN}@' if at else ''}{host}{slash}{path}{tail}"
