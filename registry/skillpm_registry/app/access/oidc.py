"""Tokens of OIDC issuers: checked, and matched with the rules of trusted publishing."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError

from skillpm.errors import AuthError
from skillpm_registry.app.access.keys import IssuerKeys
from skillpm_registry.app.config import IssuerConfig

SKEW = 60
"""Seconds by which the clocks of issuer and registry may differ."""
AGE_LIMIT = 24 * 3600
"""Seconds from `iat` to `exp`. A token's `jti` is remembered until `exp`."""
CLAIM_LIMIT = 512
_LATEST = 1e11
"""A time in the year 5138."""
_RECORDED = 40
_WILD_CLAIMS = ("workflow_ref", "job_workflow_ref", "ref")
"""Claims that end in a Git reference. A rule may leave that open by a final `*`."""


class OidcRefusedError(AuthError):
    """A token of an OIDC issuer that is not valid here, or that no rule names."""

    def __init__(self, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"the OIDC token is refused: {reason}", hint=hint)


@dataclass(frozen=True, slots=True)
class WorkflowIdentity:
    """A verified token: its issuer, its unique number, its end, and its claims that are text."""

    issuer: str
    jti: str
    expires: datetime
    claims: Mapping[str, str]


class OidcVerifier:
    """Verifies tokens whose audience is `audience`, of the configured issuers."""

    def __init__(
        self, issuers: Mapping[str, IssuerConfig], keys: IssuerKeys, audience: str
    ) -> None:
        self._issuers = issuers
        self._keys = keys
        self._audience = audience

    def verify(self, token: str, now: datetime) -> WorkflowIdentity:
        """Check signature, issuer, audience and times. The caller checks that `jti` is new.

        Raises `OidcRefusedError`, and `IssuerUnreachableError` if the keys cannot be fetched.
        """
        header, unverified = _peek(token)
        issuer = unverified.get("iss")
        config = self._issuers.get(issuer) if isinstance(issuer, str) else None
        if config is None:
            raise OidcRefusedError("its issuer is not configured in this registry")
        kid, algorithm = header.get("kid"), header.get("alg")
        if algorithm not in config.algorithms:
            raise OidcRefusedError(f"its algorithm is not one of {', '.join(config.algorithms)}")
        if not isinstance(kid, str) or len(kid) > CLAIM_LIMIT:
            raise OidcRefusedError("it names no key")
        keys = self._keys.keys(config.issuer, kid)
        if not any(key.kid == kid for key in keys.keys):
            raise OidcRefusedError("its key is not one of the issuer's")
        try:
            claims = jwt.decode(token, keys, algorithms=list(config.algorithms)).claims
        except (JoseError, ValueError, TypeError, KeyError) as problem:
            raise OidcRefusedError("its signature is not valid") from problem
        return self._checked(config, claims, now)

    def _checked(
        self, config: IssuerConfig, claims: Mapping[str, Any], now: datetime
    ) -> WorkflowIdentity:
        if claims.get("iss") != config.issuer:
            raise OidcRefusedError("its issuer is not configured in this registry")
        audience = claims.get("aud")
        if audience not in (self._audience, [self._audience]):
            raise OidcRefusedError(
                "its audience is not this registry",
                hint=f"ask the issuer for a token with the audience `{self._audience}`",
            )
        issued, expires = _moment(claims, "iat"), _moment(claims, "exp")
        _check_times(claims, issued, expires, now.timestamp())
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 0 < len(jti) <= CLAIM_LIMIT:
            raise OidcRefusedError("it has no `jti`")
        texts = {name: str(value) for name, value in claims.items() if _is_plain(value)}
        if is_pull_request(texts):
            raise OidcRefusedError("a pull request started the workflow")
        end = now + timedelta(seconds=max(0.0, expires - now.timestamp()) + SKEW)
        return WorkflowIdentity(config.issuer, jti, end, texts)


def _check_times(claims: Mapping[str, Any], issued: float, expires: float, now: float) -> None:
    if expires <= now - SKEW:
        raise OidcRefusedError("it has expired")
    if issued > now + SKEW:
        raise OidcRefusedError("it was issued in the future")
    if "nbf" in claims and _moment(claims, "nbf") > now + SKEW:
        raise OidcRefusedError("it is not valid yet")
    if not 0 < expires - issued <= AGE_LIMIT:
        raise OidcRefusedError("it is valid for more than a day")


def _moment(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None or not is_number or not 0 <= value < _LATEST:
        raise OidcRefusedError(f"its `{name}` is not a time")
    return float(value)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | bool | int) and len(str(value)) <= CLAIM_LIMIT


def _peek(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token, before its signature is checked."""
    try:
        header, payload, _ = token.split(".")
        parts = [json.loads(_decoded(part)) for part in (header, payload)]
    except (ValueError, RecursionError) as problem:
        raise OidcRefusedError("it is not a signed JWT") from problem
    if not all(isinstance(part, dict) for part in parts):
        raise OidcRefusedError("it is not a signed JWT")
    return parts[0], parts[1]


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


def is_pull_request(claims: Mapping[str, str]) -> bool:
    """Whether a pull or merge request started the workflow: its code may be a stranger's."""
    return (
        claims.get("event_name", "").startswith("pull_request")
        or "merge_request" in claims.get("pipeline_source", "")
        or "pull_request" in claims.get("pipeline_source", "")
        or claims.get("ref", "").startswith(("refs/pull/", "refs/merge-requests/"))
        or ":pull_request" in claims.get("sub", "")
    )


def rule_matches(wanted: Mapping[str, str], claims: Mapping[str, str]) -> bool:
    """Whether claims satisfy a rule: each claim that it names has exactly its value."""
    return bool(wanted) and all(
        name in claims and _is_value(name, value, claims[name]) for name, value in wanted.items()
    )


def _is_value(name: str, wanted: str, value: str) -> bool:
    if name in _WILD_CLAIMS and wanted.endswith("*"):
        return value.startswith(wanted[:-1])
    return value == wanted


def rule_problems(config: IssuerConfig, wanted: Mapping[str, str]) -> Sequence[str]:
    """Why a rule is too weak for an issuer; empty if it is strong enough."""
    missing = [name for name in config.identifiers if name not in wanted]
    problems = [f"it must name `{name}`, which the issuer never reuses" for name in missing]
    if config.workflows and not any(name in wanted for name in config.workflows):
        problems.append(f"it must name one of {', '.join(config.workflows)}")
    for name, value in wanted.items():
        if "*" in value and not (name in _WILD_CLAIMS and value.count("*") == 1):
            problems.append(f"`{name}` cannot have `*`")
        elif name in ("workflow_ref", "job_workflow_ref") and "@" not in value:
            problems.append(f"`{name}` must name the workflow's file up to `@`")
    return problems


def recorded_claims(identity: WorkflowIdentity) -> dict[str, str]:
    """The claims that are stored with a token and the releases that it publishes."""
    return dict(sorted({**identity.claims, "iss": identity.issuer}.items())[:_RECORDED])
