"""The global options, wherever they stand on the command line, and the session they open."""

import os
import sys
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.api.options import Options, color_of
from skillpm.api.session import open_session
from skillpm.cli.output import can_ask, confirm, say
from skillpm.cli.types import FiniteRange, LocalPath
from skillpm.spec.config import COLORS, WORKER_LIMIT

if TYPE_CHECKING:
    from skillpm.flows.session.session import Session
    from skillpm.store.verified import VerifiedPacks


@dataclass
class State:
    """What the global options say; later ones win."""

    json: bool = False
    quiet: bool = False
    project: Path = Path()
    registry: str | None = None
    base: Path | None = None
    offline: bool = False
    yes: bool = False
    color: str | None = None
    workers: int | None = None
    lock_timeout: float | None = None
    interrupted: bool = False

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self.project.expanduser().absolute()

    @property
    def options(self) -> Options:
        """The options of a session, as the flags say them."""
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
        """A note for people, unless they asked for quiet."""
        if not self.quiet:
            say(text)


def _keep(context: click.Context, option: click.Parameter, value: Any) -> Any:
    """Keep what a flag says: variables and files are asked later, in their order."""
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


def global_params(*, rare: bool = False) -> list[click.Parameter]:
    """The global options, as parameters whose values go to the shared `State`.

    The `rare` ones work everywhere, and stand in the help of `skillpm` alone.
    """
    flag: dict[str, Any] = {"is_flag": True, "expose_value": False, "callback": _keep}
    value: dict[str, Any] = {"expose_value": False, "callback": _keep}
    seldom = {**value, "hidden": not rare}
    here, base = "The project (default: here).", "Where the base lies."
    return [
        click.Option(["--json"], help="Print one JSON document on stdout.", **flag),
        click.Option(["-q", "--quiet"], help="Say nothing but results and errors.", **flag),
        click.Option(["--no-color"], help="Print without colours.", **flag),
        click.Option(["-C", "project"], metavar="DIR", type=_PATH, help=here, **value),
        click.Option(["--registry"], metavar="URL", help="The default registry.", **value),
        click.Option(["--base"], metavar="PATH", type=_PATH, help=base, **value),
        click.Option(["--offline"], help="Do not use the network.", **flag),
        click.Option(["-y", "--yes"], help="Do not ask.", **flag),
        *_rare(flag, seldom, shown=rare),
    ]


def _rare(flag: dict[str, Any], seldom: dict[str, Any], *, shown: bool) -> list[click.Parameter]:
    return [
        click.Option(
            ["--no-wait"],
            help="Fail at once where another command holds the project.",
            **{**flag, "hidden": not shown},
        ),
        click.Option(
            ["--lock-timeout"],
            metavar="SECONDS",
            type=FiniteRange(min=0),
            help="How long to wait for another command (600).",
            **seldom,
        ),
        click.Option(
            ["--color"],
            type=click.Choice(COLORS),
            help="When to print colours (auto).",
            **seldom,
        ),
        click.Option(
            ["--workers"],
            metavar="N",
            type=click.IntRange(1, WORKER_LIMIT),
            help="Threads for tensor work (up to 8, by the cores).",
            **seldom,
        ),
    ]


class Command(click.Command):
    """A command that takes the global options too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(global_params())
        # A raw docstring holds click's mark for "do not wrap" as two characters.
        self.help = (self.help or "").replace("\\b\n", "\b\n")


def verified_packs(state: State) -> "VerifiedPacks":
    """The packs that this home has verified, for commands that need nothing else of a session."""
    from skillpm.store.verified import VerifiedPacks

    return VerifiedPacks(state.options.home_folder)


def command_session(state: State, *, timeout: float = inf) -> "Session":
    """The session of this command; `timeout` is in seconds, for one dependency resolution."""
    from skillpm.cli.progress import Bars

    on_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    shown = on_terminal and not (state.quiet or state.json)
    bars = Bars(shown=shown, color=color_of(state.options))
    on_close = click.get_current_context().call_on_close
    on_close(bars.close)
    return open_session(
        state.options,
        on_close,
        say=state.say,
        progress=bars.start,
        confirm=partial(_confirm, state),
        timeout=timeout,
    )


def _confirm(state: State, question: str) -> bool | None:
    """Ask on a terminal; None under `-y`, with `--json`, and where there is no terminal."""
    if state.yes or state.json or not can_ask():
        return None
    return confirm(question)
