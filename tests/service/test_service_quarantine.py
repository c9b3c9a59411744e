"""A quarantined release is refused by every command that would use it, also where it is locked."""

import json
import shutil
from pathlib import Path

import pytest
from live_server import Api, Server
from skillpm_world import World
from small_packs import tuned_pack

import skillpm
from skillpm.errors import SkillpmError

REASON = "it leaks the training data"


def _quarantine(admin: Api, skill: str, verb: str = "quarantine") -> None:
    body = {"json": {"reason": REASON}} if verb == "quarantine" else {}
    admin.ask("POST", f"/v1/releases/{skill}/1.0.0/{verb}", 201, **body)


def _expire(home: Path) -> None:
    """Make the cached documents older than their `max-age`."""
    for path in (home / "cache" / "registries").glob("*/*"):
        head, _, body = path.read_bytes().partition(b"\n")
        old = {**json.loads(head), "stored": json.loads(head)["stored"] - 7200}
        path.write_bytes(json.dumps(old).encode() + b"\n" + body)


@pytest.fixture
def skill(world: World, base: Path, user: str, namespace: str) -> str:
    """An installed skill of the served registry."""
    name = f"{namespace}/sums"
    world.ask("publish", tuned_pack(world, base, name, "mlp", "1.0.0"))
    world.ask("install", name)
    return name


@pytest.fixture
def seen(world: World, skill: str, admin: Api) -> str:
    """An installed skill whose quarantine this home has seen."""
    _quarantine(admin, skill)
    _expire(world.home)
    rows = world.ask("outdated")["outdated"]
    assert [(row["skill"], row["quarantined"]) for row in rows] == [(skill, True)]
    return skill


@pytest.mark.parametrize(
    "command",
    [("install",), ("install", "--frozen"), ("install", "--offline"), ("graft",), ("rollback", "1"),
     ("graft", "--offline"), ("bundle", "out.skillbundle"), ("install", "--dry-run")],
    ids=" ".join,
)  # fmt: skip
def test_commands_refuse_a_locked_stored_release_that_is_known_as_quarantined(
    world: World, seen: str, command: tuple[str, ...]
) -> None:
    text = world.fail(*command, code=3, kind="integrity")
    assert f"{seen} 1.0.0 is quarantined" in text
    assert REASON in text
    assert f"skillpm uninstall {seen}" in text
    assert world.installed() == {seen: "1.0.0"}


def test_the_live_model_refuses_a_quarantined_release(world: World, seen: str) -> None:
    with (
        skillpm.open_project(world.project, home=world.home) as project,
        pytest.raises(SkillpmError, match=REASON),
    ):
        project.load_model()


def test_a_locked_release_is_used_without_a_registry_until_its_quarantine_is_seen(
    world: World, skill: str, admin: Api, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    _quarantine(admin, skill)
    _expire(world.home)
    monkeypatch.setenv("SKILLPM_REGISTRY", server.url)
    world.ask("install")
    world.graft_root()


def test_another_machine_refuses_to_fetch_a_quarantined_release_of_the_lock(
    world: World, skill: str, admin: Api
) -> None:
    _quarantine(admin, skill)
    shutil.rmtree(world.home / "store")
    _expire(world.home)
    assert REASON in world.fail("install", code=3, kind="integrity")
    assert not list((world.home / "store").glob("sha256/*/*")), "nothing was fetched"


def test_no_option_resolves_to_a_quarantined_release(world: World, seen: str) -> None:
    world.ask("uninstall", seen)
    for command in (("install", seen), ("install", f"{seen}@1.0.0", "--allow-yanked")):
        text = world.fail(*command, code=4, kind="resolution")
        assert f"quarantined: {REASON}" in text
        assert "--allow-yanked" not in text
    out = world.folder / "exported"
    assert REASON in world.fail(
        "export", f"{seen}@1.0.0", "--format", "merged", out, code=3, kind="integrity"
    )


def test_reports_name_the_quarantine(world: World, seen: str) -> None:
    (release,) = world.ask("show", seen)["releases"]
    assert (release["quarantined"], release["yank_reason"]) == (True, REASON)
    assert "quarantined" in world.run("show", seen).out
    assert "1.0.0 (quarantined)" in world.run("outdated").out
    findings = world.ask("audit", code=3)["findings"]
    (found,) = [row for row in findings if row["code"] == "quarantined"]
    assert (found["level"], found["skill"]) == ("critical", seen)
    assert REASON in found["message"]
    checks = world.ask("doctor", code=1)["checks"]
    assert any(REASON in row["message"] for row in checks if row["status"] == "fail")


def test_upgrade_replaces_a_quarantined_release(world: World, base: Path, seen: str) -> None:
    world.ask("publish", tuned_pack(world, base, seen, "lm_head", "1.1.0"))
    world.ask("upgrade")
    assert world.installed() == {seen: "1.1.0"}
    world.graft_root()


def test_the_end_of_a_quarantine_is_noticed(world: World, seen: str, admin: Api) -> None:
    _quarantine(admin, seen, "release")
    _expire(world.home)
    world.fail("install", "--offline", code=3, kind="integrity")
    world.ask("install")
    world.ask("install", "--offline")
