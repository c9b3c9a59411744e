"""The checks of `skillpm doctor`."""

from pathlib import Path

import pytest
from plain_models import plain_tensors, write_plain, write_tuned
from skillpm_world import World, run_here

from skillpm.delta.kernels.choice import SETTINGS


@pytest.fixture
def made(world: World, tmp_path: Path) -> Path:
    base = write_plain(tmp_path / "base", plain_tensors())
    world.init(base)
    pack = world.pack((base, write_tuned(tmp_path / "tuned", "mlp")), "acme/x", "1.0.0")
    world.ask("install", pack)
    return pack


def test_doctor_calls_no_damaged_journal_completable(world: World, made: Path) -> None:
    del made
    journal = world.project / ".skillpm" / "journal.json"
    for damage in (b"{}", b"not json", b'{"number": 99}'):
        journal.write_bytes(damage)
        checks = {one["check"]: one for one in world.ask("doctor", code=1)["checks"]}
        assert checks["journal"]["status"] == "fail"
        assert "complete or undo" not in (checks["journal"]["hint"] or "")


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


def test_doctor_warns_of_a_folder_of_compiled_code_that_others_can_write(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SKILLPM_KERNELS", raising=False)
    folder = world.home / "kernels"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    check = _kernels(world)
    assert check["status"] == "warn"
    assert "compiled again by every command" in check["message"]
    assert str(folder) in check["hint"]


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
