"""How a trial corrects the next one."""

import pytest

from skillpm.delta.auto.allocate import Allocation
from skillpm.delta.auto.model_survey import ModelSurvey
from skillpm.delta.auto.points import RECORD_BYTES, CandidatePoint, EncodingChoice, Family
from skillpm.delta.auto.refine import SLOPE, SizeRatios, refined


def point(family: Family, step: float, size: float) -> CandidatePoint:
    return CandidatePoint(EncodingChoice(family, step), size, 1.0)


def allocation(**choices: EncodingChoice) -> Allocation:
    return Allocation(choices, 0.0, 0.0)


def test_a_measured_size_corrects_its_tensor_and_others_of_its_family() -> None:
    points = {
        "a": (point("grid", 2.0, 1000.0), point("grid", 1.0, 1800.0)),
        "b": (point("grid", 4.0, 500.0), point("svd-ec", 1.0, 900.0)),
        "c": (point("svd-ec", 1.0, 700.0),),
    }
    ratios = SizeRatios()
    used = allocation(
        a=EncodingChoice("grid", 2.0), b=EncodingChoice("grid", 4.0), c=EncodingChoice("zero")
    )
    measured = {"a": 1200 - RECORD_BYTES, "b": 450 - RECORD_BYTES, "c": 0}
    ratios.learn(ModelSurvey(points, 1.0), used, measured)
    assert ratios.ratio("a", points["a"][1]) == pytest.approx(1.2)
    assert ratios.ratio("b", points["b"][0]) == pytest.approx(0.9)
    assert ratios.ratio("d", point("grid", 1.0, 1.0)) == pytest.approx(1650 / 1500)
    assert ratios.ratio("c", points["c"][0]) == 1.0


def test_few_tensors_are_refined_and_finer_steps_fill_the_budget() -> None:
    used = allocation(
        dense=EncodingChoice("grid", 1.0),
        sparse=EncodingChoice("grid", 1.0),
        exact=EncodingChoice("lossless"),
    )
    measured = {"dense": 1000, "sparse": 9000, "exact": 5000}
    entries = {"dense": 1000, "sparse": 100_000, "exact": 5000}
    following = refined(used, measured, entries, 100.0)
    assert following is not None
    step = following.choices["dense"].step
    assert 1000 * (step**-SLOPE - 1) == pytest.approx(100)
    assert following.choices["sparse"] == used.choices["sparse"]
    assert following.choices["exact"] == used.choices["exact"]
    coarser = refined(used, measured, entries, -3000.0)
    assert coarser is not None
    assert coarser.choices["dense"].step == coarser.choices["sparse"].step > 1


def test_an_allocation_without_steps_cannot_be_refined() -> None:
    used = allocation(a=EncodingChoice("lossless"), b=EncodingChoice("zero"))
    assert refined(used, {"a": 10, "b": 0}, {"a": 1, "b": 1}, 5.0) is None
