"""The global options, wherever they stand on the command line, and the setting they make."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.cli.output import can_ask, confirm, say
from skillpm.cli.registry_access import connector, tidy_registry
from skillpm.cli.types import FiniteRange, LocalPath
from skillpm.errors import UsageError
from skillpm.spec.config import COLORS, WORKER_LIMIT, Chosen

if TYPE_CHECKING:
    from skillpm.environment.project import Project
    from skillpm.flows.session.session import Advance, Setting
    from skillpm.spec.location import RegistryLocation
    from skillpm.spec.lockfile import LockedSkill, Lockfile
    from skillpm.spec.nearness import SignatureSurvey
    from skillpm.store.blobs import Store
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
    home: Path | None = None
    interrupted: bool = False

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


def home() -> Path:
    """`SKILLPM_HOME`, or the platform's data folder."""
    import platformdirs

    named = os.environ.get("SKILLPM_HOME")
    return Path(named).expanduser() if named else platformdirs.user_data_path("skillpm")


def verified_packs(state: State) -> "VerifiedPacks":
    """The packs that this home has verified, for commands that need nothing else of a setting."""
    from skillpm.store.verified import VerifiedPacks

    return VerifiedPacks((state.home or home()).expanduser().absolute())


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
    from skillpm.flows.session.session import Setting
    from skillpm.resolver.patience import Patience

    now = datetime.now(UTC)
    chosen = resolve(state)
    place = (state.home or home()).expanduser().absolute()
    base = chosen["base"].value if _is_strong(chosen["base"]) else None
    registry = _located(chosen["registry"], state.folder)
    offline = bool(chosen["offline"].value)
    setting = Setting(
        home=place,
        project=state.folder,
        registry=registry if _is_strong(chosen["registry"]) else None,
        base=Path(str(base)) if base else None,
        offline=offline,
        now=now,
        created=_epoch() or now,
        workers=int(str(chosen["workers"].value or 1)),
        lock_timeout=float(str(chosen["lock-timeout"].value or 0)),
        say=state.say,
        progress=progress,
        connect=connector(closing, place, offline=offline),
        fallback=registry,
        tidy_registry=partial(tidy_registry, place / "registry"),
        patience=lambda: Patience.starting(time.monotonic, timeout),
        verify_packs=_verify_packs,
        survey=_survey,
        confirm=partial(_confirm, state),
    )
    closing(setting.close)
    return setting


def _survey(store: "Store", lock: "Lockfile") -> "SignatureSurvey":
    """Loads numpy: asked only where signatures have to be compared."""
    from skillpm.flows.packs.nearness import survey_signatures

    return survey_signatures(store, lock)


def _confirm(state: State, question: str) -> bool | None:
    """Ask on a terminal; None under `-y`, with `--json`, and where there is no terminal."""
    if state.yes or state.json or not can_ask():
        return None
    return confirm(question)


def _verify_packs(
    setting: "Setting", project: "Project", lock: "Lockfile", waiting: "Sequence[LockedSkill]"
) -> tuple[str, ...]:
    """Asked only where a pack was never verified here: it takes the tensor libraries."""
    from skillpm.flows.inspect.verify_installed import verify_packs

    return verify_packs(setting, project, lock, waiting)


def _located(chosen: Chosen, project: Path) -> "RegistryLocation | None":
    """A registry's location: what the project file says is relative to it, all else to here."""
    from skillpm.flows.session.bindings import resolved
    from skillpm.spec.location import RegistryLocation

    if not isinstance(chosen.value, RegistryLocation):
        return None
    outside = _is_strong(chosen) or not chosen.source.startswith(str(project))
    return resolved(chosen.value, Path.cwd() if outside else project)


def _is_strong(chosen: Chosen) -> bool:
    """Whether a flag or a variable says it, which wins over the project."""
    return chosen.source.startswith(("--", "SKILLPM_"))


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
