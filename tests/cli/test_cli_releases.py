"""`show` and `inspect` of a release, and the states of releases in `list`."""

import shutil
from pathlib import Path

import pytest
from skillpm_world import World, run_here, snapshot
from tiny_models import Pair


@pytest.fixture
def published(world: World, math: Pair) -> World:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    world.publish(math, "acme/math", "1.1.0", "--license", "MIT")
    return world


def test_verbose_list_has_the_licence_that_each_pack_states(published: World, math: Pair) -> None:
    published.ask("install", "acme/math", published.pack(math, "acme/free", "1.0.0"))
    (free, licensed) = published.ask("list", "--verbose")["skills"]
    assert (free["license"], licensed["license"]) == (None, "MIT")
    table = published.run("list", "-v").out.splitlines()
    assert table[2].split()[-2:] == ["license", "digest"]
    assert table[3].split()[-2:] == ["-", f"{free['digest'][:19]}…"]
    assert table[4].split()[-2:] == ["MIT", f"{licensed['digest'][:19]}…"]
    assert all("license" not in skill for skill in published.ask("list")["skills"])
    shutil.rmtree(published.home / "store")
    assert all("license" not in skill for skill in published.ask("list", "-v")["skills"])
    assert "unknown" in published.run("list", "-v").out


def test_show_of_a_release_has_its_manifest_and_writes_no_blob(published: World) -> None:
    before = snapshot(published.home / "store") if (published.home / "store").exists() else {}
    shown = published.ask("show", "acme/math@1.1.0")
    assert (shown["version"], shown["license"], shown["yanked"]) == ("1.1.0", "MIT", False)
    assert shown["manifest"]["skill"] == "acme/math"
    assert shown["registry"]
    after = snapshot(published.home / "store") if (published.home / "store").exists() else {}
    assert [name for name in after if "sha256/" in name] == [
        name for name in before if "sha256/" in name
    ]
    text = published.run("show", "acme/math@1.1.0").out
    assert "license    MIT" in text
    assert "state      available" in text
    assert "relative error" in text


def test_show_of_a_range_is_the_newest_release_that_is_not_yanked(published: World) -> None:
    published.ask("yank", "acme/math@1.1.0", "--reason", "overfits")
    assert published.ask("show", "acme/math ^1")["version"] == "1.0.0"
    assert "state      yanked: overfits" in published.run("show", "acme/math@1.1.0").out


def test_show_of_an_unknown_release_names_the_command_that_lists_them(published: World) -> None:
    said = published.fail("show", "acme/math@9.0.0", code=4, kind="not_found")
    assert "`skillpm show acme/math`" in said


def test_show_of_a_pack_file_names_inspect(published: World) -> None:
    said = published.fail("show", "acme-math-1.0.0.skillpack", code=2, kind="usage")
    assert said.startswith("`SKILL`: `acme-math-1.0.0.skillpack` is a pack file")
    assert "`skillpm inspect acme-math-1.0.0.skillpack`" in said


def test_inspect_shows_the_same_for_a_file_a_release_and_an_installed_skill(
    published: World,
) -> None:
    file = published.ask("inspect", published.folder / "acme-math-1.0.0.skillpack")
    assert published.ask("inspect", "acme/math@1.0.0") == file
    published.ask("install", "acme/math@1.0.0")
    shutil.rmtree(published.home / "registry")
    assert {**published.ask("inspect", "acme/math"), "verified_on": []} == file


def test_inspect_of_a_damaged_installed_skill_fails(published: World) -> None:
    digest = published.ask("install", "acme/math@1.0.0")["added"][0]["digest"]
    manifest = published.ask("inspect", "acme/math")["manifest"]
    blobs = sorted((published.home / "store" / "sha256").rglob("*"), key=_size)
    assert manifest
    payload = blobs[-1]
    payload.chmod(0o600)
    payload.write_bytes(b"x" + payload.read_bytes()[1:])
    said = published.fail("inspect", "acme/math", code=3, kind="integrity")
    assert payload.name[-8:] in said
    assert digest not in said


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def test_list_marks_a_release_that_was_yanked_when_its_registry_was_last_asked(
    published: World,
) -> None:
    published.ask("install", "acme/math")
    assert "state" not in published.run("list").out
    published.ask("yank", "acme/math@1.1.0", "--reason", "over\x1b[31mfits")
    listed = published.run("list", "--offline")
    assert listed.out.splitlines()[-1].endswith("yanked")
    assert r"warning: acme/math 1.1.0 is yanked: over\x1b[31mfits" in listed.err
    assert "`skillpm upgrade acme/math`" in listed.err
    skill = published.ask("list")["skills"][0]
    assert (skill["yanked"], skill["quarantined"]) == (True, False)
    published.ask("unyank", "acme/math@1.1.0")
    assert published.ask("list")["skills"][0]["yanked"] is False


@pytest.mark.parametrize("command", ["outdated", "audit"])
def test_command_that_asks_a_registry_updates_the_marks_of_list(
    published: World, command: str
) -> None:
    published.ask("install", "acme/math")
    published.ask("yank", "acme/math@1.1.0")
    published.ask("cache", "clean")
    assert published.ask("list")["skills"][0]["yanked"] is False
    run_here(command)
    assert published.ask("list")["skills"][0]["yanked"] is True


def test_list_ignores_a_damaged_record_of_states(published: World) -> None:
    published.ask("install", "acme/math")
    published.ask("yank", "acme/math@1.1.0")
    (record,) = (published.home / "cache" / "states").rglob("*.json")
    record.write_text(record.read_text().replace("false", "true"))
    assert published.ask("list")["skills"][0]["yanked"] is False
