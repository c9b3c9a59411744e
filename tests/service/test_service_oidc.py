"""Tokens of OIDC issuers, signed with real keys and fetched over real sockets."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from oidc_issuer import Issuer, issuer_on_loopback

from skillpm_registry.app.access.keys import REFRESH, IssuerKeys, IssuerUnreachableError, fetch
from skillpm_registry.app.access.oidc import (
    OidcRefusedError,
    OidcVerifier,
)
from skillpm_registry.app.config import IssuerConfig

AUDIENCE = "https://skills.example.org"


@dataclass
class Clock:
    """A monotonic clock that the test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Check:
    """An issuer and a verifier that is configured for it."""

    issuer: Issuer
    config: IssuerConfig
    verifier: OidcVerifier
    clock: Clock = field(default_factory=Clock)

    def refusal(self, token: str, now: datetime | None = None) -> str:
        with pytest.raises(OidcRefusedError) as caught:
            self.verifier.verify(token, now or datetime.now(UTC))
        return caught.value.message


@pytest.fixture
def check() -> Iterator[Check]:
    with issuer_on_loopback() as issuer:
        config = IssuerConfig(issuer=issuer.url)
        clock = Clock()
        keys = IssuerKeys({issuer.url: config}, fetch, clock)
        yield Check(issuer, config, OidcVerifier({issuer.url: config}, keys, AUDIENCE), clock)


def test_a_token_of_a_workflow_is_accepted_with_its_claims(check: Check) -> None:
    identity = check.verifier.verify(check.issuer.token(AUDIENCE, jti="once"), datetime.now(UTC))
    assert identity.issuer == check.issuer.url
    assert identity.jti == "once"
    assert identity.claims["repository_id"] == "123"
    assert identity.expires > datetime.now(UTC)


def test_an_elliptic_key_is_accepted_too(check: Check) -> None:
    check.issuer.rotate("curve", "EC")
    check.verifier.verify(check.issuer.token(AUDIENCE), datetime.now(UTC))


HOUR = 3600
NOW = int(datetime.now(UTC).timestamp())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "https://other.example.org"}, "audience"),
        ({"aud": [AUDIENCE, "https://other.example.org"]}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": AUDIENCE + "/"}, "audience"),
        ({"exp": NOW - 120}, "expired"),
        ({"exp": None}, "`exp` is not a time"),
        ({"exp": "soon"}, "`exp` is not a time"),
        ({"exp": True}, "`exp` is not a time"),
        ({"exp": float("nan")}, "`exp` is not a time"),
        ({"exp": NOW + 48 * HOUR}, "more than a day"),
        ({"iat": NOW + 2 * HOUR, "exp": NOW + 3 * HOUR}, "in the future"),
        ({"iat": None}, "`iat` is not a time"),
        ({"nbf": NOW + HOUR, "exp": NOW + 2 * HOUR}, "not valid yet"),
        ({"nbf": "now"}, "`nbf` is not a time"),
        ({"jti": None}, "no `jti`"),
        ({"jti": ""}, "no `jti`"),
        ({"jti": "x" * 600}, "no `jti`"),
        ({"jti": 7}, "no `jti`"),
        ({"event_name": "pull_request"}, "pull request"),
        ({"event_name": "pull_request_target"}, "pull request"),
        ({"ref": "refs/pull/7/merge"}, "pull request"),
        ({"sub": "repo:acme/skills:pull_request"}, "pull request"),
        ({"pipeline_source": "merge_request_event"}, "pull request"),
    ],
)
def test_claims_that_are_wrong_are_refused_by_name(
    check: Check, changes: dict[str, Any], reason: str
) -> None:
    assert reason in check.refusal(check.issuer.token(AUDIENCE, **changes))


def test_clocks_may_differ_by_a_minute(check: Check) -> None:
    token = check.issuer.token(AUDIENCE, iat=NOW + 30, nbf=NOW + 30, exp=NOW + 300)
    check.verifier.verify(token, datetime.fromtimestamp(NOW, UTC))
    late = check.issuer.token(AUDIENCE, iat=NOW - 300, nbf=NOW - 300, exp=NOW)
    check.verifier.verify(late, datetime.fromtimestamp(NOW + 30, UTC))
    assert "expired" in check.refusal(late, datetime.fromtimestamp(NOW + 61, UTC))


def _unsigned(claims: dict[str, Any], header: dict[str, Any], signature: bytes = b"") -> str:
    def part(document: dict[str, Any]) -> str:
        text = base64.urlsafe_b64encode(json.dumps(document).encode())
        return text.rstrip(b"=").decode()

    tail = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    return f"{part(header)}.{part(claims)}.{tail}"


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "HS512", "RS512", "", None, 7])
def test_other_algorithms_are_refused(check: Check, algorithm: object) -> None:
    header = {"alg": algorithm, "kid": "first"}
    assert "algorithm" in check.refusal(_unsigned(check.issuer.claims(AUDIENCE), header))


def test_hmac_with_the_public_key_as_secret_is_refused(check: Check) -> None:
    public = check.issuer.keys["first"].as_pem(private=False)
    secret = OctKey.import_key(base64.b64encode(public))
    token = jwt.encode(
        {"alg": "HS256", "kid": "first"}, check.issuer.claims(AUDIENCE), secret,
        algorithms=["HS256"],
    )  # fmt: skip
    assert "algorithm" in check.refusal(token)


