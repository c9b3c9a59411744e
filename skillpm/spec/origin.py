"""The origin of a URL: scheme, host and port. Credentials belong to an origin (RFC 6454)."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from skillpm.errors import SpecError
from skillpm.spec.location import RegistryKind, RegistryLocation

_PORTS = {"http": 80, "https": 443}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, order=True, slots=True)
class WebOrigin:
    """Scheme, host and port of an HTTP URL. `str` leaves out the scheme's default port."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "WebOrigin":
        """The origin of an `http` or `https` URL. Raises `SpecError` for any other text."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme not in _PORTS:
            raise SpecError("expected a URL like `https://skills.example.org`")
        return cls(parts.scheme, host.lower(), port or _PORTS[parts.scheme])

    @classmethod
    def of_location(cls, location: RegistryLocation) -> "WebOrigin | None":
        """The origin of a registry's location; None if it is no HTTP server."""
        return cls.of(location.public()) if location.kind is RegistryKind.HTTP else None

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine."""
        return self.host in _LOOPBACK

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"
