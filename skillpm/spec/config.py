"""How a person likes skillpm to behave: seven keys, each from the nearest place that says it.

A flag wins over the environment, that over the project, that over the person's own file.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from skillpm.errors import Problems, SpecError
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
        raise SpecError(f"expected text, found {type(value).__name__}")
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
            found = kind(str(value))
        except (ValueError, OverflowError):
            found = least - 1
        if isinstance(value, bool) or not least <= found <= most:
            raise SpecError(f"expected {what}, found {value!r}")
        return found

    return read


KEYS: Mapping[str, Callable[[Any], Value]] = {
    "registry": _location,
    "base": _text,
    "offline": _flag,
    "color": _color,
    "workers": _number(int, 1, WORKER_LIMIT, f"a whole number from 1 to {WORKER_LIMIT}"),
    "lock-timeout": _number(float, 0, 1e9, "a number of seconds"),
}
ELSEWHERE = {"registry": "`default` in `[registries]`", "base": "`base` in `[project]`"}


@dataclass(frozen=True)
class Chosen:
    """A value, and the place that it comes from."""

    value: Value | None
    source: str


def read_config(
    table: Any, what: str, *, elsewhere: Mapping[str, str] | None = None
) -> dict[str, Value]:
    """The keys of a table. Raises `SpecError` with every problem; `elsewhere` keys are refused."""
    if not isinstance(table, dict):
        raise SpecError(f"{what} should be a table, found {type(table).__name__}")
    found: dict[str, Value] = {}
    problems = Problems(what)
    for key, value in table.items():
        if key not in KEYS:
            problems.add(key, f"there is no such key; {nearest(key)}")
        elif elsewhere and key in elsewhere:
            problems.add(key, f"its place here is {elsewhere[key]}")
        else:
            try:
                found[key] = KEYS[key](value)
            except SpecError as problem:
                problems.add(key, problem.message)
    problems.raise_if_any(hint="`skillpm config show` lists the keys")
    return found


def nearest(key: str, known: Iterable[str] = KEYS) -> str:
    """A hint that names the nearest key, or all of them."""
    return did_you_mean(key, known, otherwise=f"the keys are {', '.join(KEYS)}")


def from_environment(environment: Mapping[str, str]) -> dict[str, Chosen]:
    """What variables say. `NO_COLOR` wins over `FORCE_COLOR`, both over `SKILLPM_COLOR`."""
    found: dict[str, Chosen] = {}
    for key in KEYS:
        name = f"SKILLPM_{key.upper().replace('-', '_')}"
        if environment.get(name):
            found[key] = Chosen(_variable(name, environment[name], KEYS[key]), name)
    forced = environment.get("FORCE_COLOR")
    if forced:
        found["color"] = Chosen("never" if forced == "0" else "always", "FORCE_COLOR")
    if environment.get("NO_COLOR"):
        found["color"] = Chosen("never", "NO_COLOR")
    return found


def _variable(name: str, text: str, parse: Callable[[Any], Value]) -> Value:
    try:
        return parse(text)
    except SpecError as problem:
        raise SpecError(f"{name}: {problem.message}") from problem


def choose(layers: Iterable[Mapping[str, Chosen]]) -> dict[str, Chosen]:
    """Each key from the first layer that has it; where none does, None from `default`."""
    chosen = dict.fromkeys(KEYS, Chosen(None, "default"))
    for layer in reversed(list(layers)):
        chosen.update(layer)
    return chosen
