"""The modes of `[graft]`, the merging methods and their settings.

Only names and values: `skillpm.delta.merging` implements the methods.
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
"""Names of modes. skillpm 0.1 wrote `merge` for `merged`."""
_SPELLINGS = {"task-arithmetic": SUM, "task_arithmetic": SUM}


@dataclass(frozen=True)
class MethodSetting:
    """A setting of a merging method: its default and its range.

    The range of a float excludes `low`, that of an integer includes it. Both include `high`.
    """

    default: Number
    low: Number
    high: Number

    @property
    def text(self) -> str:
        """The range and the default, for messages."""
        sign, kind = ("<=", "integer, ") if isinstance(self.default, int) else ("<", "")
        return f"{kind}{self.low:g} {sign} value <= {self.high:g}, default {self.default}"

    def read(self, value: Scalar) -> Number:
        """The value in its normal form. Raises `ValueError` if it is out of range."""
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
"""The merging methods with their settings. They apply to tensors that several packs change."""


SETTINGS: Mapping[str, MethodSetting] = MappingProxyType(
    {name: setting for known in METHODS.values() for name, setting in known.items()}
)
"""The settings of all methods by name. The default depends on the method, the type does not."""
_LONGEST = 100
"""Characters of an invalid value that are shown."""


def read_setting(name: str, text: str) -> Number:
    """The value of a setting, given as text. Its range is not checked. Raises `SpecError`."""
    whole = isinstance(SETTINGS[name].default, int)
    try:
        return int(text) if whole else float(text)
    except ValueError:
        expected = "a whole number" if whole else "a number"
        raise SpecError(f"expected {expected}, found {text[:_LONGEST]!r}") from None


def parse_mode(text: str) -> str:
    """The mode with this name, in its current spelling. Raises `SpecError` if it is unknown."""
    if text not in _MODES:
        raise SpecError(f"unknown mode {text!r}; expected `{MERGED}` or `{ROUTED}`")
    return _MODES[text]


def parse_method(text: str) -> str:
    """The method with this name, in its current spelling. Raises `SpecError` if it is unknown."""
    method = _SPELLINGS.get(text, text)
    if method not in METHODS:
        known = ", ".join(f"`{name}`" for name in METHODS)
        raise SpecError(f"unknown method {text!r}; expected one of {known}")
    return method


@dataclass(frozen=True)
class Merging:
    """A merging method with all its settings. Missing settings get their defaults.

    Raises `SpecError` for an unknown method or setting, or an invalid value.
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
            name: setting.read(self.settings.get(name, setting.default))
            for name, setting in sorted(known.items())
        }
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "settings", MappingProxyType(filled))

    def number(self, name: str) -> float:
        """The value of a numeric setting."""
        return float(self.settings[name])

    @property
    def all_settings(self) -> dict[str, Scalar]:
        """All settings, sorted by name, as a lock stores them."""
        return dict(self.settings)

    @property
    def changed_settings(self) -> dict[str, Scalar]:
        """The settings that differ from their defaults, as skillpm.toml stores them."""
        known = METHODS[self.method]
        return {
            name: value for name, value in self.settings.items() if value != known[name].default
        }


def setting_problems(method: str, settings: Mapping[str, Scalar]) -> Iterator[str]:
    """A clause for each unknown setting and each invalid value of a method's settings."""
    known = METHODS[method]
    listed = "; ".join(f"`{name}` ({setting.text})" for name, setting in known.items()) or "none"
    for name, value in settings.items():
        if name not in known:
            yield f"`{method}` has no setting {name!r}; known settings: {listed}"
            continue
        try:
            known[name].read(value)
        except ValueError:
            yield f"invalid `{name}` of `{method}`: expected {known[name].text}, found {value!r}"
