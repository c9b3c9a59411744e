"""The checks of `skillpm doctor`."""

import os
import shutil
from pathlib import Path

import pytest
from plain_models import plain_tensors, write_plain, write_tuned
from skillpm_world import World, run_here

from skillpm.delta.kernels.cache import version_name
from skillpm.delta.kernels.choice import SETTINGS


@pytest.fixture
def made(world: World, tmp_path: Path) -> Path:
    base = write_plain(tmp_path / "base", plain_tensors())
    world.init(base)
    pack = world.pack((base, write_tuned(tmp_path / "tuned", "mlp")), "acme/x", "1.0.0")
    world.ask("install", pack)
    return pack


def test_doctor_reports_a_damaged_journal_as_not_completable(world: World, made: Path) -> None:
    del made
    journal = world.project / ".skillpm" / "journal.json"
    for damage in (b"{}", b"not json", b'{"number": 99}'):
        journal.write_bytes(damage)
        checks = {one["check"]: one for one in world.ask("doctor", code=1)["checks"]}
        assert checks["journal"]["status"] == "fail"
        assert "complete or undo" not in (checks["journal"]["hint"] or "")


def remove(place: Path) -> None:
    shutil.rmtree(place) if place.is_dir() else place.unlink()


def _kernels(world: World) -> dict[str, str]:
    checks: list[dict[str, str]] = world.ask("doctor")["checks"]
    return next(check for check in checks if check["check"] == "kernels")


def test_doctor_reports_what_runs_the_inner_loops(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SKILLPM_KERNELS", raising=False)
    assert _kernels(world)["status"] == "ok"
    assert "0 compiled functions in" in _kernels(world)["message"]
    monkeypatch.setenv("SKILLPM_KERNELS", "numpy")
    assert _kernels(world)["message"] == "numpy, as SKILLPM_KERNELS demands"


@pytest.mark.parametrize("name", [".", version_name()], ids=["all versions", "this version"])
@pytest.mark.parametrize("why", ["mode", "owner", "kind"])
def test_doctor_warns_of_a_folder_of_compiled_code_that_is_not_private(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    monkeypatch.delenv("SKILLPM_KERNELS", raising=False)
    if why == "owner" and os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    world.home.mkdir()
    (world.home / "kernels").mkdir(mode=0o700)
    folder = world.home / "kernels" / name
    folder.mkdir(mode=0o700, exist_ok=True)
    if why == "mode":
        folder.chmod(0o755)
    elif why == "owner":
        os.chown(folder, 1234, -1)
    else:
        folder.rmdir()
        folder.touch()
    check = _kernels(world)
    assert check["status"] == "warn"
    assert check["message"].endswith(f"compiled again by every command: `{folder}` is not private")
    remedy = f"`chmod 700 {folder}`" if why == "mode" else f"remove `{folder}`"
    assert check["hint"].startswith(remedy)
    folder.chmod(0o700) if why == "mode" else remove(folder)
    assert _kernels(world)["status"] == "ok"


def test_doctor_sends_readers_of_an_exposed_home_to_its_own_check(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SKILLPM_KERNELS", raising=False)
    world.home.mkdir()
    world.home.chmod(0o777)
    checks = {check["check"]: check for check in world.ask("doctor")["checks"]}
    assert checks["kernels"]["hint"] == "the check `access` names the folder to change"
    assert checks["access"]["hint"] == f"`chmod go-w {world.home}`"


@pytest.mark.parametrize(
    ("options", "heard"), [((), "compiling\n"), (("--quiet",), ""), (("--json",), "")]
)
def test_the_notice_of_compiling_is_for_readers_only(
    world: World, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], heard: str
) -> None:
    assert run_here("doctor", *options).code == 0
    assert world.home == SETTINGS.home
    SETTINGS.say("compiling")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", heard)


def test_doctor_says_that_a_registry_is_on_a_network_file_system(
    world: World, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ask("publish", made)

    def found() -> list[tuple[str, str]]:
        checks = world.ask("doctor")["checks"]
        return [(c["status"], c["message"]) for c in checks if c["check"] == "registry"]

    assert [status for status, _ in found()] == ["ok"]
    monkeypatch.setattr("skillpm_registry.db.disk._NETWORK", ("",))  # Every kind of file system.
    (_, listed), (status, message) = found()

    assert status == "warn"
    assert "journal mode is DELETE" in message
    assert "1 skill" in listed
