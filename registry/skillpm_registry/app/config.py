"""The configuration of a service: a TOML file, environment variables, or an embedded registry."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from skillpm.errors import Problems, SpecError, UsageError
from skillpm.spec import toml
from skillpm.spec.fields import Document, collect, empty_list, unknown_keys
from skillpm.spec.manifest_parts import Count
from skillpm.spec.registry_api import CHUNK_LIMIT
from skillpm.spec.served import NamespaceField, UrlField
from skillpm_registry.backend import BackendPlaces

SIZE_LIMIT = 1_000_000
"""Characters of a configuration file."""
_VARIABLES = {
    "SKILLPM_SERVER_DATABASE": "database",
    "SKILLPM_SERVER_BLOBS": "blobs",
    "SKILLPM_SERVER_STATIC": "static",
    "SKILLPM_SERVER_URL": "url",
}
ASYMMETRIC = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""Algorithms that an issuer may sign with: neither `none` nor HMAC, whose key is no secret here."""
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
LogLevel = Literal["debug", "info", "warning", "error"]


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError as problem:
        raise ValueError("expected an address or a network like `10.0.0.0/8`") from problem
    return text


def _algorithms() -> list[Algorithm]:
    return ["RS256", "ES256"]


def _identifiers() -> list[str]:
    return ["repository_id", "repository_owner_id"]


def _workflows() -> list[str]:
    return ["job_workflow_ref", "workflow_ref", "workflow"]


class IssuerConfig(Document):
    """An OIDC issuer whose tokens are exchanged for tokens of this registry.

    Every rule must name the claims of `identifiers`, which the issuer never reuses, and one of
    `workflows`. `jwks` is the URL of the issuer's keys; without it, the issuer's discovery document
    names it.
    """

    issuer: UrlField
    algorithms: list[Algorithm] = Field(default_factory=_algorithms, min_length=1)
    identifiers: list[str] = Field(default_factory=_identifiers, min_length=1)
    workflows: list[str] = Field(default_factory=_workflows)
    jwks: UrlField | None = None


class LimitsConfig(Document):
    """Limits of requests. Rates are requests per minute of one client; 0 means no limit.

    A body may arrive no slower than `slowest` bytes per second, counted after ten seconds.
    `body_memory` is the largest number of bytes of bodies that are held at the same time.
    """

    reads_per_minute: Count = 6000
    writes_per_minute: Count = 3000
    exchanges_per_minute: Count = 60
    chunk_bytes: Annotated[int, Field(ge=1 << 16, le=CHUNK_LIMIT)] = 1 << 20
    body_memory: Annotated[int, Field(ge=1 << 20)] = 64 << 20
    slowest: Annotated[int, Field(ge=0)] = 1000
    namespace_bytes: Count | None = None
    principal_bytes: Count | None = None


class PartsConfig(Document):
    """The URLs at which a web server or CDN serves the static documents, if not the service."""

    index: UrlField | None = None
    blobs: UrlField | None = None
    advisories: UrlField | None = None


class ServerConfig(Document):
    """The configuration of a service.

    `database` is `sqlite:///PATH` or `postgresql+psycopg://…`; `blobs` is a folder or
    `s3://BUCKET/PREFIX`; static documents are written to `static`, a folder or `s3://…`. `url` is
    the URL that clients use. `trusted_proxies` may name the client in `X-Forwarded-For`. With
    `accel_redirect`, blobs are sent by nginx from that internal location.
    """

    database: str
    blobs: str
    static: str
    url: UrlField
    parts: PartsConfig = Field(default_factory=PartsConfig.model_construct)
    limits: LimitsConfig = Field(default_factory=LimitsConfig.model_construct)
    oidc: list[IssuerConfig] = Field(default_factory=empty_list)
    trusted_proxies: list[Annotated[str, AfterValidator(_network)]] = Field(
        default_factory=empty_list
    )
    accel_redirect: Annotated[str, Field(pattern="^/[A-Za-z0-9_/-]*[A-Za-z0-9_-]$")] | None = None
    log_level: LogLevel = "info"
    reserved_namespaces: list[NamespaceField] = Field(default_factory=empty_list)


def embedded_config(folder: Path, url: str) -> ServerConfig:
    """The configuration of a service for an embedded registry, without a configuration file."""
    places = BackendPlaces.in_folder(folder)
    return ServerConfig(
        database=places.database,
        blobs=places.blobs,
        static=places.tree,
        url=url,
        log_level="warning",
    )


def read_config(path: Path | None, environment: Mapping[str, str]) -> ServerConfig | None:
    """The configuration of a file and of variables, which override it. None if there is neither.

    Raises `UsageError` for a file that cannot be read, `SpecError` with every problem.
    """
    given = {key: environment[name] for name, key in _VARIABLES.items() if environment.get(name)}
    if path is None and not given:
        return None
    what = "the server's configuration"
    plain = {} if path is None else toml.parse(_text(path), f"`{path}`")
    plain = {**plain, **given}
    if "static" not in plain and isinstance(plain.get("blobs"), str):
        plain["static"] = _beside(plain["blobs"])
    problems = Problems(what if path is None else f"{what} `{path}`")
    config = collect(ServerConfig, plain, problems)
    problems.extend([] if config is None else [*unknown_keys(config), *_contradictions(config)])
    problems.raise_if_any(
        hint="set SKILLPM_SERVER_DATABASE, SKILLPM_SERVER_BLOBS and SKILLPM_SERVER_URL"
        if path is None
        else None
    )
    if config is None:
        raise AssertionError
    return config


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise UsageError(f"`{path}` cannot be read: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise SpecError(f"`{path}` is not UTF-8") from problem
    if len(text) > SIZE_LIMIT:
        raise SpecError(f"`{path}` is longer than {SIZE_LIMIT} characters")
    return text


def _beside(blobs: str) -> str:
    """Where static documents go without `static`: beside the blobs, in `public`."""
    return f"{blobs.rstrip('/')}/public"


def _contradictions(config: ServerConfig) -> list[tuple[str, str]]:
    problems = []
    issuers = [entry.issuer for entry in config.oidc]
    for position, issuer in enumerate(issuers):
        if issuers.count(issuer) > 1:
            problems.append((f"oidc[{position}].issuer", f"`{issuer}` is listed twice"))
        if issuer.startswith("http://") and not _is_loopback(issuer):
            problems.append((f"oidc[{position}].issuer", "expected an https URL"))
    if config.database.startswith("postgresql") and "+psycopg" not in config.database:
        problems.append(("database", "write `postgresql+psycopg://…`"))
    return problems


def _is_loopback(url: str) -> bool:
    host = url.partition("://")[2].partition("/")[0].rpartition(":")[0]
    return host in ("127.0.0.1", "localhost", "[::1]")
