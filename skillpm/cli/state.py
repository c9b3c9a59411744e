"""The global options, before or after the command, and the client that they make."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.api.callbacks import Callbacks
from skillpm.api.client import Client
from skillpm.api.options import Options, color_of
from skillpm.cli.output import can_ask, confirm, say
from skillpm.cli.types import FiniteRange, LocalPath, ModelPath
from skillpm.spec.config import COLORS, WORKER_LIMIT

if TYPE_CHECKING:
    from skillpm.api.project import Project
    from skillpm.cli.progress import Bars
    from skillpm.store.release_states import ReleaseStates
    from skillpm.store.verified_packs import VerifiedPacks


def _nothing() -> None:
    """Close no bars: none are shown yet."""


@dataclass
class State:
    """The values of the global options. An option given twice has the last value.

    `close_bars` removes progress bars from the terminal, before text is printed part by part.
    """

    json: bool = False
    quiet: bool = False
    project: Path | None = None
    registry: str | None = None
    base: Path | None = None
    offline: bool = False
    yes: bool = False
    color: str | None = None
    workers: int | None = None
    lock_timeout: float | None = None
    interrupted: bool = False
    terminated: bool = False
    close_bars: Callable[[], None] = _nothing
    alias: str | None = None

    @property
    def options(self) -> Options:
        """The session's options; None where an option was not given."""
        return Options(
            folder=self.project,
            registry=self.registry,
            base=self.base,
            offline=self.offline,
            color=self.color,
            workers=self.workers,
            lock_timeout=self.lock_timeout,
        )

    def say(self, text: str) -> None:
        """Print a note on stderr, unless `--quiet` is given."""
        if not self.quiet:
            say(text)

    def say_delay(self, text: str) -> None:
        """Print why a command takes longer than usual, unless `--quiet` or `--json` is given."""
        if not self.json:
            self.say(text)


def _keep(context: click.Context, option: click.Parameter, value: Any) -> Any:
    """Store an option that was given. Variables and config files are read later, in order."""
    state = context.find_root().ensure_object(State)
    name = option.name or ""
    if value is None or context.get_parameter_source(name) is click.core.ParameterSource.DEFAULT:
        return value
    if name == "no_color":
        state.color = "never"
    elif name == "no_wait":
        state.lock_timeout = 0.0
    else:
        setattr(state, name, value)
    return value


_PATH = LocalPath()


class GlobalOption(click.Option):
    """An option that every command has."""


def global_params(*, rare: bool = False) -> list[click.Parameter]:
    """The global options as parameters that store their values in the shared `State`.

    The `rare` ones work with every command, but only `skillpm --help` shows them.
    """
    value = partial(GlobalOption, expose_value=False, callback=_keep)
    flag = partial(value, is_flag=True)
    project = "Project folder (default: the current folder, or the nearest project above)."
    registry = "Registry, a path or URL (default: the project's, else the embedded one)."
    base = "Base: a model folder, or a cached Hugging Face id (default: the project's)."
    return [
        flag(["--json"], help="Print one JSON document on stdout."),
        flag(["-q", "--quiet"], help="Print only results and errors."),
        flag(["--no-color"], help="Print without colours."),
        value(["-C", "project"], metavar="DIR", type=_PATH, help=project),
        value(["--registry"], metavar="URL", help=registry),
        value(["--base"], metavar="MODEL", type=ModelPath(), help=base),
        flag(["--offline"], help="Do not use the network."),
        flag(["-y", "--yes"], help="Confirm without asking."),
        *_rare(partial(value, hidden=not rare)),
    ]


