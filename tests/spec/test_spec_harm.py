"""Properties of the forecast harm: second order, curvatures from gains, and the calibration."""

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


def test_at_full_weight_the_share_is_the_squared_length_of_what_is_added() -> None:
    for added in (2 * NORTH, 2 * EAST, -2 * EAST):
        share = second_order(tuple(EAST), tuple(EAST), tuple(added), 128.0)
        assert share == pytest.approx(4.0)


def test_a_weakened_skill_gains_from_aligned_deltas_and_loses_from_opposed_ones() -> None:
    along, across, against = (
        second_order(tuple(EAST), tuple(0.5 * EAST), tuple(NORTH + turn * EAST), 128.0)
        for turn in (0.4, 0.0, -0.4)
    )
    assert along < across < against


def test_nothing_added_has_a_share_of_zero() -> None:
    assert second_order(tuple(EAST), tuple(0.3 * EAST), (0.0,) * BUCKETS, 128.0) == 0.0


@pytest.mark.parametrize("law", [BY_GAIN, BY_LENGTH])
@given(one=shares, other=shares)
def test_the_calibration_keeps_the_order_and_zero(law: HarmCurve, one: float, other: float) -> None:
    assert law.lost(0.0) == 0.0
    low, high = sorted((one, other))
    assert law.lost(low) <= law.lost(high)


@pytest.mark.parametrize("law", [BY_GAIN, BY_LENGTH])
def test_a_loss_saturates_where_a_square_does_not(law: HarmCurve) -> None:
    assert law.lost(4.0) < 4 * law.lost(1.0)
    assert law.lost(1.0) < 1.0


@given(rate=rates, usual=rates)
def test_a_curvature_is_between_the_usual_and_the_claimed_and_near_the_usual(
    rate: float, usual: float
) -> None:
    found = curvature(rate, usual)
    low, high = sorted((rate, usual))
    assert low * (1 - 1e-9) <= found <= high * (1 + 1e-9)
    assert usual / FARTHEST**0.5 * (1 - 1e-9) <= found <= usual * FARTHEST**0.5 * (1 + 1e-9)
    assert curvature(None, usual) == usual


def test_the_usual_is_the_upper_median_and_one_claim_among_several_cannot_move_it_far() -> None:
    assert usual_curvature([]) == 1.0
    assert usual_curvature([3.0]) == 3.0
    assert usual_curvature([1.0, 3.0]) == 3.0
    assert usual_curvature([2.0, 1e9, 1.0]) == 2.0


@pytest.mark.parametrize(("value", "base", "gain"), [
    (2.0, 5.0, 3.0), (2.0, 2.0, None), (3.0, 2.0, None), (2.0, None, None),
    (2.0, 2.0 + GAINS[0] / 2, None), (2.0, 2.0 + 2 * GAINS[1], None),
])  # fmt: skip
def test_a_gain_that_cannot_be_is_none(
    value: float, base: float | None, gain: float | None
) -> None:
    assert recorded_gain(recorded(value, base)) == gain


def test_a_gain_in_another_metric_is_not_a_gain_in_loss() -> None:
    assert recorded_gain(recorded(0.5, 1.0, "mrr")) is None
