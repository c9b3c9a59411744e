"""`doctor` on the installation: other owners of `skillpm`, and the command on the PATH."""

import sys
import sysconfig
from pathlib import Path

import pytest

from skillpm.flows.upkeep.doctor_installation import examine_command, examine_installation


def distribution(site: Path, name: str, files: dict[str, str]) -> None:
    """The metadata of an installed distribution."""
    info = site / f"{name.replace('-', '_')}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    for file, text in files.items():
        (info / file).write_text(text)


def script(folder: Path, head: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "skillpm"
    path.write_text(f"{head}\nimport skillpm\n")
    path.chmod(0o755)
    return path


def test_no_other_distribution_owns_skillpm_here() -> None:
    (check,) = examine_installation()
    assert (check.status, check.hint) == ("ok", None)
    assert check.message.startswith("skillpm-graft ")
    assert f"imported from `{Path(__file__).parents[3] / 'skillpm'}`" in check.message


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("skillpm", {"RECORD": "skillpm/__init__.py,,\nskillpm-1.2.dist-info/RECORD,,\n"}),
        ("Skill.PM", {"entry_points.txt": "[console_scripts]\nskillpm = other:main\n"}),
        ("old-skills", {"top_level.txt": "other\nskillpm\n"}),
    ],
)
def test_another_distribution_that_owns_skillpm_is_named_with_its_removal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, files: dict[str, str]
) -> None:
    site = tmp_path / "site"
    distribution(site, name, files)
    distribution(site, "skillpm-tools", {"RECORD": "skillpm_tools/__init__.py,,\n"})
    distribution(site, "skillpm_graft", {"RECORD": "skillpm/__init__.py,,\n"})
    monkeypatch.syspath_prepend(str(site))
    (check,) = examine_installation()
    assert check.status == "warn"
    assert f"`{name}` 1.2 in `{site}` also installs `skillpm`" in check.message
    assert check.hint is not None
    assert check.hint.startswith(f"`{sys.executable} -m pip uninstall {name}`")


def test_the_first_command_on_the_path_must_run_this_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = script(tmp_path / "old", "#!/opt/old/bin/python3")
    own = script(tmp_path / "own", f"#!{Path(sys.executable).parent}/python3.99")
    long = script(tmp_path / "long", f"#!/bin/sh\n'''exec' '{sys.executable}' \"$0\" \"$@\"")
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path / "nowhere"))
    for first, status in ((old, "warn"), (own, "ok"), (long, "ok")):
        monkeypatch.setenv("PATH", f"{tmp_path}/missing:{first.parent}:{old.parent}")
        (check,) = examine_command()
        assert (check.status, f"`{first}`" in check.message) == (status, True)
    monkeypatch.setenv("PATH", str(old.parent))
    (check,) = examine_command()
    assert check.hint == f"remove `{old}` if it is an old one"


def test_a_command_that_is_not_on_the_path_gets_the_line_that_puts_it_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = script(tmp_path / "my bin", "#!python")
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(own.parent))
    monkeypatch.setenv("PATH", str(tmp_path))
    (check,) = examine_command()
    assert (check.status, check.message) == ("warn", f"`{own}` is not on the PATH")
    assert check.hint == f"`export PATH='{own.parent}':\"$PATH\"`"
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (own.parent / "activate").touch()
    (check,) = examine_command()
    assert check.hint == f"`source '{own.parent}/activate'`"
