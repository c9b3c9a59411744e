"""Locks that are damaged, missing, or do not match the project file."""

import pytest
from skillpm_world import World
from tiny_models import Models


@pytest.mark.parametrize("damage", ["twice", "conflict"])
def test_lock_repairs_a_lock_that_a_merge_damaged(installed: World, damage: str) -> None:
    path = installed.project / "skillpm.lock"
    good = installed.lock
    stanza = good[good.index("[[skill]]") :]
    if damage == "twice":
        path.write_text(f"{good}\n{stanza}")
    else:
        path.write_text(f"<<<<<<< ours\n{good}=======\n{good}>>>>>>> theirs\n")
    installed.fail("install", code=1, kind="spec")
    checked = installed.ask("lock", "--check", code=1)
    assert (checked["fresh"], bool(checked["reason"])) == (False, True)
    assert installed.ask("lock")["changed"]
    assert installed.lock == good
    assert installed.ask("install")["generation"] == 1


def test_install_writes_a_missing_lock_with_the_installed_versions(
    installed: World, models: Models
) -> None:
    installed.publish(models.tuned("mlp", seed=3), "acme/math", "1.1.0")
    lock = installed.lock
    (installed.project / "skillpm.lock").unlink()
    done = installed.ask("install")
    assert "re-locked" in done["notes"][0]
    assert (done["generation"], done["kept"]) == (1, 1)
    assert installed.lock == lock


def test_lock_check_reports_another_base_registry_or_requirement(installed: World) -> None:
    text = installed.file.read_text()
    zero = f"sha256:{'0' * 64}"
    root = installed.ask("list")["base_root"]
    edits = {
        "another base": text.replace(root, zero),
        "another registry": text + '[registries]\nteam = { url = "t", namespaces = ["acme"] }\n',
        "nothing asks for": text.replace('"acme/math" = "^1.0.0"\n', ""),
    }
    for reason, edited in edits.items():
        installed.file.write_text(edited)
        checked = installed.ask("lock", "--check", code=1)
        assert reason in checked["reason"]
    installed.file.write_text(text.replace(root, zero))
    installed.fail("rollback", code=3, kind="integrity")


def test_lock_check_reports_a_missing_requirement_of_a_locked_skill(installed: World) -> None:
    path = installed.project / "skillpm.lock"
    path.write_text(installed.lock.replace("requires = []", 'requires = ["acme/sql ^1"]'))
    checked = installed.ask("lock", "--check", code=1)
    assert "requires `acme/sql ^1`" in checked["reason"]
    installed.fail("install", "--frozen", code=1, kind="state")
    assert installed.ask("install")["generation"] == 1


def test_graft_does_not_write_its_root_to_a_lock_that_is_ahead(
    installed: World, models: Models
) -> None:
    installed.publish(models.tuned("attn"), "acme/sql", "1.0.0")
    installed.file.write_text(installed.file.read_text() + '"acme/sql" = "^1"\n')
    installed.ask("lock")
    before = installed.lock
    installed.graft_root()
    assert installed.lock == before
    (installed.project / "skillpm.lock").unlink()
    installed.graft_root()
    assert not (installed.project / "skillpm.lock").exists()


def test_list_reports_a_stale_lock_on_stderr_unless_quiet(installed: World) -> None:
    installed.file.write_text(installed.file.read_text().replace("^1.0.0", "^2"))
    assert "skillpm install" in installed.run("list").err
    assert installed.run("list", "-q").err == ""
