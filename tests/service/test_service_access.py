"""Who may do what, over HTTP: every role × token × operation, private namespaces, tokens."""

import secrets
from collections.abc import Callable

import pytest
from live_server import Api
from small_packs import small_pack
from spaces import Space, make_space

from skillpm.spec.digests import Digest
from skillpm.spec.registry_people import ACTIONS, ROLES
from skillpm.spec.served import blob_path


def _upload(space: Space, api: Api) -> int:
    data = secrets.token_bytes(4)
    plain = {"digest": str(Digest.of(data)), "size": 4, "namespace": space.name}
    return api.http.post("/v1/uploads", json=plain).status_code


def _publish(space: Space, api: Api) -> int:
    """Publish a new version of the existing skill; its blobs are there."""
    return _release(space, api, "math")


def _publish_new(space: Space, api: Api) -> int:
    return _release(space, api, f"n{secrets.token_hex(4)}")


def _release(space: Space, api: Api, name: str) -> int:
    version = f"1.{secrets.randbelow(10**9)}.0"
    pack = small_pack(f"{space.name}/{name}", version, data=secrets.token_bytes(8))
    for digest, data in pack.blobs.items():
        plain = {"digest": str(digest), "size": len(data), "namespace": space.name}
        session = api.http.post("/v1/uploads", json=plain)
        if session.status_code != 201:
            return session.status_code
        api.append(session.json()["id"], 0, data)
        api.ask("PUT", f"/v1/uploads/{session.json()['id']}")
    return api.http.post("/v1/releases", content=pack.image).status_code


def _yank(space: Space, api: Api) -> int:
    path = f"/v1/releases/{space.name}/math/1.0.0"
    return api.http.post(f"{path}/yank", json={"reason": "test"}).status_code


def _quarantine(space: Space, api: Api) -> int:
    path = f"/v1/releases/{space.name}/math/1.0.0"
    status = api.http.post(f"{path}/quarantine", json={"reason": "test"}).status_code
    if status < 400:
        space.admin.http.post(f"{path}/release")
    return status


def _grant(space: Space, api: Api) -> int:
    member = {"principal": f"guest-{space.name}", "role": "reader"}
    return api.http.post(f"/v1/namespaces/{space.name}/members", json=member).status_code


def _read_index(space: Space, api: Api) -> int:
    return api.http.get(f"/index/{space.name}/math.json").status_code


def _read_blob(space: Space, api: Api) -> int:
    return api.http.get(f"/blobs{blob_path(space.pack.digest)}").status_code


def _members(space: Space, api: Api) -> int:
    return api.http.get(f"/v1/namespaces/{space.name}/members").status_code


OPERATIONS: dict[str, tuple[Callable[[Space, Api], int], frozenset[str], frozenset[str]]] = {
    # The operation, the roles that may do it, and the actions of a token that allow it.
    "upload": (_upload, frozenset(ROLES) - {"reader"}, frozenset({"publish", "publish-new"})),
    "publish": (_publish, frozenset(ROLES) - {"reader"}, frozenset({"publish"})),
    "publish-new": (_publish_new, frozenset({"owner", "maintainer"}), frozenset({"publish-new"})),
    "yank": (_yank, frozenset({"owner", "maintainer"}), frozenset({"yank"})),
    "quarantine": (_quarantine, frozenset({"owner"}), frozenset({"admin"})),
    "grant": (_grant, frozenset({"owner"}), frozenset({"admin"})),
    "index": (_read_index, frozenset(ROLES), frozenset({"read"})),
    "blob": (_read_blob, frozenset(ROLES), frozenset({"read"})),
    "members": (_members, frozenset(ROLES), frozenset({"read"})),
}
READS = ("index", "blob", "members")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("role", [*ROLES, "stranger"])
@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("private", [False, True])
def test_role_and_token_decide_every_operation(
    spaces: dict[bool, Space],
    operation: str,
    role: str,
    action: str,
    private: bool,  # noqa: FBT001
) -> None:
    space = spaces[private]
    run, roles, actions = OPERATIONS[operation]
    status = run(space, space.api(f"{role}-{space.name}", action))
    is_public_read = operation in READS and not private
    # A maintainer's or owner's upload of a token with the wrong right ends at the publication.
    allowed = is_public_read or (role in roles and action in actions | {"admin"})
    if operation == "upload" and role == "publisher":
        allowed = action in ("publish", "admin")
    if allowed:
        assert status < 300
    elif private and role == "stranger":
        assert status == 404, "a private namespace looks as if it did not exist"
    elif operation == "blob":
        assert status == 404, "a blob that may not be read is not there"
    else:
        assert status == 403


