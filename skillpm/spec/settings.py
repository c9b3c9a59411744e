"""The settings that `config set` writes: their names, their places in a file, their values.

The readers of the files check the values: `skillpm.spec.project` and `skillpm.spec.config`.
"""

from typing import Any

from skillpm.errors import SpecError, UsageError
from skillpm.spec import config, toml
from skillpm.spec.location import RegistryLocation
from skillpm.spec.merging import SETTINGS, parse_method, parse_mode, read_setting
from skillpm.spec.nearest import most_similar, suggestion
from skillpm.spec.project import parse_project

MODE, METHOD, PRECEDENCE = "graft.mode", "graft.method", "graft.precedence"
_GRAFT = "graft."
GRAFT_KEYS = (MODE, METHOD, *(f"{_GRAFT}{name}" for name in SETTINGS), PRECEDENCE)
"""The settings of the table `[graft]`, which only a project has."""
ALL_KEYS = (*config.KEYS, *GRAFT_KEYS)
PROJECT_PLACES = {"base": ("project", "base"), "registry": ("registries", "default")}
"""Settings that a project file has outside `[config]`, with table and key."""
_LONGEST = 100
"""Characters of an unknown key that are compared and shown."""


def check_key(key: str, *, user: bool) -> str:
    """The key, if `config set` may write it to this file. Raises `UsageError` with the right place.

    `user` is for the user's file, otherwise the file is that of a project.
    """
    if key.startswith("skills."):
        skill = key.removeprefix("skills.").removesuffix(".weight")
        raise UsageError(
            f"`{key[:_LONGEST]}` belongs to the installed set, which `config` does not change",
            hint=f"`skillpm install {skill[:_LONGEST]} --weight 0.5` sets a weight",
        )
    if key not in ALL_KEYS:
        similar = most_similar(key[:_LONGEST], ALL_KEYS)
        hint = suggestion(similar) if similar else "`skillpm config show` lists the settings"
        raise UsageError(f"there is no setting `{key[:_LONGEST]}`", hint=hint)
    if user and key in GRAFT_KEYS:
        raise UsageError(
            f"`{key}` is a setting of a project, not of a user", hint="leave out `--user`"
        )
    if key == "allow-keys" and not user:
        raise UsageError(
            "`allow-keys` is a setting of the user: a project cannot allow its own keys",
            hint="add `--user`",
        )
    return key


def place_of(key: str, *, user: bool) -> tuple[str, ...]:
    """The path of a setting in its TOML document: tables, then the key."""
    if user:
        return (key,)
    if key in PROJECT_PLACES:
        return PROJECT_PLACES[key]
    if not key.startswith(_GRAFT):
        return ("config", key)
    name = key.removeprefix(_GRAFT)
    return ("graft", "settings", name) if name in SETTINGS else ("graft", name)


def read_value(key: str, text: str) -> Any:
    """A value given as text, as TOML has it. Raises `UsageError`.

    Limits that depend on another setting, such as the method, are left to the file's reader.
    """
    try:
        return _graft_value(key, text) if key in GRAFT_KEYS else _config_value(key, text)
    except SpecError as problem:
        raise UsageError(f"`{key}`: {problem.message}", hint=problem.hint) from problem


def _config_value(key: str, text: str) -> Any:
    value = config.KEYS[key](text)
    return text if isinstance(value, RegistryLocation) else value


def _graft_value(key: str, text: str) -> Any:
    if key == MODE:
        return parse_mode(text)
    if key == METHOD:
        return parse_method(text)
    if key == PRECEDENCE:
        return [name.strip() for name in text.split(",") if name.strip()]
    return read_setting(key.removeprefix(_GRAFT), text)


def check_file(text: str, what: str, *, user: bool) -> None:
    """Check a whole file as its reader does. Raises `SpecError` with every problem."""
    document = toml.parse(text, what)
    if user:
        config.read_config(document, what)
        return
    parse_project(text, what)
    config.read_config(
        document.get("config", {}), f"`[config]` of {what}", elsewhere=config.ELSEWHERE
    )
