"""Properties of the forecast at any weights and gains."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_documents import ENTRY, manifest_plain

from skillpm.delta.tensors.countsketch import encode_sketch
from skillpm.spec import json
from skillpm.spec.forecast import Forecast, PairForecast, forecast, level_of
from skillpm.spec.manifest import Manifest, parse_manifest
from skillpm.spec.names import SkillName
from skillpm.spec.overlap import BUCKETS

weights = st.floats(-4, 4).map(lambda weight: round(weight, 3))
gains = st.none() | st.floats(0.01, 5)


def pack(letter: str, length: float = 1.0, gain: float | None = 1.0) -> Manifest:
    """A pack whose delta has a different direction for each letter."""
    delta = length * np.random.default_rng(ord(letter)).normal(size=BUCKETS)
    figures = {"name": "probes", "metric": "token_loss", "value": 2.0}
    listed = [] if gain is None else [{**figures, "base_value": 2.0 + gain}]
    fresh: dict[str, Any] = {"skill": f"acme/{letter}", "sketch": encode_sketch(delta)}
    fresh |= {"footprint": [ENTRY], "requires": [], "conflicts": [], "capabilities": listed}
    return parse_manifest(json.canonical({**manifest_plain(), **fresh}))


def named(letter: str) -> SkillName:
    return SkillName("acme", letter)


def merge(*packs: Manifest, **weights: float) -> Forecast:
    return forecast(packs, {named(each): weight for each, weight in weights.items()}, "merged")


def pair_of(merged: Forecast, a: str, b: str) -> PairForecast:
    return next(pair for pair in merged.pairs if (pair.a, pair.b) == (named(a), named(b)))


def total_of(merged: Forecast, letter: str) -> float:
    harm = next(each.harm for each in merged.skills if each.skill == named(letter))
    assert harm is not None
    return harm


@given(one=weights, other=weights, gain=gains)
def test_harm_does_not_decrease_with_the_weight_of_the_other_skill(
    one: float, other: float, gain: float | None
) -> None:
    small, large = sorted((one, other), key=abs)
    harms = [merge(pack("a"), pack("b", 1.0, gain), b=weight).pairs[0].harm_to_a
             for weight in (small, large)]  # fmt: skip
    assert (harms[0] or 0.0) <= (harms[1] or 0.0)


@given(gain=gains, length=st.floats(0.1, 10))
def test_skill_at_weight_zero_does_not_affect_the_others(gain: float | None, length: float) -> None:
    packs = pack("a"), pack("b", 2.0), pack("z", length, gain)
    left_out, absent = merge(*packs, z=0.0), merge(*packs[:2])
    assert pair_of(left_out, "a", "b") == absent.pairs[0]
    assert [total_of(left_out, each) for each in "ab"] == [total_of(absent, each) for each in "ab"]
    assert pair_of(left_out, "a", "z").harm_to_a == 0.0


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_skill_at_weight_zero_or_below_has_no_harm(weight: float) -> None:
    merged = merge(pack("a"), pack("b", 9.0), a=weight)
    assert merged.pairs[0].harm_to_a == total_of(merged, "a") == 0.0


def test_subtracted_skill_harms_as_much_as_an_added_one() -> None:
    added, subtracted = (merge(pack("a"), pack("b"), b=weight).pairs[0] for weight in (1.0, -1.0))
    assert added.harm_to_a == subtracted.harm_to_a
    assert added.harm_to_a


@given(lengths=st.lists(st.floats(0.1, 10), min_size=3, max_size=3), gains=st.lists(
    gains, min_size=3, max_size=3))  # fmt: skip
def test_forecast_is_independent_of_the_order_of_the_set(
    lengths: list[float], gains: list[float | None]
) -> None:
    packs = [pack(*each) for each in zip("abc", lengths, gains, strict=True)]
    assert len({merge(*order) for order in permutations(packs)}) == 1


@given(length=st.floats(0.1, 10), gain=gains)
def test_third_skill_does_not_affect_a_pair(length: float, gain: float | None) -> None:
    pair = merge(pack("a"), pack("b", 2.0)).pairs[0]
    assert pair_of(merge(pack("a"), pack("b", 2.0), pack("z", length, gain)), "a", "b") == pair


@given(scale=st.floats(0.01, 100))
def test_harm_is_independent_of_a_common_scale_of_the_deltas(scale: float) -> None:
    plain = merge(pack("a"), pack("b", 3.0)).pairs[0]
    found = merge(pack("a", scale), pack("b", 3.0 * scale)).pairs[0]
    assert found.harm_to_a == pytest.approx(plain.harm_to_a, rel=1e-5)


@given(gain=st.floats(0.1, 5))
def test_delta_with_the_larger_gain_does_more_harm_at_equal_length(gain: float) -> None:
    mild, strong = (
        pair_of(merge(pack("a"), pack("b", 1.0, each), pack("c")), "a", "b").harm_to_a
        for each in (gain, 1.5 * gain)
    )
    assert (mild or 0.0) < (strong or 0.0)


@given(gains=st.lists(gains, min_size=2, max_size=2), weight=weights)
def test_levels_match_the_shares(gains: list[float | None], weight: float) -> None:
    merged = merge(pack("a", 1.0, gains[0]), pack("b", 1.0, gains[1]), b=weight)
    (pair,) = merged.pairs
    assert pair.level == level_of(max(pair.harm_to_a or 0.0, pair.harm_to_b or 0.0))
    assert all(each.level == level_of(each.harm) for each in merged.skills)
