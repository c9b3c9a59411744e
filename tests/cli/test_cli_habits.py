"""Conventions of command lines: colours, completion, signals, configuration, doctor."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from skillpm_world import (
    PACKAGES,
    World,
    run_here,
    run_process,
    snapshot,
    start_process,
)

from skillpm.cli.app import app
from skillpm.cli.progress import Bars

RED = "\x1b[31m"


def _leaves(group: click.Group, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        path = (*prefix, name)
        found.extend(_leaves(command, path) if isinstance(command, click.Group) else [path])
    return found


def _examples(command: tuple[str, ...]) -> list[list[str]]:
    text = run_here(*command, "--help").out
    whole = re.sub(r"\\\n\s+", " ", text)
    lines = [line.strip() for line in whole.splitlines() if line.startswith("    skillpm ")]
    return [shlex.split(line.partition(" > ")[0])[1:] for line in lines]


@pytest.mark.parametrize("command", _leaves(app), ids=" ".join)
def test_every_command_has_parseable_examples_and_documented_options(
    world: World, command: tuple[str, ...]
) -> None:
    examples = [one for one in _examples(command) if tuple(one[: len(command)]) == command]
    assert examples
    for example in examples:
        for word in example:
            if word.endswith((".jsonl", ".toml", ".txt")) and not Path(word).is_absolute():
                Path(word).touch()
            elif word == "./team-registry":
                Path(word).mkdir(exist_ok=True)
        context = app.make_context("skillpm", list(example))
        found: click.Command = app
        rest = example
        while isinstance(found, click.Group):
            name, inner, rest = found.resolve_command(context, rest)
            assert inner is not None
            context = inner.make_context(name, list(rest), parent=context)
            found = inner
        assert found.short_help or found.help
        for option in found.params:
            if isinstance(option, click.Option):
                assert option.help or option.hidden, option.name


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (("instal",), "install"),
        (("registry", "int"), "init"),
        (("list", "--jsno"), "--json"),
        (("uninstall", "acme/mahts"), "acme/math"),
        (("upgrade", "acme/mth"), "acme/math"),
        (("install", "acme/maths"), "acme/math"),
        (("show", "acme/maths"), "acme/math"),
        (("graft", "--ony", "acme/math"), "--only"),
    ],
)
def test_misspelled_word_gets_the_nearest_suggestion(
    installed: World, words: tuple[str, ...], nearest: str
) -> None:
    outcome = installed.run(*words)
    assert outcome.code in (2, 4)
    assert "id you mean" in outcome.err
    assert nearest in outcome.err


@pytest.mark.parametrize(
    ("environment", "more", "colored"),
    [
        ({}, (), False),
        ({"FORCE_COLOR": "1"}, (), True),
        ({"FORCE_COLOR": "0"}, (), False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, (), False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, (), True),
        ({"SKILLPM_COLOR": "always"}, (), True),
        ({"SKILLPM_COLOR": "always"}, ("--no-color",), False),
        ({"NO_COLOR": "1"}, ("--color", "always"), True),
        ({"NO_COLOR": ""}, ("--color", "always"), True),
        ({"SKILLPM_COLOR": "purple"}, (), False),
    ],
)
def test_color_follows_flag_then_variables(
    world: World,
    environment: dict[str, str],
    more: tuple[str, ...],
    colored: bool,  # noqa: FBT001 - a case
) -> None:
    outcome = run_process("list", *more, **environment)
    assert outcome.code == 1
    assert (RED in outcome.err) == colored
    assert RED not in outcome.out


def _on_a_terminal(*command: str, **environment: str) -> str:
    """The output of a command on a terminal."""
    import pty

    reading, writing = pty.openpty()
    clean = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR"}}
    subprocess.run(
        [sys.executable, "-m", "skillpm", *command],
        env={**clean, "PYTHONPATH": PACKAGES, **environment},
        stdout=writing, stderr=writing, stdin=writing, check=False,
    )  # fmt: skip
    os.close(writing)
    said = b""
    try:
        while piece := os.read(reading, 65536):
            said += piece
    except OSError:
        pass
    os.close(reading)
    return said.decode()


def test_terminal_output_has_color_unless_the_terminal_is_dumb(world: World) -> None:
    assert RED in _on_a_terminal("list", TERM="xterm")
    assert "\x1b" not in _on_a_terminal("list", TERM="dumb")
    assert "\x1b" not in _on_a_terminal("list", TERM="xterm", NO_COLOR="1")


def test_progress_bars_respect_dumb_terminals_and_disabled_color(
    installed: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "\x1b" not in _on_a_terminal("graft", "--workers", "1", TERM="dumb")
    bars = Bars(shown=True, color=False)
    bars.start("hashing", 10)(10)
    bars.close()
    assert RED not in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [("list",), ("list", "--json"), ("--help",), ("nonsense", "--json"), ("doctor",)]
)
def test_closed_pipe_is_silent(installed: World, command: tuple[str, ...]) -> None:
    line = shlex.join([sys.executable, "-m", "skillpm", *command])
    ran = subprocess.run(
        ["bash", "-c", f"{line} | head -0; echo ${{PIPESTATUS[0]}}"],
        env={**os.environ, "PYTHONPATH": PACKAGES},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stderr == ""
    assert int(ran.stdout) in (0, 1, 2)


def _complete(shell: str, words: str) -> list[str]:
    given = {"COMP_WORDS": words, "COMP_CWORD": str(len(shlex.split(words)) - words.endswith("=X"))}
    if words.endswith(" "):
        given["COMP_CWORD"] = str(len(shlex.split(words)))
    else:
        given["COMP_CWORD"] = str(len(shlex.split(words)) - 1)
    if shell == "fish":
        given["COMP_CWORD"] = "" if words.endswith(" ") else shlex.split(words)[-1]
    outcome = run_process(_SKILLPM_COMPLETE=f"{shell}_complete", **given)
    assert (outcome.code, outcome.err) == (0, "")
    return outcome.out.split()


def test_shells_complete_commands_options_skills_and_files(installed: World) -> None:
    assert "plain,uninstall" in _complete("bash", "skillpm unin")
    assert "plain,--frozen" in _complete("bash", "skillpm install --fr")
    for command in ("uninstall", "upgrade", "show", "graft --only"):
        assert _complete("bash", f"skillpm {command} ac") == ["plain,acme/math"], command
    assert _complete("bash", "skillpm install ac") == ["plain,acme/math"]
    assert _complete("bash", "skillpm install ./x") == ["file,./x"]
    assert _complete("bash", "skillpm apply p") == ["file,p"]
    assert _complete("bash", "skillpm uninstall zz") == []
    assert "acme/math" in _complete("zsh", "skillpm uninstall ac")
    assert _complete("fish", "skillpm uninstall ac") == ["plain,acme/math"]
    (installed.project / "skillpm.toml").write_text("[")
    (installed.project / ".skillpm" / "current").write_text("x")
    assert _complete("bash", "skillpm uninstall ac") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(world: World, shell: str) -> None:
    script = world.run("completion", shell).out
    assert f"_SKILLPM_COMPLETE={shell}_complete" in script
    assert world.ask("completion", shell)["script"] + "\n" == script
    assert run_process(_SKILLPM_COMPLETE=f"{shell}_source").out == script
    world.fail("completion", "tcsh", code=2, kind="usage")
    assert run_process(_SKILLPM_COMPLETE="tcsh_source").code == 2
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_a_waiting_command_and_changes_nothing(
    installed: World, sent: signal.Signals
) -> None:
    import fcntl

    before = snapshot(installed.project)
    with (installed.project / ".skillpm" / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with start_process("uninstall", "acme/math", "--json") as process:
            assert process.stderr is not None
            assert "waiting for" in process.stderr.readline()
            started = time.monotonic()
            process.send_signal(sent)
            out, err = process.communicate(timeout=20)
    assert time.monotonic() - started < 10, "the lock is waited for much longer"
    assert process.returncode == 130
    assert json.loads(out)["error"]["kind"] == "interrupted"
    assert "Traceback" not in err
    assert snapshot(installed.project) == before
    assert installed.ask("uninstall", "acme/math")["generation"] == 2


def test_signal_at_any_time_gives_no_traceback(installed: World) -> None:
    before = snapshot(installed.project)
    for delay in (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3):
        with start_process("install", "--dry-run") as process:
            time.sleep(delay)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=20)
        # Before the first line of skillpm runs, Python handles the signal.
        if "skillpm/cli" in err or process.returncode not in (1, -signal.SIGINT):
            assert process.returncode in (0, 130), err
            assert "Traceback" not in err
    assert snapshot(installed.project) == before


def test_no_wait_fails_immediately_and_names_the_holder(installed: World) -> None:
    import fcntl

    with (installed.project / ".skillpm" / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        text = installed.fail("graft", "--no-wait", code=1, kind="state")
        assert "in use by" in text
        installed.fail("graft", "--lock-timeout", "0.1", code=1, kind="state")
