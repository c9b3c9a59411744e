"""The service's parts: what an endpoint needs to answer a request."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from time import monotonic

from skillpm_registry.app.access.gate import Gate
from skillpm_registry.app.access.keys import Fetch, IssuerKeys, fetch
from skillpm_registry.app.access.oidc import OidcVerifier
from skillpm_registry.app.access.rights import Caller
from skillpm_registry.app.config import ServerConfig
from skillpm_registry.app.limits import RateLimit
from skillpm_registry.app.metrics import Metrics
from skillpm_registry.backend import Backend
from skillpm_registry.catalog.people.namespaces import Namespaces
from skillpm_registry.catalog.people.principals import Principals
from skillpm_registry.catalog.people.publishers import Publishers
from skillpm_registry.catalog.people.tokens import Tokens


@dataclass(frozen=True)
class People:
    """Who may use a registry: its principals, namespaces, tokens and rules."""

    principals: Principals
    namespaces: Namespaces
    tokens: Tokens
    publishers: Publishers
    gate: Gate
    verifier: OidcVerifier


@dataclass(frozen=True)
class Service:
    """A registry that is served. Shared by all requests and threads."""

    config: ServerConfig
    backend: Backend
    people: People
    metrics: Metrics
    limits: Mapping[str, RateLimit]
    stop: Event = field(default_factory=Event)


@dataclass(frozen=True)
class ServiceCall:
    """A request, read and checked, as an endpoint gets it. `body` is raw, `document` parsed."""

    service: Service
    caller: Caller
    now: datetime
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    document: object = None


def now_in_utc() -> datetime:
    """The time of the server's clock."""
    return datetime.now(UTC)


def open_people(
    backend: Backend,
    config: ServerConfig,
    *,
    read: Fetch = fetch,
    clock: Callable[[], float] = monotonic,
) -> People:
    """The people of a registry. `read` fetches the keys of the issuers of `config`."""
    namespaces, tokens = Namespaces(backend.database), Tokens(backend.database)
    issuers = {entry.issuer: entry for entry in config.oidc}
    keys = IssuerKeys(issuers, read, clock)
    return People(
        principals=Principals(backend.database),
        namespaces=namespaces,
        tokens=tokens,
        publishers=Publishers(backend.database),
        gate=Gate(tokens, namespaces),
        verifier=OidcVerifier(issuers, keys, config.url),
    )


def make_service(config: ServerConfig, backend: Backend) -> Service:
    """The service of a registry that is open."""
    limits = config.limits
    rates = {
        "reads": limits.reads_per_minute,
        "writes": limits.writes_per_minute,
        "exchanges": limits.exchanges_per_minute,
    }
    return Service(
        config=config,
        backend=backend,
        people=open_people(backend, config),
        metrics=Metrics(),
        limits={name: RateLimit(name, rate) for name, rate in rates.items()},
    )
