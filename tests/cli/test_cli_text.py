"""The text output of every command without `--json`, and the output of each kind of failure."""

import io
import runpy
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from rich.console import Console
from skillpm_world import World, run_here, run_process
from tiny_models import Models, Pair

from skillpm.cli.app import app
from skillpm.cli.params import SKILL
from skillpm.cli.progress import Bars
from skillpm.spec.names import SkillName


@pytest.fixture
def pair(models: Models) -> Pair:
    return models.tuned("mlp")


def _text(world: World, *arguments: object, code: int = 0) -> str:
    outcome = world.run(*arguments)
    assert outcome.code == code, outcome
    return outcome.out


def test_identify_lists_the_tensors_that_differ_and_their_distance(
    world: World, pair: Pair
) -> None:
    base, tuned = pair
    assert "root          sha256:" in _text(world, "identify", base)
    assert "no tensor differs" in _text(world, "identify", base, "--against", base)
    text = _text(world, "identify", tuned, "--against", base)
    assert "6 tensors differ" in text
    assert "model.layers.0.mlp.down_proj.weight" in text
    differences = world.ask("identify", tuned, "--against", base)["differences"]
    assert {one["change"] for one in differences} == {"changed"}
    assert all(0 < one["relative"] < 2 for one in differences)


def test_init_in_a_folder_that_is_missing_names_it(world: World, pair: Pair) -> None:
    said = world.fail("init", "-C", "absent", "--base", pair[0], code=1, kind="not_found")
    assert "there is no folder" in said
    assert f"`mkdir {world.project / 'absent'}`" in said
    assert not (world.project / "absent").exists()


def test_lossy_pack_reports_its_relative_error(world: World, pair: Pair) -> None:
    named = ("--name", "acme/math", "--version", "1.0.0", "--scheme", "graftllm", "--energy", "0.5")
    text = _text(world, "pack", *pair, *named)
    assert "times smaller, graftllm)" in text
    assert "\n  relative error 0." in text
    path = world.project / "acme-math-1.0.0.skillpack"
    text = _text(world, "inspect", path)
    assert "mlp" in text
    assert "of the changed weights\n" in text
    text = _text(world, "verify", path, "--base", pair[0])
    assert "is intact" in text
    assert "base + pack has the root in the manifest" in text


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--version", "1.0.0", "--energy", "0.5"), "--scheme graftllm"),
        (("--version", "1.0.0+build"), "build metadata"),
    ],
)
def test_conflicting_options_of_pack_are_usage_errors(
    world: World, pair: Pair, more: tuple[str, ...], said: str
) -> None:
    assert said in world.fail("pack", *pair, "--name", "acme/math", *more, code=2, kind="usage")


def test_text_output_of_a_project_from_init_to_graft(world: World, pair: Pair) -> None:
    assert "the registry has no releases" in world.run("search").err
    assert "created a project" in _text(world, "init", "--base", pair[0])
    assert "no skills are installed" in _text(world, "list")
    path = world.pack(pair, "acme/math", "1.0.0", "--summary", "adds up")
    assert "published acme/math 1.0.0" in _text(world, "publish", path)
    assert "already published" in _text(world, "publish", path)
    assert "no skill matches" in world.run("search", "cooking").err
    assert "adds up" in _text(world, "search", "math")
    assert " + acme/math 1.0.0" in _text(world, "install", "acme/math", "--dry-run")
    assert "generation 1 is current: 1 skill" in _text(world, "install", "acme/math")
    assert "nothing to change" in _text(world, "install")
    assert "skillpm.lock is up to date" in _text(world, "lock")
    assert "acme/math    1.0.0  lossless" in _text(world, "list")
    assert "the base without skills" not in _text(world, "graft")
    assert "no findings of level high or higher" in _text(world, "audit")
    assert "unsigned" in world.run("audit", "--fail-on", "low").out
    assert "yanked acme/math" in _text(world, "yank", "acme/math@1.0.0")
    assert "yanked" in _text(world, "audit", code=3)
    assert "unyanked" in _text(world, "unyank", "acme/math@1.0.0")
    wish = '"acme/math" = { version = "^1.0.0", weight = 0.5 }'
    world.file.write_text(world.file.read_text().replace('"acme/math" = "^1.0.0"', wish))
    assert "is out of date" in _text(world, "lock", "--check", code=1)
    assert "updated skillpm.lock" in _text(world, "lock")
    assert " ~ acme/math 1.0.0" in _text(world, "install")
    assert "acme/math 1.0.0 (weight 1.0 -> 0.5)" in _text(world, "diff", 1, 2)
    assert " - acme/math 1.0.0" in _text(world, "uninstall", "acme/math")
    assert " - acme/math 1.0.0" in _text(world, "diff", 2, 3)
    assert " + acme/math 1.0.0" in _text(world, "diff", 0, 1)
    assert "no differences" in _text(world, "diff", 0, 3)
    assert "uninstall acme/math" in _text(world, "history")
    assert "the base without skills" in _text(world, "graft")
    assert "created a registry in" in _text(world, "registry", "init", "ours")


