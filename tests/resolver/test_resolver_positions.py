"""Sets of positions have the properties that PubGrub relies on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillpm.resolver.positions import Positions, bits_of, positions_in

sets = st.builds(Positions, st.integers(-(2**70), 2**70))


@given(sets, sets, st.integers(0, 80))
def test_operations_match_those_of_sets(one: Positions, other: Positions, place: int) -> None:
    assert (place in one & other) == (place in one and place in other)
    assert (place in one | other) == (place in one or place in other)
    assert (place in one - other) == (place in one and place not in other)
    assert (place in ~one) != (place in one)


@given(sets, sets)
def test_relations_follow_from_the_operations(one: Positions, other: Positions) -> None:
    assert one.is_subset(other) == (one & other == one)
    assert one.is_superset(other) == other.is_subset(one)
    assert one.is_disjoint(other) == (one & other).is_empty
    relation = one.relation(other)
    assert relation.is_subset == one.is_subset(other)
    assert relation.is_disjoint == one.is_disjoint(other)


@given(sets, sets)
def test_conflict_resolution_terminates(one: Positions, other: Positions) -> None:
    assert one.is_subset((one - other) | other)


@given(st.integers(0, 80), st.sets(st.integers(0, 80)))
def test_positions_contain_the_places_they_are_made_from(place: int, many: set[int]) -> None:
    assert positions_in(Positions.singleton(place).bits) == [place]
    assert positions_in(sum(1 << place for place in many)) == sorted(many)
    assert place in Positions.full()
    assert place not in Positions.empty()
    assert Positions.empty().relation(Positions.singleton(place)).is_disjoint


def test_another_type_of_range_is_refused() -> None:
    with pytest.raises(TypeError):
        bits_of({1, 2})
