"""Trusted publishing: tokens of an OIDC issuer, exchanged over HTTP."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from live_server import Api, Server, configured, initialized, running
from oidc_issuer import Issuer, issuer_on_loopback
from small_packs import small_pack

AUDIENCE = "http://skills.test"
CLAIMS = {
    "repository_id": "123", "repository_owner_id": "45", "environment": "release",
    "job_workflow_ref": "acme/skills/.github/workflows/release.yml@*",
}  # fmt: skip


@dataclass
class Publishing:
    """A server that trusts an issuer, and its administrator."""

    server: Server
    issuer: Issuer
    admin: Api

    def namespace(self, **rule: object) -> str:
        """A namespace with a rule for the issuer."""
        name = f"o{secrets.token_hex(6)}"
        self.admin.namespace(name)
        plain = {"issuer": self.issuer.url, "claims": CLAIMS, "pattern": f"{name}/*", **rule}
        self.admin.ask("POST", f"/v1/namespaces/{name}/publishers", 201, json=plain)
        return name

    def exchange(self, token: str, namespace: str | None = None, status: int = 201) -> Api:
        plain = {"token": token, "namespace": namespace}
        answer = self.server.client().ask("POST", "/v1/oidc/exchange", status, json=plain)
        return self.server.client(answer.get("token"))


@pytest.fixture(scope="module")
def publishing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publishing]:
    folder = tmp_path_factory.mktemp("exchange")
    with issuer_on_loopback() as issuer:
        limits = "reads_per_minute = 0\nwrites_per_minute = 0\nexchanges_per_minute = 0"
        arguments = configured(
            folder / "registry", limits=f'{limits}\n[[oidc]]\nissuer = "{issuer.url}"'
        )
        token = initialized(arguments)
        with running(folder, *arguments) as server:
            yield Publishing(server, issuer, server.client(token))


def test_a_workflow_publishes_without_a_stored_secret(publishing: Publishing) -> None:
    space = publishing.namespace(new=True)
    api = publishing.exchange(publishing.issuer.token(AUDIENCE), space)
    api.publish(small_pack(f"{space}/math"))
    token = api.ask("GET", "/v1/whoami")["token"]
    assert token["actions"] == ["read", "publish", "publish-new"]
    assert token["patterns"] == [f"{space}/*"]
    lifetime = datetime.fromisoformat(token["expires"]) - datetime.now(UTC)
    assert 0 < lifetime.total_seconds() <= 15 * 60
    event = publishing.admin.ask("GET", "/v1/events")["events"][-1]
    assert event["kind"] == "publish"
    assert event["principal"] == f"ci:{space}"


def test_a_rule_without_new_publishes_only_skills_that_exist(publishing: Publishing) -> None:
    space = publishing.namespace()
    publishing.admin.publish(small_pack(f"{space}/math"))
    api = publishing.exchange(publishing.issuer.token(AUDIENCE), space)
    api.publish(small_pack(f"{space}/math", "1.1.0"))
    api.publish(small_pack(f"{space}/other"), 403)
    api.ask("POST", f"/v1/releases/{space}/math/1.0.0/yank", 403, json={})
    api.ask("POST", "/v1/tokens", 403, json={"actions": ["publish"], "patterns": ["*"]})


def test_a_token_is_exchanged_once(publishing: Publishing) -> None:
    space = publishing.namespace()
    token = publishing.issuer.token(AUDIENCE)
    publishing.exchange(token, space)
    problem = publishing.server.client().ask(
        "POST", "/v1/oidc/exchange", 403, json={"token": token, "namespace": space}
    )
    assert "exchanged before" in problem["detail"]


@pytest.mark.parametrize(
    "changes",
    [
        {"repository_id": "124"},
        {"repository_owner_id": "46"},
        {"environment": "test"},
        {"environment": None},
        {"job_workflow_ref": "acme/skills/.github/workflows/other.yml@refs/heads/main"},
        {"event_name": "pull_request"},
        {"event_name": "pull_request_target"},
        {"aud": "http://other.test"},
        {"exp": 1},
    ],
)
def test_other_workflows_get_no_token(publishing: Publishing, changes: dict[str, Any]) -> None:
    space = publishing.namespace()
    publishing.exchange(publishing.issuer.token(AUDIENCE, **changes), space, 403)


def test_a_rule_that_was_removed_ends_its_tokens(publishing: Publishing) -> None:
    space = publishing.namespace(new=True)
    api = publishing.exchange(publishing.issuer.token(AUDIENCE), space)
    path = f"/v1/namespaces/{space}/publishers"
    (rule,) = publishing.admin.ask("GET", path)["publishers"]
    assert rule["claims"] == CLAIMS
    publishing.admin.ask("DELETE", f"{path}/{rule['id']}", 204)
    api.ask("GET", "/v1/whoami", 401)
    publishing.exchange(publishing.issuer.token(AUDIENCE), space, 403)
    publishing.admin.ask("DELETE", f"{path}/{rule['id']}", 404)
    members = publishing.admin.ask("GET", f"/v1/namespaces/{space}/members")["members"]
    assert f"ci:{space}" not in [row["principal"] for row in members]


def test_weak_rules_and_unknown_issuers_are_refused(publishing: Publishing) -> None:
    space = publishing.namespace()
    path = f"/v1/namespaces/{space}/publishers"
    good = {"issuer": publishing.issuer.url, "claims": CLAIMS, "pattern": f"{space}/*"}
    for change, reason in (
        ({"issuer": "https://evil.example"}, "not configured"),
        ({"claims": {"repository": "acme/skills"}}, "too weak"),
        ({"pattern": "other/*"}, "not in the namespace"),
        ({"pattern": "*"}, "not in the namespace"),
    ):
        assert reason in publishing.admin.fail("POST", path, 400, json={**good, **change})
    publishing.server.client().ask("POST", path, 401, json=good)


def test_rules_of_two_namespaces_need_a_name(publishing: Publishing) -> None:
    first, second = publishing.namespace(), publishing.namespace()
    problem = publishing.server.client().ask(
        "POST", "/v1/oidc/exchange", 403, json={"token": publishing.issuer.token(AUDIENCE)}
    )
    assert "several namespaces" in problem["detail"]
    api = publishing.exchange(publishing.issuer.token(AUDIENCE), second)
    assert api.ask("GET", "/v1/whoami")["token"]["patterns"] == [f"{second}/*"]
    assert first != second


def test_the_token_and_the_claims_do_not_reach_the_log(publishing: Publishing) -> None:
    space = publishing.namespace()
    token = publishing.issuer.token(AUDIENCE)
    publishing.exchange(token, space)
    text = (publishing.server.folder / "stderr").read_text()
    assert token not in text
    assert token.split(".")[1] not in text
