"""Tokens over HTTP: shown once, revoked, and never stronger than their creator."""

from live_server import Api, Server
from spaces import Space


def test_a_token_is_shown_once_and_stored_as_a_hash(admin: Api, server: Server) -> None:
    token = admin.token("read", note="for the test")
    listed = admin.ask("GET", "/v1/tokens")
    row = next(row for row in listed["tokens"] if row["id"] == token.split("_")[1])
    assert row["note"] == "for the test"
    assert token not in str(listed)
    secret = token.encode()
    for path in (server.folder / "registry").glob("registry.db*"):
        assert secret not in path.read_bytes()
    assert secret not in (server.folder / "stderr").read_bytes()


def test_a_revoked_and_an_unknown_token_are_refused(admin: Api, server: Server) -> None:
    token = admin.token("read")
    api = server.client(token)
    assert api.ask("GET", "/v1/whoami")["token"]["actions"] == ["read"]
    admin.ask("DELETE", f"/v1/tokens/{token.split('_')[1]}", 204)
    problem = api.ask("GET", "/v1/whoami", 401)
    assert problem["kind"] == "auth"
    for text in (token[:-1] + "~", "skillpm_x", "-", "y" * 1000):
        server.client(text).ask("GET", "/v1/whoami", 401)
    for header in ("Bearer", "Basic !!!", "Digest x", "Bearer a b"):
        response = admin.http.get("/v1/whoami", headers={"authorization": header})
        assert response.status_code == 401
        assert "www-authenticate" in response.headers


def test_the_password_of_basic_credentials_is_a_token(admin: Api, server: Server) -> None:
    api = server.client()
    response = api.http.get("/v1/whoami", auth=("anything", server.environment["ADMIN"]))
    assert response.json()["administrator"]


def test_a_new_token_never_has_more_rights_than_its_creator(
    spaces: dict[bool, Space], server: Server
) -> None:
    space = spaces[False]
    owner = f"owner-{space.name}"
    limited = space.api(owner, "admin", patterns=[f"{space.name}/*"])
    mine = {"actions": ["publish"], "patterns": [f"{space.name}/math"]}
    created = limited.ask("POST", "/v1/tokens", 201, json=mine)
    assert created["principal"] == owner
    limited.ask("POST", "/v1/tokens", 403, json={**mine, "patterns": ["*"]})
    limited.ask("POST", "/v1/tokens", 403, json={**mine, "principal": "admin"})
    limited.ask("POST", "/v1/tokens", 400, json={**mine, "expires_in": 91 * 86400})
    limited.ask("POST", "/v1/tokens", 400, json={**mine, "actions": ["root"]})
    publisher = server.client(created["token"])
    publisher.ask("POST", "/v1/tokens", 403, json=mine)
    publisher.ask("POST", "/v1/namespaces", 403, json={"name": "mine"})
    own = limited.ask("GET", "/v1/tokens")["tokens"]
    assert {row["principal"] for row in own} == {owner}
    admin_id = server.environment["ADMIN"].split("_")[1]
    limited.ask("DELETE", f"/v1/tokens/{admin_id}", 404)
