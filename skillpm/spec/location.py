"""The location of a registry: a folder, an HTTP server or an OCI registry.

A URL may contain credentials. Output, logs and files get the location without them. Only the
connection gets the raw URL, from `reveal`.
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
"""First characters of paths. No URL starts with one of them."""


class RegistryKind(StrEnum):
    """The type of a registry's location."""

    FOLDER = "folder"
    HTTP = "http"
    OCI = "oci"
    UNKNOWN = "unknown"


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_CREDENTIALS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)[^\s/?#`'\"]{1,4096}@")
_KINDS = {"http": RegistryKind.HTTP, "https": RegistryKind.HTTP, "oci": RegistryKind.OCI}


@dataclass(frozen=True, slots=True)
class RegistryLocation:
    """The location of a registry. `str` and `repr` hide user, password and query.

    `folder` is the path of an embedded registry, else None. A relative path, or one that starts
    with `~`, is not resolved here.
    """

    kind: RegistryKind
    shown: str
    folder: str | None
    _raw: str

    @classmethod
    def parse(cls, text: str) -> "RegistryLocation":
        """Read a path, a `file:///PATH` URL (with percent-escapes) or another URL.

        Raises `SpecError`. The message does not contain credentials.
        """
        if not text or "\0" in text or len(text) > LENGTH_LIMIT:
            raise SpecError(
                f"invalid registry location: expected a folder or a URL of 1 to {LENGTH_LIMIT} "
                "characters without NUL"
            )
        scheme, colon, rest = text.partition(":")
        if colon and scheme.lower() == "file" and rest.startswith("/"):
            return cls._of_file(text)
        if "://" not in text or text[0] in _PATHS:
            return cls(RegistryKind.FOLDER, text, text, text)
        return cls._of_url(text)

    @classmethod
    def of_folder(cls, folder: str) -> "RegistryLocation":
        """The location of the embedded registry in a folder. The path is never read as a URL."""
        return cls(RegistryKind.FOLDER, folder, folder, folder)

    @classmethod
    def _of_file(cls, text: str) -> "RegistryLocation":
        shown = _redacted(text)
        try:
            parts = urlsplit(text)
        except ValueError as problem:
            raise SpecError(f"`{shown}` is not a URL") from problem
        if parts.netloc.lower() not in _LOCAL:
            raise SpecError(f"`{shown}` contains a host; expected `file:///PATH`")
        if parts.query or parts.fragment:
            raise SpecError(
                f"`{shown}` contains `?` or `#`; in the path of a file URL, write `%3F` or `%23`"
            )
        folder = unquote_to_bytes(parts.path.encode("utf-8", "surrogateescape")).decode(
            "utf-8", "surrogateescape"
        )
        if "\0" in folder or not folder.startswith("/"):
            raise SpecError(f"`{shown}` has no absolute path; expected `file:///PATH`")
        return cls(RegistryKind.FOLDER, shown, folder, text)

    @classmethod
    def _of_url(cls, text: str) -> "RegistryLocation":
        shown = _redacted(text)
        try:
            parts = urlsplit(text)
            valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            valid = False
        if not valid:
            raise SpecError(
                f"`{shown}` is not a valid URL: expected `SCHEME://HOST/PATH`",
                hint="percent-escape reserved characters of a user or password: `/` is `%2F`",
            )
        return cls(_KINDS.get(parts.scheme, RegistryKind.UNKNOWN), shown, None, text)

    @property
    def is_path(self) -> bool:
        """Whether the location was written as a path and not as a URL."""
        return self.folder is not None and self.folder == self._raw

    @property
    def has_credentials(self) -> bool:
        """Whether the raw URL contains parts that are hidden in messages."""
        return self.shown != self._raw

    def public(self) -> str:
        """The raw URL without user, password and query, for files that are shared."""
        bare = self.shown.removesuffix(f"?{_HIDDEN}").removesuffix(f"#{_HIDDEN}")
        return bare.replace(f"://{_HIDDEN}@", "://", 1) if self.has_credentials else self._raw

    def reveal(self) -> str:
        """The raw URL with its credentials. Only for the connection, never for messages."""
        return self._raw

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"RegistryLocation({self.shown!r})"


def is_url(text: str) -> bool:
    """Whether a text starts like a URL, also with `//` collapsed to `/`."""
    return _URL.match(text) is not None


def redact_urls(text: str) -> str:
    """The text without the users and passwords of its URLs, to quote user input in messages."""
    return _CREDENTIALS.sub(rf"\1{_HIDDEN}@", text)


def _redacted(text: str) -> str:
    """A URL without its user, password and query.

    In an invalid URL, everything up to the last `@` is hidden, because it may be a password.
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
