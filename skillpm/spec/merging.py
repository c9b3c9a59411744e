"""How a set becomes one model: the modes of `[graft]`, the merging methods and their settings.

The words alone: what a method computes is in `skillpm.delta.merging`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from skillpm.errors import SpecError

Number = int | float
Scalar = str | int | float | bool

MERGED = "merged"
ROUTED = "routed"
SUM = "sum"
_MODES = {MERGED: MERGED, ROUTED: ROUTED, "merge": MERGED}
"""`merge` is how skillpm 0.1 spelt `merged`."""
_SPELLINGS = {"task-arithmetic": SUM, "task_arithmetic": SUM}


@dataclass(frozen=True)
class MethodSetting:
    """A setting of a method: what it is where nobody sets it, and how far it may go.

    A number with a fraction lies above `low`, a whole one may be `low`; both may be `high`.
    """

    default: Number
    low: Number
    high: Number

    @property
    def text(self) -> str:
        """How messages tell its range."""
        sign, kind = ("<=", "whole, ") if isinstance(self.default, int) else ("<", "")
        return f"{kind}{self.low:g} {sign} it <= {self.high:g}, default {self.default}"

    def read(self, value: Scalar) -> Number:
        """The value as it is kept. Raises `ValueError` where it may not stand."""
        whole = isinstance(self.default, int)
        if isinstance(value, bool | str) or (whole and not isinstance(value, int)):
            raise ValueError
        if not self.low <= value <= self.high or (value == self.low and not whole):
            raise ValueError
        return value if whole else float(value)


def _shares(density: float) -> dict[str, MethodSetting]:
    return {"density": MethodSetting(density, 0.0, 1.0), "scale": MethodSetting(1.0, 0.0, 1e6)}


METHODS: Mapping[str, Mapping[str, MethodSetting]] = MappingProxyType(
    {
        SUM: {},
        "ties": _shares(0.2),
        "dare": {**_shares(0.5), "seed": MethodSetting(0, 0, 2**63 - 1)},
        "pcb": _shares(0.1),
        "sce": _shares(0.1),
    }
)
"""The methods, and the settings of each. What a tensor of one pack alone becomes, none decides."""


def parse_mode(text: str) -> str:
    """The mode that a person means. Raises `SpecError` for one that this skillpm does not know."""
    if text not in _MODES:
        raise SpecError(f"this skillpm knows `{MERGED}` and `{ROUTED}`, found {text!r}")
    return _MODES[text]


def parse_method(text: str) -> str:
    """The method that a person means. Raises `SpecError` with a list of those that there are."""
    method = _SPELLINGS.get(text, text)
    if method not in METHODS:
        known = ", ".join(f"`{name}`" for name in METHODS)
        raise SpecError(f"this skillpm knows {known}, found {text!r}")
    return method


@dataclass(frozen=True)
class Merging:
    """A method with all its settings: those that are not given are the method's own.

    Raises `SpecError` for a method, a setting or a value that this skillpm does not know.
    """

    method: str = SUM
    settings: Mapping[str, Scalar] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        method = parse_method(self.method)
        problems = list(setting_problems(method, self.settings))
        if problems:
            raise SpecError("; ".join(problems))
        known = METHODS[method]
        filled = {
            name: one.read(self.settings.get(name, one.default))
            for name, one in sorted(known.items())
        }
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "settings", MappingProxyType(filled))

    def number(self, name: str) -> float:
        """The value of a setting that is no text."""
        return float(self.settings[name])

    @property
    def all_settings(self) -> dict[str, Scalar]:
        """All settings, sorted, as a lock has them."""
        return dict(self.settings)

    @property
    def changed_settings(self) -> dict[str, Scalar]:
        """The settings that differ from the method's own: what skillpm.toml has to say."""
        known = METHODS[self.method]
        return {name: one for name, one in self.settings.items() if one != known[name].default}


def setting_problems(method: str, settings: Mapping[str, Scalar]) -> Iterator[str]:
    """What is wrong with the settings of a method, in clauses that say what is known."""
    known = METHODS[method]
    listed = "; ".join(f"`{name}` ({one.text})" for name, one in known.items()) or "none"
    for name, value in settings.items():
        if name not in known:
            yield f"`{method}` has no setting {name!r}; it knows {listed}"
            continue
        try:
            known[name].read(value)
        except ValueError:
            yield f"`{name}` of `{method}` cannot be {value!r}; {known[name].text}"
