"""The global options, wherever they stand on the command line, and the setting they make."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.cli.output import clean_lines, say
from skillpm.errors import RegistryError, UsageError
from skillpm.spec.config import COLORS, WORKER_LIMIT, Chosen

if TYPE_CHECKING:
    from skillpm.flows.setting import Advance, Setting
    from skillpm.index.ports import Index
    from skillpm.spec.lockfile import Lockfile
    from skillpm.spec.nearness import SignatureSurvey
    from skillpm.store.blobs import Store


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
    home: Path | None = None

    @property
    def folder(self) -> Path:
        """The project's folder."""
        return self.project.expanduser().absolute()

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


_PATH = click.Path(path_type=Path)


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
            type=click.FloatRange(min=0),
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


def home() -> Path:
    """`SKILLPM_HOME`, or the platform's data folder."""
    import platformdirs

    named = os.environ.get("SKILLPM_HOME")
    return Path(named).expanduser() if named else platformdirs.user_data_path("skillpm")


def make_setting(state: State, *, timeout: float = inf) -> "Setting":
    """The setting that a flow runs in; a search for a solution takes `timeout` seconds at most."""
    from skillpm.cli.progress import Bars
    from skillpm.cli.settings import color_of

    shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    bars = Bars(shown=shown and not (state.quiet or state.json), color=color_of(state))
    closing = click.get_current_context().call_on_close
    closing(bars.close)
    return setting_of(state, closing, progress=bars.start, timeout=timeout)


def setting_of(
    state: State,
    closing: Callable[[Callable[[], object]], object],
    *,
    progress: "Callable[[str, int], Advance]",
    timeout: float = inf,
) -> "Setting":
    """As `make_setting`, outside a command too: `closing` is told what to call at the end."""
    from skillpm.cli.settings import resolve
    from skillpm.flows.setting import Setting
    from skillpm.resolver.patience import Patience

    now = datetime.now(UTC)
    chosen = resolve(state)
    place = (state.home or home()).expanduser().absolute()
    flagged = _strong(chosen["registry"]), _strong(chosen["base"])
    offline = bool(chosen["offline"].value)
    setting = Setting(
        home=place,
        project=state.folder,
        registry=flagged[0],
        base=None if flagged[1] is None else Path(flagged[1]),
        offline=offline,
        now=now,
        created=_epoch() or now,
        workers=int(chosen["workers"].value or 1),
        lock_timeout=float(chosen["lock-timeout"].value or 0),
        say=state.say,
        progress=progress,
        connect=_connector(closing, place, offline=offline),
        fallback=None if chosen["registry"].value is None else str(chosen["registry"].value),
        tidy_registry=_tidy_registry,
        patience=lambda: Patience.starting(time.monotonic, timeout),
        survey=_survey,
        confirm=partial(_confirm, state),
    )
    closing(setting.close)
    return setting


def _survey(store: "Store", lock: "Lockfile") -> "SignatureSurvey":
    """Loads numpy: asked only where signatures have to be compared."""
    from skillpm.flows.nearness import survey_signatures

    return survey_signatures(store, lock)


def _confirm(state: State, question: str) -> bool | None:
    """Ask on a terminal; None under `-y`, with `--json`, and where there is no terminal."""
    if state.yes or state.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    return click.confirm(clean_lines(question), default=False, err=True)


def _tidy_registry(url: str) -> None:
    """Asked of every command that writes, so nothing is imported where there is nothing to do."""
    folder = Path(url.removeprefix("file://"))
    if any((folder / "tmp").glob("*")):
        from skillpm.index.open import tidy_index

        tidy_index(folder)


def _strong(chosen: Chosen) -> str | None:
    """What a flag or a variable says, which wins over the project."""
    strong = chosen.source.startswith(("--", "SKILLPM_"))
    return str(chosen.value) if strong and chosen.value else None


def _connector(
    closing: Callable[[Callable[[], object]], object], place: Path, *, offline: bool
) -> "Callable[[str, bool], Index]":
    opened: dict[tuple[str, bool], Index] = {}

    def connect(url: str, create: bool) -> "Index":  # noqa: FBT001 - one switch, named by its type
        from skillpm.index.empty import EmptyIndex, is_unmade
        from skillpm.index.open import folder_of, open_index

        folder = folder_of(url)
        if folder is None and offline:
            raise RegistryError(f"`{url}` is not asked: `--offline` forbids the network")
        if folder == place / "registry" and not create and is_unmade(folder):
            return EmptyIndex()
        key = (url, create)
        if key not in opened:
            opened[key] = open_index(url, create=create)
            closing(opened[key].close)
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
