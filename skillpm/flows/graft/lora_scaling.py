"""Ranks and alpha of a skill that was packed from a LoRA, from the factors that its pack stores.

A pack stores the scale of each module, α/r or α/√r, and not α itself. The manifest states the α of
the adapter's config. Statements are only candidates: a value is used if PEFT computes the stored
scale from it, to the last bit.

A rank that is not in `RANKS` is padded with zeros to the next one. α then stays, and B takes the
ratio of the ranks, if the ratio is a power of two; else α grows with the rank (ADR 64).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isqrt, nextafter, sqrt
from typing import Any, TypeVar

from skillpm.adapters.config import AdapterConfig
from skillpm.delta.codecs.shared.forms import AdapterFactors
from skillpm.delta.encoding.low_rank_form import RANKS, multiplied
from skillpm.errors import SpecError
from skillpm.spec.manifest import Manifest

T = TypeVar("T")

_DIGITS = (0, 3, 6, 9)
"""Decimal places to which α is rounded, because people write short numbers."""
_LIMIT = 1 << 53
"""A stated α is smaller than this; a larger integer may not fit in a float."""


@dataclass(frozen=True)
class LoraScaling:
    """The keys of a LoRA's config that decide ranks and scales, as PEFT writes them.

    `ranks` has the rank of each module as it is written, `times` what its B is multiplied by, and
    `padded` the ranks that were padded with zeros, in ascending order.
    """

    rank: int
    alpha: float
    rslora: bool
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    ranks: Mapping[str, int]
    times: Mapping[str, int]
    padded: tuple[int, ...] = ()

    def to_config(self) -> dict[str, Any]:
        """The keys and values for `adapter_config.json`."""
        return {
            "r": self.rank,
            "lora_alpha": _short(self.alpha),
            "use_rslora": self.rslora,
            "rank_pattern": dict(self.rank_pattern),
            "alpha_pattern": {key: _short(value) for key, value in self.alpha_pattern.items()},
        }


def find_scaling(
    factors: Mapping[str, AdapterFactors], manifests: Sequence[Manifest], *, pad: bool
) -> LoraScaling | None:
    """The scaling that gives each module the scale of its factors, by its name.

    With `pad`, ranks are those of `RANKS`; a LoRA whose scales no α gives exactly at such ranks
    keeps its own. For padded rsLoRA, the result may be a LoRA without `use_rslora`: at a rank that
    is a power of two, α = scale · r is exact. Of several padded scalings, the first without an
    `alpha_pattern` is used, because vLLM ignores it. None if a manifest states no adapter, or if no
    α gives the stored scales exactly.
    """
    stated = [manifest.compression.settings.get("adapter") for manifest in manifests]
    adapters = [adapter for adapter in stated if isinstance(adapter, Mapping)]
    if not factors or len(adapters) < len(stated):
        return None
    rslora = all(adapter.get("rslora") is True for adapter in adapters)
    scalings = _Scalings(factors, [adapter.get("alpha") for adapter in adapters])
    own = {module: _rank(sides) for module, sides in factors.items()}
    longer = {module: _accepted(rank) for module, rank in own.items()}
    if pad and longer != own:
        once = dict.fromkeys(factors, 1)
        tried = (
            scalings.find(longer, _powers(factors, longer, rslora=rslora), rslora=rslora),
            scalings.find(longer, once, rslora=rslora),
            scalings.find(longer, once, rslora=False),
        )
        found = [scaling for scaling in tried if scaling is not None]
        if found:
            return min(found, key=lambda scaling: bool(scaling.alpha_pattern))
    return scalings.find(own, dict.fromkeys(factors, 1), rslora=rslora)


def _rank(sides: AdapterFactors) -> int:
    return int(sides.a.words.shape[0])


def _accepted(rank: int) -> int:
    """The lowest rank of `RANKS` that is not below a rank; the rank itself above all of them."""
    return next((known for known in RANKS if known >= rank), rank)


def _powers(
    factors: Mapping[str, AdapterFactors], ranks: Mapping[str, int], *, rslora: bool
) -> dict[str, int]:
    """What B is multiplied by so that α stays at these ranks: a power of two, or else 1."""
    times: dict[str, int] = {}
    for module, sides in factors.items():
        ratio, rest = divmod(ranks[module], _rank(sides))
        power = isqrt(ratio) if rslora else ratio
        stays = not rest and ratio.bit_count() == 1 and power ** (1 + rslora) == ratio
        times[module] = power if stays and multiplied(sides.b, power) is not None else 1
    return times


@dataclass(frozen=True)
class _Scalings:
    """The factors of each module, and the values of α that the manifests state."""

    factors: Mapping[str, AdapterFactors]
    stated: Sequence[object]

    def find(
        self, ranks: Mapping[str, int], times: Mapping[str, int], *, rslora: bool
    ) -> LoraScaling | None:
        """The scaling with these ranks; None if no α gives a stored scale exactly."""
        alphas: dict[str, float] = {}
        for module, sides in self.factors.items():
            root = sqrt(ranks[module]) if rslora else ranks[module]
            scale = sides.scale / times[module]
            fitting = (alpha for alpha in _candidates(self.stated, scale * root)
                       if alpha / root == scale)  # fmt: skip
            alpha = next(fitting, None)
            if alpha is None:
                return None
            alphas[module] = alpha
        rank, alpha = _commonest(ranks), _commonest(alphas)
        patterns = _patterns(ranks, rank), _patterns(alphas, alpha)
        own = {_rank(sides) for name, sides in self.factors.items() if ranks[name] > _rank(sides)}
        padded = tuple(sorted(own))
        scaling = LoraScaling(rank, alpha, rslora, *patterns, ranks, times, padded)
        return scaling if _reproduces(scaling, self.factors) else None


def _candidates(stated: Sequence[object], alpha: float) -> Iterator[float]:
    """Yield the stated numbers, and those near α = scale · r, which was rounded once."""
    numbers = (value for value in stated if isinstance(value, int | float))
    yield from (float(number) for number in numbers if abs(number) < _LIMIT)
    yield from (round(alpha, digits) for digits in _DIGITS)
    yield from (alpha, nextafter(alpha, inf), nextafter(alpha, -inf))


def _commonest(values: Mapping[str, T]) -> T:
    return Counter(values.values()).most_common(1)[0][0]


def _patterns(values: Mapping[str, T], default: T) -> dict[str, T]:
    """The values that differ from the default: by the module's last name, or by its whole name.

    PEFT compares a key with the end of a module's name. Modules of all layers that share their last
    name and their value get one key.
    """
    groups: dict[str, set[T]] = {}
    for module, value in values.items():
        groups.setdefault(module.rpartition(".")[2], set()).add(value)
    patterns: dict[str, T] = {}
    for module, value in values.items():
        last = module.rpartition(".")[2]
        if value != default:
            patterns[last if len(groups[last]) == 1 else module] = value
    return patterns


def _reproduces(scaling: LoraScaling, factors: Mapping[str, AdapterFactors]) -> bool:
    """Whether PEFT's rules give each module its rank and the scale of its factors."""
    plain = {"peft_type": "LORA", **scaling.to_config()}
    config = AdapterConfig.model_validate(plain)
    try:
        for module, sides in factors.items():
            scale = config.scale_of(module, scaling.ranks[module]) * scaling.times[module]
            if config.rank_of(module) != scaling.ranks[module] or scale != sides.scale:
                return False
    except SpecError:  # a module's name is no pattern
        return False
    return True


def _short(number: float) -> float | int:
    """The number as an integer if it is one, as people write it."""
    return int(number) if number.is_integer() else number
