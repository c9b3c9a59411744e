"""The global options, wherever they stand on the command line, and the setting they make."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.cli.output import say
from skillpm.errors import RegistryError, UsageError

if TYPE_CHECKING:
    from skillpm.flows.setting import Setting
    from skillpm.index.ports import Index

_WORKERS = 2
_LOCK_TIMEOUT = 600.0


@dataclass
class State:
    """What the global options say; later ones win."""

    json: bool = False
    quiet: bool = False
    no_color: bool = False
    project: Path = Path()
    registry: str | None = None
    base: Path | None = None
    offline: bool = False
    yes: bool = False

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self.project.expanduser().absolute()

    def say(self, text: str) -> None:
        """A note for people, unless they asked for quiet."""
        if not self.quiet:
            say(text)


def _keep(context: click.Context, option: click.Parameter, value: Any) -> Any:
    state = context.find_root().ensure_object(State)
    source = context.get_parameter_source(option.name or "")
    if value is not None and source is not click.core.ParameterSource.DEFAULT:
        setattr(state, option.name or "", value)
        if option.name == "no_color" and value:
            context.find_root().color = False
    return value


_PATH = click.Path(path_type=Path)


def global_params() -> list[click.Parameter]:
    """The global options, as parameters whose values go to the shared `State`."""
    flag: dict[str, Any] = {"is_flag": True, "expose_value": False, "callback": _keep}
    value: dict[str, Any] = {"expose_value": False, "callback": _keep}
    return [
        click.Option(["--json"], help="Print one JSON document on stdout.", **flag),
        click.Option(["-q", "--quiet"], help="Say nothing but results and errors.", **flag),
        click.Option(["--no-color"], help="Print without colours.", **flag),
        click.Option(
            ["-C", "project"],
            metavar="DIR",
            type=_PATH,
            help="The project (default: here).",
            **value,
        ),
        click.Option(
            ["--registry"],
            metavar="URL",
            envvar="SKILLPM_REGISTRY",
            help="The default registry.",
            **value,
        ),
        click.Option(
            ["--base"],
            metavar="PATH",
            type=_PATH,
            envvar="SKILLPM_BASE",
            help="Where the base lies.",
            **value,
        ),
        click.Option(["--offline"], help="Do not use the network.", **flag),
        click.Option(["-y", "--yes"], help="Do not ask.", **flag),
    ]


class Command(click.Command):
    """A command that takes the global options too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(global_params())
        # A raw docstring holds click's mark for "do not wrap" as two characters.
        self.help = (self.help or "").replace("\\b\n", "\b\n")


def home() -> Path:
    """`SKILLPM_HOME`, or the platform's data folder."""
    import platformdirs

    named = os.environ.get("SKILLPM_HOME")
    return Path(named).expanduser() if named else platformdirs.user_data_path("skillpm")


def make_setting(state: State, *, timeout: float = inf) -> "Setting":
    """The setting that a flow runs in; a search for a solution takes `timeout` seconds at most."""
    from skillpm.cli.progress import Bars
    from skillpm.flows.setting import Setting
    from skillpm.resolver.patience import Patience

    now = datetime.now(UTC)
    bars = Bars(shown=sys.stderr.isatty() and not (state.quiet or state.json))
    context = click.get_current_context()
    context.call_on_close(bars.close)
    return Setting(
        home=home().absolute(),
        project=state.folder,
        registry=state.registry,
        base=state.base,
        offline=state.offline,
        now=now,
        created=_epoch() or now,
        workers=max(_WORKERS, min(os.cpu_count() or 1, 8)),
        lock_timeout=_seconds("SKILLPM_LOCK_TIMEOUT", _LOCK_TIMEOUT),
        say=state.say,
        progress=bars.start,
        connect=_connector(state, context),
        patience=lambda: Patience.starting(time.monotonic, timeout),
    )


def _connector(state: State, context: click.Context) -> "Callable[[str, bool], Index]":
    opened: dict[tuple[str, bool], Index] = {}

    def connect(url: str, create: bool) -> "Index":  # noqa: FBT001 - one switch, named by its type
        from skillpm.index.empty import EmptyIndex
        from skillpm.index.open import folder_of, open_index

        folder = folder_of(url)
        if folder is None and state.offline:
            raise RegistryError(f"`{url}` is not asked: `--offline` forbids the network")
        if folder == home().absolute() / "registry" and not folder.exists() and not create:
            return EmptyIndex()
        key = (url, create)
        if key not in opened:
            opened[key] = open_index(url, create=create)
            context.call_on_close(opened[key].close)
        return opened[key]

    return connect


def _epoch() -> datetime | None:
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    try:
        return datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError) as problem:
        raise UsageError(
            f"SOURCE_DATE_EPOCH should be seconds since 1970, is {text!r}"
        ) from problem


def _seconds(name: str, default: float) -> float:
    try:
        return float(os.environ.get(name, default))
    except ValueError as problem:
        raise UsageError(f"{name} should be a number of seconds") from problem
