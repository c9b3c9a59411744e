"""The documents of a registry that is served over HTTP."""

import pytest
from pydantic import ValidationError

from skillpm.errors import SpecError
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.fields import read_document
from skillpm.spec.names import SkillName
from skillpm.spec.registry_people import PublisherRequest, TokenRequest
from skillpm.spec.served import (
    IndexDocument,
    blob_path,
    index_path,
    index_path_of_digest,
    parse_config,
    parse_index_document,
)

DIGEST = Digest.of(b"x")
CONFIG = {
    "api": 1,
    "url": "https://skills.example.org",
    "parts": {part: f"https://x.org/{part}" for part in ("index", "blobs", "advisories")},
    "namespaces": ["acme"],
}
RELEASE = {
    "version": "1.0.0", "digest": str(DIGEST), "size": 10, "base": str(DIGEST),
    "architecture": "LlamaForCausalLM", "requires": ["acme/base ^1"], "summary": "Sums.",
    "scheme": "lossless", "payload_bytes": 5, "created": "2026-01-01T00:00:00Z",
    "published": "2026-01-02T00:00:00Z", "state": "yanked", "reason": "overfits", "position": 7,
}  # fmt: skip


def test_config_survives_a_round_trip_and_keeps_unknown_keys() -> None:
    config = parse_config(json.canonical({**CONFIG, "later": 1}))
    assert config.chunk_bytes == 1 << 20
    assert config.parts.service is None
    assert parse_config(config.canonical()) == config
    assert json.parse_object(config.canonical(), "config")["later"] == 1


def test_a_newer_api_asks_for_an_upgrade() -> None:
    with pytest.raises(SpecError, match="knows up to API 1") as caught:
        parse_config(json.canonical({**CONFIG, "api": 2}))
    assert caught.value.hint is not None
    assert "pip install --upgrade" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    ["skills.example.org", "ftp://a.org", "https://", "https://a.org/", "https://u:p@a.org",
     "https://a.org?x=1", "https://a.org#x", "https://a b.org", 7],
)  # fmt: skip
def test_malformed_urls_are_refused_without_being_followed(url: object) -> None:
    with pytest.raises(SpecError, match="expected a URL"):
        parse_config(json.canonical({**CONFIG, "url": url}))


def test_an_index_document_lists_releases_as_the_client_needs_them() -> None:
    plain = {"api": 1, "skill": "acme/math", "releases": [RELEASE]}
    document = parse_index_document(json.canonical(plain))
    release = document.releases[0].release(document.skill)
    assert release.ref == "acme/math 1.0.0"
    assert release.yanked
    assert release.yank_reason == "overfits"
    assert [str(need) for need in release.requires] == ["acme/base ^1"]
    assert parse_index_document(document.canonical()) == document


def test_every_problem_of_an_index_document_is_reported_with_its_path() -> None:
    plain = {"skill": "acme", "releases": [{**RELEASE, "state": "gone", "size": -1}]}
    with pytest.raises(SpecError) as caught:
        read_document(IndexDocument, plain, "the index document")
    for path in ("skill:", "releases[0].state:", "releases[0].size:"):
        assert path in caught.value.message


def test_paths_are_made_of_names_and_digests() -> None:
    skill = SkillName.parse("acme/math")
    assert index_path(skill) == "/acme/math.json"
    assert index_path_of_digest(skill, DIGEST) == f"/acme/math/{DIGEST.hex}.json"
    assert blob_path(DIGEST) == f"/sha256/{DIGEST.hex[:2]}/{DIGEST.hex}"


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [("acme/math", True), ("acme/*", True), ("acme/math-*", True), ("*", True), ("*/math", True),
     ("acme", False), ("acme/../x", False), ("acme/[a]", False), ("Acme/x", False), ("", False)],
)  # fmt: skip
def test_patterns_of_tokens_have_one_form(pattern: str, allowed: bool) -> None:  # noqa: FBT001
    plain = {"actions": ["read"], "patterns": [pattern]}
    if allowed:
        assert TokenRequest.model_validate(plain).patterns == [pattern]
    else:
        with pytest.raises(ValidationError):
            TokenRequest.model_validate(plain)


def test_requests_refuse_unknown_keys_and_long_expiry() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        TokenRequest.model_validate({"actions": ["read"], "patterns": ["*"], "expire": 1})
    with pytest.raises(ValidationError, match="less_than_equal"):
        TokenRequest.model_validate(
            {"actions": ["read"], "patterns": ["*"], "expires_in": 91 * 86400}
        )
    with pytest.raises(ValidationError, match="claims"):
        PublisherRequest.model_validate({"issuer": "https://i", "claims": {}, "pattern": "acme/*"})
