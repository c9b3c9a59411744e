"""Opens a registry at an HTTP URL. No request is sent before the index is used."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from skillpm.index.credentials import Credentials
from skillpm.index.remote.addresses import base_url
from skillpm.index.remote.cache import DocumentCache
from skillpm.index.remote.documents import RemoteDocuments
from skillpm.index.remote.registry import RemoteIndex
from skillpm.index.remote.retry import RetryPolicy
from skillpm.index.remote.transport import Transport
from skillpm.spec.location import RegistryLocation


@dataclass(frozen=True)
class RemoteSettings:
    """What a command gives to its registries. `now` is the time of the command (Unix time)."""

    home: Path
    credentials: Credentials
    now: float
    offline: bool = False
    say: Callable[[str], None] = lambda _text: None
    policy: RetryPolicy | None = None


def open_remote(location: RegistryLocation, settings: RemoteSettings) -> RemoteIndex:
    """Open a registry at an HTTP URL. Raises `UsageError` for a URL with a query."""
    base = base_url(location)
    transport = Transport(location, settings.credentials, settings.policy)
    cache = DocumentCache(settings.home, base)
    documents = RemoteDocuments(transport, cache, settings.now, offline=settings.offline)
    return RemoteIndex(base, transport, documents, settings.say)
