"""Allocations of bytes among the points of tensors."""

from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.auto.allocate import Frontier
from skillpm.delta.auto.points import CandidatePoint, EncodingChoice, lower_hull

sizes = st.integers(1, 10**6).map(float)
points = st.lists(st.tuples(sizes, sizes), min_size=1, max_size=6).map(
    lambda pairs: [
        CandidatePoint(EncodingChoice("grid", float(number)), size, error)
        for number, (size, error) in enumerate(pairs)
    ]
)
surveys = st.dictionaries(st.text("abc", min_size=1), points, min_size=1)
Surveyed = dict[str, list[CandidatePoint]]


def at_price(surveyed: Surveyed, price: float) -> tuple[float, float]:
    """The bytes and the distortion of the best points at a price of a byte."""
    best = [min(each, key=lambda point: point.cost(price)) for each in surveyed.values()]
    return sum(point.size for point in best), sum(point.distortion for point in best)


def smallest(surveyed: Surveyed) -> float:
    return sum(min(point.size for point in each) for each in surveyed.values())


@given(surveys, st.floats(1, 1e7))
def test_no_price_gives_less_distortion_within_the_budget(
    surveyed: Surveyed, budget: float
) -> None:
    allocation = Frontier.of(surveyed).within_bytes(budget)
    assert allocation.size <= max(budget, smallest(surveyed)) * (1 + 1e-9)
    for exponent in range(-60, 60, 3):
        size, distortion = at_price(surveyed, 2.0**exponent)
        if size <= budget:
            assert allocation.distortion <= distortion * (1 + 1e-9) + 1e-6


@given(surveys, st.floats(0, 4e6))
def test_no_price_gives_fewer_bytes_within_the_distortion(surveyed: Surveyed, limit: float) -> None:
    allocation = Frontier.of(surveyed).within_distortion(limit)
    for exponent in range(-60, 60, 3):
        size, distortion = at_price(surveyed, 2.0**exponent)
        if distortion <= limit:
            assert allocation.distortion <= limit * (1 + 1e-9) + 1e-6
            assert allocation.size <= size * (1 + 1e-9)


@given(surveys)
def test_totals_are_those_of_the_chosen_points(surveyed: Surveyed) -> None:
    allocation = Frontier.of(surveyed).within_bytes(1e6)
    chosen = [
        next(point for point in each if point.choice == allocation.choices[tensor])
        for tensor, each in surveyed.items()
    ]
    assert allocation.size == sum(point.size for point in chosen)
    assert allocation.distortion == sum(point.distortion for point in chosen)


def test_a_move_that_does_not_fit_leaves_its_bytes_to_other_tensors() -> None:
    def point(step: float, size: float, distortion: float) -> CandidatePoint:
        return CandidatePoint(EncodingChoice("grid", step), size, distortion)

    surveyed = {
        "big": [point(2.0, 10, 1000), point(1.0, 1000, 0)],
        "small": [point(2.0, 10, 10), point(1.0, 50, 5)],
    }
    allocation = Frontier.of(surveyed).within_bytes(100)
    assert {tensor: choice.step for tensor, choice in allocation.choices.items()} == {
        "big": 2.0,
        "small": 1.0,
    }


@given(points)
def test_a_hull_is_convex_and_leaves_no_point_below_it(several: list[CandidatePoint]) -> None:
    hull = lower_hull(several)
    for exponent in range(-40, 40):
        price = 2.0**exponent
        least = min(point.cost(price) for point in several)
        assert min(point.cost(price) for point in hull) <= least * (1 + 1e-9)
    sizes = [point.size for point in hull]
    assert sizes == sorted(set(sizes))
