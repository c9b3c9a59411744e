"""`--device`: the device for the models of guard and tuning only."""

from pathlib import Path

import pytest
from skillpm_world import World
from tiny_learners import MATH_PROBES, Learners, write_probes


@pytest.mark.parametrize(
    ("command", "runs"),
    [
        (("install",), "--guard"),
        (("install", "--from", "x.skillbundle"), "--guard"),
        (("upgrade",), "--guard"),
        (("rollback",), "--guard"),
        (("apply", "-"), "--guard"),
        (("graft",), "--tune"),
    ],
)
def test_device_without_an_option_that_runs_a_model_is_refused(
    installed: World, command: tuple[str, ...], runs: str
) -> None:
    said = installed.fail(*command, "--device", "cpu", code=2, kind="usage")
    assert f"add `{runs}`" in said


def test_tune_options_require_tune_and_exclude_graft_options(
    installed: World,
) -> None:
    said = installed.fail("graft", "--budget", "5", code=2, kind="usage")
    assert "add `--tune`" in said
    said = installed.fail("graft", "--tune", "--fresh", code=2, kind="usage")
    assert "`--tune` and `--fresh`" in said


@pytest.fixture
def learnt(world: World, learners: Learners) -> Path:
    """A pack with probes, installed; another pack to install."""
    probes = write_probes(world.folder / "math.jsonl", MATH_PROBES)
    world.init(learners.base)
    world.ask("install", learners.pack(world, "math", "--probes", probes), "--guard")
    return learners.pack(world, "gentle")


def test_guard_probe_and_tune_run_on_the_named_device(world: World, learnt: Path) -> None:
    nowhere = ("--device", "nowhere")
    said = world.fail("probe", *nowhere, code=1, kind="graft")
    assert "cannot run on the device 'nowhere'" in said
    assert "config.json" not in said
    assert "nowhere" in world.fail("graft", "--tune", *nowhere, code=1, kind="graft")
    for more in ((), ("--dry-run",)):
        command = ("install", learnt, "--guard", *nowhere, *more)
        assert "nowhere" in world.fail(*command, code=1, kind="graft")
    assert world.ask("graft", "--tune", "--budget", "1", "--device", "cpu")["trials"] == 1
    assert world.ask("install", learnt, "--guard", "--device", "cpu")["generation"] == 2