def _rare(value: "partial[GlobalOption]") -> list[click.Parameter]:
    return [
        value(
            ["--no-wait"],
            is_flag=True,
            help="Fail at once if another command uses the project.",
        ),
        value(
            ["--lock-timeout"],
            metavar="SECONDS",
            type=FiniteRange(min=0),
            help="Longest wait for another command (default: 600).",
        ),
        value(
            ["--color"],
            type=click.Choice(COLORS),
            help="When to print colours (default: auto).",
        ),
        value(
            ["--workers"],
            metavar="N",
            type=click.IntRange(1, WORKER_LIMIT),
            help="Threads for tensor work (default: number of cores, at least 2).",
        ),
    ]


class Command(click.Command):
    """A command that accepts the global options too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(global_params())
        # In a raw docstring, click's mark for text that is not wrapped is `\` and `b`.
        self.help = (self.help or "").replace("\\b\n", "\b\n")

    def invoke(self, ctx: click.Context) -> Any:
        """Print the hint of an alias, then run the command."""
        state: State = ctx.find_object(State) or State()
        if state.alias is not None:
            state.say(f"hint: {state.alias}")
        return super().invoke(ctx)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """The usage line, with the required options before the arguments."""
        head, *arguments = super().collect_usage_pieces(ctx)
        required = [
            f"{max(option.opts, key=len)} {option.make_metavar(ctx)}"
            for option in self.params
            if isinstance(option, click.Option) and option.required
        ]
        return [head, *required, *arguments]

    def format_arguments(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the arguments, each with its description."""
        arguments = [param for param in self.get_params(ctx) if isinstance(param, click.Argument)]
        _write_section(ctx, formatter, "Arguments", arguments)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, then those that every command has."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for title, shared in (("Options", False), ("Global options", True)):
            chosen = [option for option in options if isinstance(option, GlobalOption) == shared]
            _write_section(ctx, formatter, title, chosen)


def _write_section(
    ctx: click.Context,
    formatter: click.HelpFormatter,
    title: str,
    params: Sequence[click.Parameter],
) -> None:
    records = [record for param in params if (record := param.get_help_record(ctx)) is not None]
    if records:
        with formatter.section(title):
            formatter.write_dl(records)


def verified_packs(state: State) -> "VerifiedPacks":
    """The packs verified with this `SKILLPM_HOME`, for commands that open no session."""
    from skillpm.store.verified_packs import VerifiedPacks

    return VerifiedPacks(state.options.home_folder)


def release_states(state: State) -> "ReleaseStates":
    """The yanked and quarantined releases that registries last listed, without a session."""
    from skillpm.store.release_states import ReleaseStates

    return ReleaseStates(state.options.home_folder)


def command_client(state: State, *, timeout: float = inf) -> Client:
    """The client of a command, closed at its end. `timeout` limits a resolution, in seconds."""
    from skillpm.cli.progress import Bars
    from skillpm.delta.kernels.choice import notify_by

    on_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    shows_bars = on_terminal and not (state.quiet or state.json)
    bars = Bars(shown=shows_bars, color=color_of(state.options) if shows_bars else None)
    on_close = click.get_current_context().call_on_close
    state.close_bars = bars.close
    on_close(bars.close)
    notify_by(state.say_delay)
    callbacks = Callbacks(
        state.say, partial(_start_stage, bars), partial(ask_on_terminal, state), bars.plan
    )
    client = Client(state.options, callbacks, timeout=timeout)
    on_close(client.close)
    return client


def _start_stage(bars: "Bars", label: str, total: int) -> Callable[[int], None]:
    """Start a progress bar. Work on tensors starts with one, so the heap is prepared for it."""
    from skillpm.delta.tensors.heap import keep_freed_memory

    keep_freed_memory()
    return bars.start(label, total)


def command_project(state: State, *, timeout: float = inf) -> "Project":
    """The project of a command, which its methods read when they are called."""
    from skillpm.api.project import Project

    return Project(command_client(state, timeout=timeout))


def ask_on_terminal(state: State, question: str) -> bool | None:
    """Ask on the terminal; None with `--yes` or `--json`, or without a terminal."""
    if state.yes or state.json or not can_ask():
        return None
    return confirm(question)