def test_a_key_in_the_header_is_ignored(check: Check) -> None:
    own = RSAKey.generate_key(2048, {"kid": "first"})
    header = {"alg": "RS256", "kid": "first", "jwk": own.as_dict(private=False)}
    token = jwt.encode(header, check.issuer.claims(AUDIENCE), own)
    assert "signature" in check.refusal(token)
    elsewhere = {**header, "jku": "http://127.0.0.1:1/keys"}
    del elsewhere["jwk"]
    assert "signature" in check.refusal(jwt.encode(elsewhere, check.issuer.claims(AUDIENCE), own))


def test_changed_claims_break_the_signature(check: Check) -> None:
    head, _, tail = check.issuer.token(AUDIENCE).split(".")
    forged = _unsigned(check.issuer.claims(AUDIENCE, repository_id="999"), {}).split(".")[1]
    assert "signature" in check.refusal(f"{head}.{forged}.{tail}")


def test_an_algorithm_for_another_kind_of_key_is_refused(check: Check) -> None:
    token = check.issuer.token(AUDIENCE)
    claims, tail = token.split(".")[1:]
    head = _unsigned({}, {"alg": "ES256", "kid": "first"}).split(".")[0]
    assert "signature" in check.refusal(f"{head}.{claims}.{tail}")


@pytest.mark.parametrize("text", ["", "x", "a.b", "a.b.c", "e30.e30.e30", "." * 10, "{}.{}.{}"])
def test_text_that_is_no_token_is_refused(check: Check, text: str) -> None:
    check.refusal(text)
    assert check.issuer.requests == []


def test_only_configured_issuers_are_contacted(check: Check) -> None:
    with issuer_on_loopback() as stranger:
        assert "not configured" in check.refusal(stranger.token(AUDIENCE))
        assert stranger.requests == []
        forged = stranger.token(AUDIENCE, iss=check.issuer.url)
        assert "signature" in check.refusal(forged)
        assert stranger.requests == []


def test_keys_are_fetched_once_and_an_unknown_key_fetches_them_once_a_minute(
    check: Check,
) -> None:
    for _ in range(5):
        check.verifier.verify(check.issuer.token(AUDIENCE), datetime.now(UTC))
    assert check.issuer.requests.count("/keys") == 1
    check.issuer.rotate("second")
    token = check.issuer.token(AUDIENCE)
    for _ in range(5):
        assert "not one of the issuer's" in check.refusal(token)
    assert check.issuer.requests.count("/keys") == 1
    check.clock.now += REFRESH
    check.verifier.verify(token, datetime.now(UTC))
    assert check.issuer.requests.count("/keys") == 2


def test_a_key_that_was_rotated_away_is_refused_after_its_lifetime(check: Check) -> None:
    token = check.issuer.token(AUDIENCE)
    check.verifier.verify(token, datetime.now(UTC))
    check.issuer.rotate("second")
    check.clock.now += 3601
    assert "not one of the issuer's" in check.refusal(token)


def test_an_issuer_that_is_down_is_asked_once_a_minute(check: Check) -> None:
    check.issuer.broken = True
    for _ in range(3):
        with pytest.raises(IssuerUnreachableError):
            check.verifier.verify(check.issuer.token(AUDIENCE), datetime.now(UTC))
    assert len(check.issuer.requests) == 1
    check.issuer.broken = False
    check.clock.now += REFRESH
    check.verifier.verify(check.issuer.token(AUDIENCE), datetime.now(UTC))


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/keys", b"[]"),
        ("/keys", b"{" * 10_000),
        ("/keys", b'{"keys":' + b"[" * 100_000),
        ("/keys", b" " * 2_000_000),
        ("/keys", b'{"keys":[{"kty":"RSA","kid":"first","n":"AQAB","e":5}]}'),
        ("/keys", b'{"keys":[' + b",".join([b'{"kty":"oct","kid":"first"}'] * 200) + b"]}"),
        ("/.well-known/openid-configuration", b'{"issuer":"https://evil","jwks_uri":"x"}'),
        ("/.well-known/openid-configuration", b"null"),
    ],
)  # fmt: skip
def test_malformed_documents_of_an_issuer_are_refused(
    check: Check, path: str, document: bytes
) -> None:
    check.issuer.documents[path] = document
    with pytest.raises((IssuerUnreachableError, OidcRefusedError)):
        check.verifier.verify(check.issuer.token(AUDIENCE), datetime.now(UTC))


def test_keys_at_another_origin_are_not_fetched(check: Check) -> None:
    with issuer_on_loopback() as other:
        check.issuer.jwks_uri = f"{other.url}/keys"
        with pytest.raises(IssuerUnreachableError, match="another origin"):
            check.verifier.verify(check.issuer.token(AUDIENCE), datetime.now(UTC))
        assert other.requests == []


def test_the_lifetime_of_a_remembered_token_covers_its_end(check: Check) -> None:
    now = datetime.now(UTC)
    identity = check.verifier.verify(check.issuer.token(AUDIENCE), now)
    assert identity.expires >= now + timedelta(seconds=300)
