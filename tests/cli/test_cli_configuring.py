"""`config get`, `config set` and `config unset`."""

import stat
from pathlib import Path

import pytest
from skillpm_world import World, run_process, snapshot

HAND = """
# ours
[graft]  # how
method = "ties"  # tried
settings = {density = 0.2}
"""


def test_config_set_keeps_comments_and_says_what_applies_it(installed: World) -> None:
    before = installed.file.read_text() + HAND
    installed.file.write_text(before)
    done = installed.ask("config", "set", "graft.density", "0.3", "graft.scale", "2")
    assert installed.file.read_text() == before.replace("0.2}", "0.3, scale = 2.0}")
    assert done["values"] == {"graft.density": 0.3, "graft.scale": 2.0}
    assert done["apply"] == "skillpm install"
    assert installed.ask("config", "get", "graft.density")["value"] == 0.3
    assert not installed.ask("lock", "--check", code=1)["fresh"]
    assert installed.ask("install")["generation"] == 2
    assert "density = 0.3" in installed.lock
    assert installed.ask("config", "set", "graft.density", "0.3")["apply"] is None


def test_config_set_of_another_method_drops_the_settings_of_the_one_before(
    installed: World,
) -> None:
    installed.file.write_text(installed.file.read_text() + HAND)
    done = installed.ask("config", "set", "graft.method", "dare", "graft.seed", "3")
    assert done["dropped"] == {"graft.density": 0.2}
    assert 'method = "dare"  # tried\nsettings = {seed = 3}\n' in installed.file.read_text()
    done = installed.ask("config", "unset", "graft.method", "graft.mode")
    assert (done["removed"], done["dropped"]) == (["graft.method"], {"graft.seed": 3})
    assert installed.run("config", "get", "graft.method").out == "sum\n"
    installed.fail("config", "get", "graft.seed", code=2, kind="usage")


def test_config_set_writes_each_setting_where_its_reader_looks(installed: World) -> None:
    values = {"workers": 3, "color": "never", "offline": False, "lock-timeout": 5.0}
    pairs = [str(word) for pair in values.items() for word in pair]
    installed.ask("config", "set", *pairs, "registry", "./team", "base", "../elsewhere")
    rows = {row["key"]: row for row in installed.ask("config", "show")["values"]}
    assert {key: rows[key]["value"] for key in values} == values
    assert all(rows[key]["source"].startswith(str(installed.file)) for key in (*values, "base"))
    assert (rows["registry"]["value"], rows["base"]["value"]) == ("team", "../elsewhere")
    assert rows["graft.method"] == {"key": "graft.method", "value": "sum", "source": "default"}
    installed.ask("config", "unset", *values, "registry")
    assert all(row["source"] == "default" for row in installed.ask("config", "show")["values"]
               if row["key"] in values)  # fmt: skip


def test_config_set_user_writes_the_user_s_file_and_names_what_overrides_it(
    installed: World,
) -> None:
    own, before = installed.folder / "config.toml", snapshot(installed.project)
    own.write_text("# mine\nworkers = 2  # few\n")
    link = installed.folder / "dotfile.toml"
    own.rename(link)
    own.symlink_to(link)
    done = installed.run("config", "set", "workers", "4", "base", installed.project, "--user")
    assert link.read_text() == f'# mine\nworkers = 4  # few\nbase = "{installed.project}"\n'
    assert own.is_symlink()
    assert "note: `base` is " in done.err
    assert "[project]" in done.err
    assert installed.run("config", "get", "workers").out == "4\n"
    installed.ask("config", "unset", "base", "workers", "--user")
    assert link.read_text() == "# mine\n"
    assert snapshot(installed.project) == before


REFUSED = (
    (("set", "graft.metod", "ties"), "did you mean `graft.method`"),
    (("set", "graft.method", "tise"), "unknown method"),
    (("set", "graft.density", "0.3"), "`sum` has no setting"),
    (("set", "workers", "0"), "from 1 to 256"),
    (("set", "workers"), "has no value"),
    (("set", "workers", "1", "workers", "2"), "given twice"),
    (("set", "skills.acme/math.weight", "0.5"), "install acme/math --weight"),
    (("set", "graft.precedence", "acme/a,acme/a"), "duplicate skill"),
    (("unset", "base"), "project.base"),
    (("get", "nothing"), "config show"),
)


def test_config_refuses_what_the_readers_refuse_and_writes_nothing(installed: World) -> None:
    before = snapshot(installed.project)
    for arguments, said in REFUSED:
        assert said in installed.fail("config", *arguments, code=2, kind="usage")
    assert snapshot(installed.project) == before


def test_config_set_corrects_an_invalid_file_and_names_its_other_problems(
    installed: World,
) -> None:
    text = installed.file.read_text() + '[config]\nworkers = 0\n[graft]\nmethod = "tise"\n'
    installed.file.write_text(text)
    assert "tise" in installed.fail("config", "set", "workers", "2", code=1, kind="spec")
    assert installed.file.read_text() == text
    installed.ask("config", "set", "workers", "2", "graft.method", "ties")
    assert installed.ask("install")["generation"] == 2


def test_config_set_needs_a_project_or_the_option_user(world: World) -> None:
    assert "--user" in world.fail("config", "set", "workers", "2", code=1, kind="not_found")
    assert not list(world.project.iterdir())


def test_a_registry_s_password_is_not_printed(installed: World) -> None:
    done = installed.run("config", "set", "registry", "https://me:secret@example.org/skills")
    shown = installed.run("config", "get", "registry")
    assert "me:secret@" in installed.file.read_text()
    assert "secret" not in done.out + done.err + shown.out + shown.err


def test_config_set_waits_for_the_command_that_uses_the_project(installed: World) -> None:
    from skillpm.environment.project import ProjectFolder
    from skillpm.environment.transaction import writing

    project = ProjectFolder(installed.project)
    before = installed.file.read_text()
    with writing(project, "install", timeout=0, say=lambda _text: None):
        busy = run_process("config", "set", "workers", "2", "--no-wait", "--json")
    assert (busy.code, busy.error["kind"]) == (1, "state")
    assert "in use by" in busy.error["message"]
    assert installed.file.read_text() == before


def test_files_with_settings_keep_their_permissions(
    installed: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = tmp_path / "config.toml"
    monkeypatch.setenv("SKILLPM_CONFIG", str(user))
    installed.file.chmod(0o600)
    for mode in (0o600, 0o640):
        installed.ask("config", "set", "workers", "2")
        installed.ask("config", "set", "registry", "https://ada:secret@example.org", "--user")
        assert (stat.S_IMODE(user.stat().st_mode), stat.S_IMODE(installed.file.stat().st_mode)) == (
            mode, 0o600,
        )  # fmt: skip
        user.chmod(0o640)
        installed.ask("config", "unset", "registry", "--user")
