"""Properties of harms: second-order share, curvatures and calibration."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_documents import ENTRY, manifest_plain

from skillpm.delta.tensors.countsketch import encode_sketch
from skillpm.spec import json
from skillpm.spec.harm import (
    BY_GAIN,
    BY_LENGTH,
    FARTHEST,
    GAINS,
    HarmCurve,
    curvature,
    recorded_gain,
    second_order,
    usual_curvature,
)
from skillpm.spec.manifest import Manifest, parse_manifest
from skillpm.spec.overlap import BUCKETS

EAST, NORTH = np.zeros((2, BUCKETS))
EAST[0::2], NORTH[1::2] = 1.0, 1.0
shares = st.floats(0, 1e6)
rates = st.floats(1e-12, 1e12)


def recorded(value: float, base_value: float | None, metric: str = "token_loss") -> Manifest:
    figures: dict[str, Any] = {"name": "probes", "metric": metric, "value": value}
    figures |= {} if base_value is None else {"base_value": base_value}
    fresh = {"sketch": encode_sketch(EAST), "footprint": [ENTRY], "requires": [], "conflicts": []}
    document = {**manifest_plain(), **fresh, "over": [], "capabilities": [figures]}
    return parse_manifest(json.canonical(document))


def test_second_order_share_at_weight_one_is_the_squared_length_of_the_rest() -> None:
    for added in (2 * NORTH, 2 * EAST, -2 * EAST):
        share = second_order(tuple(EAST), tuple(EAST), tuple(added), 128.0)
        assert share == pytest.approx(4.0)


def test_parallel_deltas_help_and_opposite_deltas_harm_below_weight_one() -> None:
    along, across, against = (
        second_order(tuple(EAST), tuple(0.5 * EAST), tuple(NORTH + turn * EAST), 128.0)
        for turn in (0.4, 0.0, -0.4)
    )
    assert along < across < against


def test_second_order_share_without_other_deltas_is_zero() -> None:
    assert second_order(tuple(EAST), tuple(0.3 * EAST), (0.0,) * BUCKETS, 128.0) == 0.0


@pytest.mark.parametrize("law", [BY_GAIN, BY_LENGTH])
@given(one=shares, other=shares)
def test_harm_curve_is_monotonic_and_maps_zero_to_zero(
    law: HarmCurve, one: float, other: float
) -> None:
    assert law.lost(0.0) == 0.0
    low, high = sorted((one, other))
    assert law.lost(low) <= law.lost(high)


@pytest.mark.parametrize("law", [BY_GAIN, BY_LENGTH])
def test_harm_curve_grows_slower_than_the_quadratic(law: HarmCurve) -> None:
    assert law.lost(4.0) < 4 * law.lost(1.0)
    assert law.lost(1.0) < 1.0


@given(rate=rates, usual=rates)
def test_curvature_is_bounded_by_the_usual_and_the_recorded_rate(rate: float, usual: float) -> None:
    found = curvature(rate, usual)
    low, high = sorted((rate, usual))
    assert low * (1 - 1e-9) <= found <= high * (1 + 1e-9)
    assert usual / FARTHEST**0.5 * (1 - 1e-9) <= found <= usual * FARTHEST**0.5 * (1 + 1e-9)
    assert curvature(None, usual) == usual


def test_usual_curvature_is_the_upper_median() -> None:
    assert usual_curvature([]) == 1.0
    assert usual_curvature([3.0]) == 3.0
    assert usual_curvature([1.0, 3.0]) == 3.0
    assert usual_curvature([2.0, 1e9, 1.0]) == 2.0


@pytest.mark.parametrize(("value", "base", "gain"), [
    (2.0, 5.0, 3.0), (2.0, 2.0, None), (3.0, 2.0, None), (2.0, None, None),
    (2.0, 2.0 + GAINS[0] / 2, None), (2.0, 2.0 + 2 * GAINS[1], None),
])  # fmt: skip
def test_implausible_gain_is_ignored(value: float, base: float | None, gain: float | None) -> None:
    assert recorded_gain(recorded(value, base)) == gain


def test_gain_in_another_metric_is_ignored() -> None:
    assert recorded_gain(recorded(0.5, 1.0, "mrr")) is None