BEFORE_NAMESPACES = {"upload", "publish", "publish-new", "yank", "quarantine"}
"""Operations that ask for a token before they look at a namespace."""


@pytest.mark.parametrize("private", [False, True])
def test_without_a_token_only_public_things_are_read(
    spaces: dict[bool, Space],
    anybody: Api,
    private: bool,  # noqa: FBT001
) -> None:
    space = spaces[private]
    for name, (run, _, _) in OPERATIONS.items():
        status = run(space, anybody)
        if private:
            assert status in ((404,) if name in READS else (401, 404)), name
            assert status == 404 or name in BEFORE_NAMESPACES, name
        else:
            assert status == (200 if name in READS else 401), name


@pytest.mark.parametrize("pattern", ["other/*", "acme/x"])
def test_a_token_for_another_namespace_has_no_rights_here(
    spaces: dict[bool, Space], pattern: str
) -> None:
    space = spaces[False]
    api = space.api(f"owner-{space.name}", "publish", "yank", patterns=[pattern])
    assert _publish(space, api) == 403
    assert _yank(space, api) == 403


def test_a_token_for_one_skill_publishes_only_that_skill(spaces: dict[bool, Space]) -> None:
    space = spaces[False]
    owner = f"owner-{space.name}"
    api = space.api(owner, "publish", "publish-new", patterns=[f"{space.name}/math"])
    assert _publish(space, api) == 201
    assert _publish_new(space, api) == 403
    assert _grant(space, space.api(owner, "admin", patterns=[f"{space.name}/math"])) == 403


def test_a_private_namespace_appears_nowhere(spaces: dict[bool, Space], anybody: Api) -> None:
    space = spaces[True]
    stranger = space.api(f"stranger-{space.name}", "read")
    member = space.api(f"reader-{space.name}", "read")
    elsewhere = space.api(f"reader-{space.name}", "read", patterns=["other/*"])
    for api, sees in ((anybody, False), (stranger, False), (elsewhere, False), (member, True)):
        found = api.ask("GET", "/v1/search", params={"q": space.name})["results"]
        assert bool(found) is sees
        events = api.ask("GET", "/v1/events")["events"]
        assert any(event["namespace"] == space.name for event in events) is sees
    for api, sees in ((anybody, False), (stranger, False), (member, True)):
        names = [row["name"] for row in api.ask("GET", "/v1/namespaces")["namespaces"]]
        assert (space.name in names) is sees
    assert space.name not in anybody.http.get("/config.json").text
    fake = f"z{secrets.token_hex(6)}"
    for path in ("/index/{}/math.json", "/v1/namespaces/{}", "/v1/namespaces/{}/members"):
        real, absent = (stranger.http.get(path.format(name)) for name in (space.name, fake))
        assert real.status_code == absent.status_code == 404
        assert real.json()["detail"].replace(space.name, fake) == absent.json()["detail"]


def test_an_upload_without_a_token_gets_401_for_every_namespace(
    spaces: dict[bool, Space], anybody: Api
) -> None:
    public, private = spaces[False], spaces[True]
    digest, data = next(iter(public.pack.blobs.items()))
    for name in (public.name, private.name, f"z{secrets.token_hex(6)}"):
        plain = {"digest": str(digest), "size": len(data), "namespace": name}
        anybody.ask("POST", "/v1/uploads", 401, json=plain)


