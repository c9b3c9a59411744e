"""The signing keys of OIDC issuers. Only configured issuers are contacted, and rarely."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from skillpm.errors import RegistryError
from skillpm_registry.app.config import IssuerConfig

DOCUMENT_LIMIT = 1 << 20
KEY_LIMIT = 100
LIFETIME = 3600.0
"""Seconds for which keys are used before they are fetched again."""
REFRESH = 60.0
"""Seconds between two requests for the keys of an issuer, also after a failure."""
_TIMEOUT = 5.0
_DISCOVERY = "/.well-known/openid-configuration"

Fetch = Callable[[str], bytes]


class IssuerUnreachableError(RegistryError):
    """The keys of an issuer cannot be fetched."""

    def __init__(self, issuer: str, reason: str) -> None:
        super().__init__(f"the keys of issuer `{issuer}` cannot be fetched: {reason}")
        self.issuer = issuer


@dataclass
class _Cached:
    keys: KeySet | None = None
    fetched: float = float("-inf")
    tried: float = float("-inf")
    guard: threading.Lock = field(default_factory=threading.Lock)


class IssuerKeys:
    """The keys of the configured issuers, in memory.

    `fetch` reads a URL, `clock` is monotonic. May be used by several threads; while one fetches the
    keys of an issuer, others that need them wait.
    """

    def __init__(
        self, issuers: Mapping[str, IssuerConfig], fetch: Fetch, clock: Callable[[], float]
    ) -> None:
        self._issuers = issuers
        self._fetch = fetch
        self._clock = clock
        self._cached = {issuer: _Cached() for issuer in issuers}

    def keys(self, issuer: str, kid: str) -> KeySet:
        """The keys of an issuer; fetched if they are old or none has this `kid`.

        Raises `IssuerUnreachableError` if there are no keys that are young enough.
        """
        cached = self._cached[issuer]
        with cached.guard:
            now = self._clock()
            is_old = now - cached.fetched > LIFETIME
            if (is_old or not _has(cached.keys, kid)) and now - cached.tried >= REFRESH:
                cached.tried = now
                cached.keys, cached.fetched = self._read(issuer), now
                is_old = False
            if cached.keys is None or is_old:
                raise IssuerUnreachableError(issuer, "the last try failed; the next is in a minute")
            return cached.keys

    def _read(self, issuer: str) -> KeySet:
        url = self._issuers[issuer].jwks or self._discovered(issuer)
        plain = self._document(issuer, url)
        entries = plain.get("keys")
        if not isinstance(entries, list) or len(entries) > KEY_LIMIT:
            raise IssuerUnreachableError(issuer, f"its key set has not 1 to {KEY_LIMIT} keys")
        usable = [entry for entry in entries if _is_public(entry)]
        try:
            return KeySet.import_key_set({"keys": usable})
        except (JoseError, ValueError, TypeError, KeyError) as problem:
            raise IssuerUnreachableError(issuer, "its key set is malformed") from problem

    def _discovered(self, issuer: str) -> str:
        document = self._document(issuer, f"{issuer}{_DISCOVERY}")
        url = document.get("jwks_uri")
        if document.get("issuer") != issuer or not isinstance(url, str):
            raise IssuerUnreachableError(issuer, "its discovery document is of another issuer")
        if urlsplit(url)[:2] != urlsplit(issuer)[:2]:
            raise IssuerUnreachableError(
                issuer, "its keys are at another origin; name their URL as `jwks`"
            )
        return url

    def _document(self, issuer: str, url: str) -> dict[str, Any]:
        try:
            plain = json.loads(self._fetch(url))
        except (httpx.HTTPError, ValueError, RecursionError) as problem:
            raise IssuerUnreachableError(issuer, type(problem).__name__) from problem
        if not isinstance(plain, dict):
            raise IssuerUnreachableError(issuer, "its document is not an object")
        return plain


def _has(keys: KeySet | None, kid: str) -> bool:
    return keys is not None and any(key.kid == kid for key in keys.keys)


def _is_public(entry: object) -> bool:
    """Whether a key can verify signatures: asymmetric, with a name, and not for encryption."""
    return (
        isinstance(entry, dict)
        and entry.get("kty") in ("RSA", "EC", "OKP")
        and isinstance(entry.get("kid"), str)
        and entry.get("use", "sig") == "sig"
    )


def fetch(url: str) -> bytes:
    """Read a document of at most 1 MB in at most five seconds, without following redirects."""
    chunks, size = [], 0
    with (
        httpx.Client(timeout=_TIMEOUT, follow_redirects=False, trust_env=True) as client,
        client.stream("GET", url, headers={"accept-encoding": "identity"}) as response,
    ):
        if response.status_code != httpx.codes.OK:
            raise ValueError(f"status {response.status_code}")
        for chunk in response.iter_raw():
            size += len(chunk)
            if size > DOCUMENT_LIMIT:
                raise ValueError("the document is too large")
            chunks.append(chunk)
    return b"".join(chunks)
