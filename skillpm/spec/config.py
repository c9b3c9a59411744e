"""The user's configuration: seven keys, merged from several sources.

Command-line flags override environment variables, which override the project file, which overrides
the user's config file.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from skillpm.errors import Problems, SpecError
from skillpm.spec.faults import describe_value
from skillpm.spec.location import RegistryLocation
from skillpm.spec.nearest import did_you_mean

Value = str | bool | int | float | RegistryLocation
COLORS = ("auto", "always", "never")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
WORKER_LIMIT = 256


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise SpecError(f"expected text, found {value!r}")
    return value


def _location(value: Any) -> RegistryLocation:
    if not isinstance(value, str):
        raise SpecError(f"expected text, found {describe_value(value)}")
    return RegistryLocation.parse(value)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE + _FALSE:
        return value.lower() in _TRUE
    raise SpecError(f"expected true or false, found {value!r}")


def _color(value: Any) -> str:
    if value not in COLORS:
        raise SpecError(f"expected `auto`, `always` or `never`, found {value!r}")
    return str(value)


def _number(kind: Callable[[str], float], least: float, most: float, what: str) -> Any:
    def read(value: Any) -> float:
        try:
            number = kind(str(value))
        except (ValueError, OverflowError):
            number = least - 1
        if isinstance(value, bool) or not least <= number <= most:
            raise SpecError(f"expected {what}, found {value!r}")
        return number

    return read


KEYS: Mapping[str, Callable[[Any], Value]] = {
    "registry": _location,
    "base": _text,
    "offline": _flag,
    "color": _color,
    "workers": _number(int, 1, WORKER_LIMIT, f"a whole number from 1 to {WORKER_LIMIT}"),
    "lock-timeout": _number(float, 0, 1e9, "a number of seconds"),
    "allow-keys": _text,
}
ELSEWHERE = {
    "registry": "`default` in `[registries]`",
    "base": "`base` in `[project]`",
    "allow-keys": "it in your own configuration file",
}
"""Keys that a project sets outside `[config]`, or that only the user sets, with their place."""


@dataclass(frozen=True)
class Chosen:
    """A value, and the source that it comes from."""

    value: Value | None
    source: str


def read_config(
    table: Any, what: str, *, elsewhere: Mapping[str, str] | None = None
) -> dict[str, Value]:
    """The values of a config table. Raises `SpecError` with every problem.

    Keys of `elsewhere` are not allowed in this table; its values name the right place.
    """
    if not isinstance(table, dict):
        raise SpecError(f"{what}: expected a table, found {describe_value(table)}")
    config: dict[str, Value] = {}
    problems = Problems(what)
    for key, value in table.items():
        if key not in KEYS:
            problems.add(key, f"unknown key; {nearest(key)}")
        elif elsewhere and key in elsewhere:
            problems.add(key, f"not allowed here; set {elsewhere[key]} instead")
        else:
            try:
                config[key] = KEYS[key](value)
            except SpecError as problem:
                problems.add(key, problem.message)
    problems.raise_if_any(hint="`skillpm config show` lists the keys")
    return config


def nearest(key: str, known: Iterable[str] = KEYS) -> str:
    """A hint that names the most similar key of `known`, or lists all keys."""
    return did_you_mean(key, known, otherwise=f"expected one of {', '.join(KEYS)}")


def from_environment(environment: Mapping[str, str]) -> dict[str, Chosen]:
    """The values of environment variables. Raises `SpecError`.

    `NO_COLOR` overrides `FORCE_COLOR`, and both override `SKILLPM_COLOR`.
    """
    config: dict[str, Chosen] = {}
    for key in KEYS:
        name = f"SKILLPM_{key.upper().replace('-', '_')}"
        if environment.get(name):
            config[key] = Chosen(_variable(name, environment[name], KEYS[key]), name)
    forced = environment.get("FORCE_COLOR")
    if forced:
        config["color"] = Chosen("never" if forced == "0" else "always", "FORCE_COLOR")
    if environment.get("NO_COLOR"):
        config["color"] = Chosen("never", "NO_COLOR")
    return config


def _variable(name: str, text: str, parse: Callable[[Any], Value]) -> Value:
    try:
        return parse(text)
    except SpecError as problem:
        raise SpecError(f"{name}: {problem.message}") from problem


def choose(layers: Iterable[Mapping[str, Chosen]]) -> dict[str, Chosen]:
    """The value of each key from the first layer that has it; None if no layer has it."""
    chosen = dict.fromkeys(KEYS, Chosen(None, "default"))
    for layer in reversed(list(layers)):
        chosen.update(layer)
    return chosen
