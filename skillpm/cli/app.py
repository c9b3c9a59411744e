"""The `skillpm` command group, and the translation of every failure into an exit code."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from skillpm.api.options import color_of
from skillpm.cli import habits, streams
from skillpm.cli.aliases import CommandGroup
from skillpm.cli.commands import Commands
from skillpm.cli.interrupts import INTERRUPTED, SENTENCE
from skillpm.cli.output import emit_lines, report
from skillpm.cli.state import State, global_params
from skillpm.cli.usage import usage_error
from skillpm.errors import SkillpmError, StateError
from skillpm.version import __version__


class InterruptedCommandError(SkillpmError):
    """A command was stopped by Ctrl-C or SIGTERM."""

    kind = "interrupted"
    exit_code = INTERRUPTED


@click.group(
    cls=CommandGroup,
    commands=Commands(),
    params=global_params(rare=True),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "--version", "-V", prog_name="skillpm")
def app() -> None:
    """Manage the skills of models like packages.

    Pack a fine-tune as a SkillPack, publish it, install it in a project with a lockfile, graft it
    onto the base model, and remove it again, bit for bit.
    """


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command, then exit with 0 or the exit code of its error family."""
    # Tensors are decoded in parallel threads, so each matrix product should use one core.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Otherwise pydantic looks for plugins in the metadata of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    arguments = list(sys.argv[1:] if argv is None else argv)
    instruction = os.environ.get(habits.COMPLETE)
    if instruction:
        sys.exit(habits.complete(app, instruction))
    state = State()
    streams.open_missing()
    try:
        with _terminated_as_interrupted(state):
            sys.exit(_run(arguments, state))
    except BrokenPipeError:
        streams.discard_stdout()
        sys.exit(1)


@contextmanager
def _terminated_as_interrupted(state: State) -> Iterator[None]:
    """Handle SIGTERM like Ctrl-C, so that the command cleans up.

    `state.interrupted` records the signal, because a library that is interrupted while it is
    imported may raise a different error. `state.terminated` is SIGTERM, which ends a conversation
    too. If the parent process ignores Ctrl-C, skillpm does too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        state.interrupted = True
        state.terminated = number == signal.SIGTERM
        signal.default_int_handler(number, frame)

    before = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGINT, signal.SIGTERM)
        if number == signal.SIGTERM or signal.getsignal(number) is signal.default_int_handler
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(arguments: list[str], state: State) -> int:
    try:
        check_working_folder()
        with app.make_context("skillpm", arguments, obj=state) as context:
            app.invoke(context)
        streams.flush_stdout()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as problem:
        emit_lines(problem.ctx.get_help() if problem.ctx else "", err=True)
        return 2
    except Exception as problem:  # noqa: BLE001 - every failure is reported here
        if state.interrupted and not isinstance(problem, BrokenPipeError):
            return _fail(InterruptedCommandError(SENTENCE), arguments, state)
        return _fail(_translated(problem), arguments, state)
    except KeyboardInterrupt:
        return _fail(InterruptedCommandError(SENTENCE), arguments, state)
    return 0


def check_working_folder() -> None:
    """Raise `StateError` if the working folder was deleted."""
    try:
        Path.cwd()
    except FileNotFoundError as problem:
        raise StateError("the working folder was deleted", hint="cd ~") from problem


def _fail(problem: SkillpmError, arguments: list[str], state: State) -> int:
    as_json = state.json or "--json" in arguments
    try:
        report(problem, as_json=as_json, color=color_of(state.options))
    except BrokenPipeError:
        raise
    except OSError:  # stdout cannot be written, so the error goes to stderr
        streams.discard_stdout()
        report(problem, as_json=False, color=color_of(state.options))
    return problem.exit_code


def _translated(problem: Exception) -> SkillpmError:
    """Convert any exception to a `SkillpmError`; an unexpected one is reported as a bug."""
    if isinstance(problem, BrokenPipeError):
        raise problem
    if isinstance(problem, SkillpmError):
        return problem
    if isinstance(problem, click.Abort):
        return InterruptedCommandError(SENTENCE)
    if isinstance(problem, click.ClickException):
        return usage_error(problem)
    if isinstance(problem, OSError):
        where = f"`{problem.filename}`: " if problem.filename else ""
        return StateError(f"{where}{problem.strerror or problem}")
    if os.environ.get("SKILLPM_DEBUG"):
        raise problem
    return SkillpmError(
        f"a bug in skillpm: {type(problem).__name__}: {problem}",
        hint="run it again with SKILLPM_DEBUG=1, and report what it prints",
    )