def test_a_private_blob_counts_as_present_only_to_those_who_may_read_it(
    spaces: dict[bool, Space],
) -> None:
    public, private = spaces[False], spaces[True]
    digest, data = next(iter(private.pack.blobs.items()))
    plain = {"digest": str(digest), "size": len(data), "namespace": public.name}
    outsider = public.api(f"publisher-{public.name}", "publish")
    session = outsider.ask("POST", "/v1/uploads", 201, json=plain)
    assert session["state"] == "open"
    outsider.append(session["id"], 0, data)
    outsider.ask("PUT", f"/v1/uploads/{session['id']}")
    assert outsider.ask("POST", "/v1/uploads", json=plain)["state"] == "present"


def test_a_release_cannot_take_a_private_blob_that_its_publisher_never_had(
    spaces: dict[bool, Space],
) -> None:
    """Whoever knows the digest of a private blob does not get its bytes by publishing it."""
    public, private = spaces[False], spaces[True]
    layer = private.pack.layer
    stolen = small_pack(f"{public.name}/theft", data=private.pack.blobs[layer][-8:])
    assert layer in stolen.blobs, "the same layer, in a pack of another namespace"
    outsider = public.api(f"maintainer-{public.name}", "publish", "publish-new")
    config = next(digest for digest in stolen.blobs if digest != layer)
    outsider.upload(stolen.blobs[config], config, public.name)
    outsider.release(stolen.image, 409)
    assert outsider.http.get(f"/blobs{blob_path(layer)}").status_code == 404


def test_uploads_belong_to_their_principal(spaces: dict[bool, Space]) -> None:
    space = spaces[False]
    one = space.api(f"publisher-{space.name}", "publish")
    other = space.api(f"owner-{space.name}", "publish")
    plain = {"digest": str(Digest.of(b"mine")), "size": 4, "namespace": space.name}
    session = one.ask("POST", "/v1/uploads", 201, json=plain)["id"]
    other.ask("GET", f"/v1/uploads/{session}", 404)
    other.append(session, 0, b"mine", 404)
    other.ask("PUT", f"/v1/uploads/{session}", 404)
    other.ask("DELETE", f"/v1/uploads/{session}", 404)
    one.ask("DELETE", f"/v1/uploads/{session}", 204)


def test_a_token_that_only_creates_a_skill_is_used_once(spaces: dict[bool, Space]) -> None:
    space = spaces[False]
    api = space.api(f"owner-{space.name}", "publish-new")
    assert _publish(space, api) == 403
    assert _publish_new(space, api) == 201
    assert _publish_new(space, api) == 401


def test_an_owner_cannot_leave_a_namespace_without_owners(admin: Api) -> None:
    space = make_space(admin, private=False)
    owner = space.api(f"owner-{space.name}", "admin")
    path = f"/v1/namespaces/{space.name}/members"
    admin.ask("DELETE", f"{path}/admin", 204)
    refused = owner.fail("DELETE", f"{path}/owner-{space.name}", 409)
    assert "no owner" in refused
    owner.ask("POST", path, 409, json={"principal": f"owner-{space.name}", "role": "reader"})
    owner.ask("DELETE", f"{path}/reader-{space.name}", 204)
    owner.ask("DELETE", f"{path}/reader-{space.name}", 404)
    assert _read_index(space, space.api(f"reader-{space.name}", "read")) == 200


def test_a_namespace_is_granted_once(admin: Api) -> None:
    space = make_space(admin, private=False)
    problem = admin.ask("POST", "/v1/namespaces", 409, json={"name": space.name})
    assert "exists already" in problem["detail"]
    for name in ("Acme", "../x", "", "a" * 65, "a/b", None, 7):
        admin.ask("POST", "/v1/namespaces", 400, json={"name": name})