def test_quiet_prints_only_results(world: World, pair: Pair) -> None:
    world.init(pair[0])
    (world.project / "skillpm.lock").unlink()
    assert world.run("install", "-q").err == ""
    (world.project / "skillpm.lock").unlink()
    assert "re-locked" in world.run("install").err


def test_resolve_lists_the_resolution(world: World) -> None:
    index = world.folder / "index.json"
    index.write_text('{"skills": {"acme/math": {"1.0.0": {}}}}')
    assert _text(world, "resolve", "--index", index, "acme/math") == "acme/math 1.0.0\n"


@pytest.mark.parametrize(
    ("name", "value"), [("SKILLPM_LOCK_TIMEOUT", "soon"), ("SOURCE_DATE_EPOCH", "1970-01-01")]
)
def test_variable_that_is_not_a_number_is_a_usage_error(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert name in world.fail("search", code=2, kind="usage")


def test_offline_refuses_registries_on_the_network(world: World) -> None:
    url = ("--registry", "https://example.com/x")
    assert "--offline" in world.fail("search", "--offline", *url, code=5, kind="registry")
    world.fail("search", "--registry", "file://host/x", code=2, kind="usage")


def _interrupt() -> None:
    raise KeyboardInterrupt


def _abort() -> None:
    raise click.Abort


def _bug() -> None:
    raise LookupError("unexpected")


def _disk() -> None:
    raise OSError(28, "No space left on device", "/full")


@pytest.fixture
def failing() -> Iterator[None]:
    """Commands that end in each way that no command should."""
    commands = {"x-interrupt": _interrupt, "x-abort": _abort, "x-bug": _bug, "x-disk": _disk}
    for name, callback in commands.items():
        app.add_command(click.Command(name, callback=callback))
    yield
    for name in commands:
        del app.commands[name]


@pytest.mark.usefixtures("failing")
def test_every_failure_exits_with_its_code(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in ("x-interrupt", "x-abort"):
        outcome = run_here("--json", command)
        assert (outcome.code, outcome.error["kind"]) == (130, "interrupted")
    outcome = run_here("--json", "x-disk")
    assert (outcome.code, outcome.error["kind"]) == (1, "state")
    assert outcome.error["message"] == "`/full`: No space left on device"
    outcome = run_here("--json", "x-bug")
    assert (outcome.code, outcome.error["kind"]) == (1, "internal")
    assert "SKILLPM_DEBUG" in outcome.error["hint"]
    monkeypatch.setenv("SKILLPM_DEBUG", "1")
    with pytest.raises(LookupError):
        run_here("x-bug")


def test_missing_command_shows_the_help_as_a_usage_error() -> None:
    for arguments in ((), ("registry",)):
        outcome = run_here(*arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert "Usage: skillpm" in outcome.err


def test_parsed_value_is_returned_unchanged() -> None:
    name = SkillName.parse("acme/math")
    assert SKILL.convert(name, None, None) is name


def test_bars_are_drawn_only_if_shown(capsys: pytest.CaptureFixture[str]) -> None:
    hidden = Bars(shown=False)
    hidden.start("hashing", 10)(5)
    hidden.close()
    assert capsys.readouterr().err == ""
    bars = Bars(shown=True)
    for label in ("hashing", "grafting"):
        bars.start(label, 10)(10)
    bars.close()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.strip() == ""


def test_repeated_stage_extends_its_bar_in_its_own_unit() -> None:
    bars = Bars(shown=True)
    for total in (2_000_000, 4_000_000):
        bars.start("composing", total)(total)
        bars.start("probe items", total // 1_000_000)(1)
    assert bars._progress is not None
    shown = Console(width=120, file=io.StringIO(), record=True)
    shown.print(bars._progress)
    bars.close()
    lines = shown.export_text().splitlines()
    assert len(lines) == 2
    assert "6.0/6.0 MB" in lines[0]
    assert "2/6" in lines[1]
    assert "/s" not in lines[1]


def test_empty_skillpm_home_selects_the_platform_folder(world: World, tmp_path: Path) -> None:
    outcome = run_process(
        "search", SKILLPM_HOME="", XDG_DATA_HOME=str(tmp_path), HOME=str(tmp_path)
    )
    assert (outcome.code, outcome.out) == (0, "")


def test_module_runs_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["skillpm", "--version"])
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("skillpm", run_name="__main__")
    finally:
        signal.signal(signal.SIGINT, handler)  # a process that ends ignores it
    assert ended.value.code == 0


def test_route_explains_why_the_base_is_chosen(world: World, pair: Pair) -> None:
    world.init(pair[0])
    outcome = world.run("route", "what is 12 times 12?")
    assert outcome.out == "(base)\n"
    assert "no installed skill has a router signature" in outcome.err
    assert "pack --router" in outcome.err
