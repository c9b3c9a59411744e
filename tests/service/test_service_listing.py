"""Search, events, advisories and sweeps over HTTP, on a real server."""

from live_server import Api, fresh
from small_packs import small_pack


def test_search_finds_a_skill_by_words_and_pages(admin: Api, anybody: Api) -> None:
    space = fresh(admin)
    for number in range(3):
        admin.publish(small_pack(f"{space}/s{number}", summary=f"Quokka{space} number {number}"))
    found = anybody.ask("GET", "/v1/search", params={"q": f"quokka{space}"})
    assert {row["skill"] for row in found["results"]} == {f"{space}/s{n}" for n in range(3)}
    first = anybody.ask("GET", "/v1/search", params={"q": f"quokka{space}", "limit": 2})
    rest = anybody.ask(
        "GET", "/v1/search", params={"q": f"quokka{space}", "limit": 2, "after": first["next"]}
    )
    names = [row["skill"] for row in (*first["results"], *rest["results"])]
    assert sorted(names) == sorted({f"{space}/s{n}" for n in range(3)})
    assert rest["next"] is None


def test_events_list_every_write_in_order(admin: Api, anybody: Api) -> None:
    space = fresh(admin)
    admin.publish(small_pack(f"{space}/math"))
    admin.ask("POST", f"/v1/releases/{space}/math/1.0.0/yank", 201, json={"reason": "x"})
    events, after = [], 0
    while True:
        page = anybody.ask("GET", "/v1/events", params={"after": after, "limit": 100})
        if not page["events"] and page["next"] == after:
            break
        events += page["events"]
        after = page["next"]
    positions = [event["position"] for event in events]
    assert positions == sorted(set(positions))
    kinds = [event["kind"] for event in events if event["namespace"] == space]
    assert kinds[:2] == ["namespace", "grant"]
    assert kinds[-2:] == ["publish", "yank"]
    assert all(event["namespace"] for event in events), "the rest is for administrators"


def test_an_advisory_needs_the_owner_of_its_skills(admin: Api, anybody: Api) -> None:
    space = fresh(admin)
    admin.publish(small_pack(f"{space}/math"))
    advisory = {
        "id": f"ADV-{space}", "modified": "2026-01-01T00:00:00Z", "summary": "bad",
        "affected": [{"package": {"ecosystem": "skillpm", "name": f"{space}/math"},
                      "versions": ["1.0.0"]}],
    }  # fmt: skip
    anybody.ask("POST", "/v1/advisories", 401, json=advisory)
    publisher = admin.token("publish")
    Api(str(admin.http.base_url), publisher).ask("POST", "/v1/advisories", 403, json=advisory)
    assert admin.ask("POST", "/v1/advisories", json=advisory)["changed"]
    assert not admin.ask("POST", "/v1/advisories", json=advisory)["changed"]
    listed = anybody.ask("GET", "/advisories/all.json")["advisories"]
    assert advisory["id"] in [entry["id"] for entry in listed]
    withdrawn = admin.ask("POST", f"/v1/advisories/ADV-{space}/withdraw")
    assert withdrawn["advisory"]["withdrawn"]
    admin.ask("POST", "/v1/advisories/ADV-absent/withdraw", 404)


def test_a_sweep_is_for_administrators(admin: Api, anybody: Api) -> None:
    anybody.ask("POST", "/v1/sweep", 401)
    reader = Api(str(admin.http.base_url), admin.token("read"))
    reader.ask("POST", "/v1/sweep", 403)
    assert set(admin.ask("POST", "/v1/sweep")) == {"blobs", "bytes", "uploads"}
