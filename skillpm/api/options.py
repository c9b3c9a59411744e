"""Options of a session: arguments first, then environment, project and user configuration."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skillpm.environment.project_links import real_file
from skillpm.environment.search import find_project
from skillpm.errors import NotFoundError, SpecError, StateError, UsageError
from skillpm.files.folder import Folder
from skillpm.files.named import expanded
from skillpm.spec import config, toml
from skillpm.spec.config import Chosen
from skillpm.spec.location import RegistryLocation

_LEAST_WORKERS = 2
DEFAULT_LOCK_TIMEOUT = 600.0
_COLOR = "auto"


@dataclass(frozen=True)
class Options:
    """The caller's options. `None` leaves a value to environment variables and config files.

    `folder` is the project's folder; None is the nearest project from the working folder upward.
    `home` is the folder of store, caches and embedded registry; `color` is `auto`, `always` or
    `never`; `lock_timeout` is in seconds.
    """

    folder: Path | None
    home: Path | None = None
    registry: str | None = None
    base: Path | None = None
    offline: bool = False
    color: str | None = None
    workers: int | None = None
    lock_timeout: float | None = None

    @property
    def project_folder(self) -> Path:
        """The project's absolute folder; the working folder if no project is found.

        Raises `OSError` if the working folder was deleted, and the errors of `find_project`.
        """
        if self.folder is not None:
            return expanded(self.folder).absolute()
        return find_project(Path.cwd()) or Path.cwd()

    @property
    def home_folder(self) -> Path:
        """`home`, `SKILLPM_HOME` or the platform's data folder, in this order."""
        if self.home is not None:
            return expanded(self.home).absolute()
        named = os.environ.get("SKILLPM_HOME")
        if named:
            return expanded(named).absolute()
        import platformdirs

        return platformdirs.user_data_path("skillpm").absolute()


def user_file() -> Path:
    """`SKILLPM_CONFIG`, or `config.toml` in the platform's configuration folder."""
    named = os.environ.get("SKILLPM_CONFIG")
    if named:
        return expanded(named)
    import platformdirs

    return platformdirs.user_config_path("skillpm") / "config.toml"


def resolve(options: Options) -> dict[str, Chosen]:
    """Each setting of `skillpm.spec.config` with its value and its source.

    Raises `UsageError` for a bad environment variable, `SpecError` for a bad config file.
    """
    from skillpm.parallel import cores

    chosen = _without_defaults(options)
    defaults: dict[str, config.Value] = {
        "offline": False,
        "color": _COLOR,
        "workers": max(_LEAST_WORKERS, min(cores(), config.WORKER_LIMIT)),
        "lock-timeout": DEFAULT_LOCK_TIMEOUT,
    }
    for key, value in defaults.items():
        if chosen[key].value is None:
            chosen[key] = Chosen(value, "default")
    return chosen


def chosen_base(options: Options) -> Path | None:
    """The base that options, environment or config files name; None if none of them does.

    A path in skillpm.toml is relative to the project. Raises the errors of `resolve`.
    """
    from skillpm.checkpoint.find_model import named_model

    base = resolve(options)["base"]
    if base.value is None:
        return None
    in_project = base.source.endswith("[project]")
    text = str(base.value)
    return named_model(text, options.project_folder) if in_project else Path(text)


def _without_defaults(options: Options) -> dict[str, Chosen]:
    """Each setting as arguments, environment and config files choose it; None where none does."""
    try:
        environment = config.from_environment(os.environ)
    except SpecError as problem:
        raise UsageError(problem.message) from problem
    return config.choose(
        [_arguments(options), environment, _project(options.project_folder), _user()]
    )


def trusted_registries(options: Options) -> list[RegistryLocation]:
    """The registries of arguments, environment and the user's file, but of no project file.

    A project may come from a stranger, so the registries that it names get no `SKILLPM_TOKEN`.
    Raises the errors of `resolve`.
    """
    layers = (_arguments(options), config.from_environment(os.environ), _user())
    values = (layer["registry"].value for layer in layers if "registry" in layer)
    return [value for value in values if isinstance(value, RegistryLocation)]


def color_of(options: Options) -> bool | None:
    """Whether to print colours; None if the terminal decides."""
    try:
        return _color(_without_defaults(options)["color"].value or _COLOR)
    except (SpecError, UsageError, StateError, OSError):
        never = options.color == "never" or os.environ.get("NO_COLOR")
        return _color("never" if never else "auto")


def _color(wanted: config.Value | None) -> bool | None:
    if wanted == "auto":
        return False if os.environ.get("TERM") == "dumb" else None
    return wanted == "always"


def _arguments(options: Options) -> dict[str, Chosen]:
    given: dict[str, config.Value | None] = {
        "registry": _location(options.registry),
        "base": None if options.base is None else str(options.base),
        "offline": options.offline or None,
        "color": options.color,
        "workers": options.workers,
        "lock-timeout": options.lock_timeout,
    }
    flags = {"color": "--no-color", "lock-timeout": "--no-wait"}
    by_flag = {"color": options.color == "never", "lock-timeout": options.lock_timeout == 0}
    return {
        key: Chosen(value, flags[key] if by_flag.get(key) else f"--{key}")
        for key, value in given.items()
        if value is not None
    }


def _project(folder: Path) -> dict[str, Chosen]:
    """The settings in skillpm.toml. Errors in the file are left to the command that reads it."""
    path = folder / "skillpm.toml"
    try:
        with Folder.open(folder) as project, real_file(project, path.name) as (place, name):
            text = place.read(name).decode()
        document = toml.parse(text, path.name)
    except (UnicodeDecodeError, NotFoundError, SpecError, StateError):
        return {}
    what = "`[config]` of skillpm.toml"
    values = config.read_config(document.get("config", {}), what, elsewhere=config.ELSEWHERE)
    chosen = {key: Chosen(value, f"{path}: [config]") for key, value in values.items()}
    places = {"base": ("project", "base"), "registry": ("registries", "default")}
    for key, (table, name) in places.items():
        value = _at(document, table, name)
        if isinstance(value, str):
            with suppress(SpecError):  # the command that reads the file reports it
                chosen[key] = Chosen(config.KEYS[key](value), f"{path}: [{table}]")
    return chosen


def _location(text: str | None) -> RegistryLocation | None:
    try:
        return None if text is None else RegistryLocation.parse(text)
    except SpecError as problem:
        raise UsageError(f"--registry: {problem.message}", hint=problem.hint) from problem


def _at(document: Mapping[str, Any], table: str, name: str) -> Any:
    inner = document.get(table)
    value = inner.get(name) if isinstance(inner, dict) else None
    return value.get("url") if isinstance(value, dict) else value


def _user() -> dict[str, Chosen]:
    path = user_file()
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as problem:
        raise StateError(f"`{path}` cannot be read: {problem}") from problem
    values = config.read_config(toml.parse(text, f"`{path}`"), f"`{path}`")
    return {key: Chosen(value, str(path)) for key, value in values.items()}
