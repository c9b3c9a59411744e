"""Rotary settings are equal in the forms of transformers 4 and 5."""

from typing import Any

import pytest

from skillpm.spec.rotary import same_rotary

PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
SCALED = {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}


@pytest.mark.parametrize(
    ("older", "newer", "same"),
    [
        ({"rope_theta": 10000}, {"rope_parameters": PLAIN}, True),
        ({"rope_theta": 10000.0, "rope_scaling": None}, {"rope_parameters": PLAIN}, True),
        (
            {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2}},
            {"rope_parameters": SCALED},
            True,
        ),
        (
            {"rope_theta": 1e4, "partial_rotary_factor": 0.5},
            {"rope_parameters": {**PLAIN, "partial_rotary_factor": 0.5}},
            True,
        ),
        ({"rope_theta": 1e6}, {"rope_parameters": PLAIN}, False),
        ({"rope_theta": 1e4}, {"rope_parameters": {**PLAIN, "rope_type": "linear"}}, False),
        ({"rope_theta": 1e4}, {"rope_parameters": {"full_attention": PLAIN}}, False),
        ({}, {}, True),
    ],
)
def test_same_rotary_compares_the_forms_of_transformers_4_and_5(
    older: dict[str, Any],
    newer: dict[str, Any],
    same: bool,  # noqa: FBT001 - the expected answer
) -> None:
    assert same_rotary(older, newer) is same
    assert same_rotary(newer, older) is same
