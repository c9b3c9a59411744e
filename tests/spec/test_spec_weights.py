"""Weights that a command names, for all its skills or for one."""

import pytest

from skillpm.errors import SpecError, UsageError
from skillpm.spec.names import SkillName
from skillpm.spec.project import ProjectRequirement
from skillpm.spec.weights import WeightArgument, weights_of

MATH, SQL = SkillName.parse("acme/math"), SkillName.parse("acme/sql")


@pytest.mark.parametrize(
    ("text", "skill", "weight"),
    [("0.5", None, 0.5), ("-2", None, -2.0), ("acme/math=1", MATH, 1.0)],
)
def test_a_weight_is_for_all_skills_or_for_a_named_one(
    text: str, skill: SkillName | None, weight: float
) -> None:
    assert WeightArgument.parse(text) == WeightArgument(skill, weight)


@pytest.mark.parametrize(
    "text", ["", "half", "acme/math=", "math=1", "nan", "1e6", "-inf", "a/b=c"]
)
def test_a_weight_that_the_project_file_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        WeightArgument.parse(text)


@pytest.mark.parametrize("weight", [1e6, float("nan"), True, "0.5"])
def test_the_command_and_the_project_file_have_the_same_bounds(weight: object) -> None:
    with pytest.raises(ValueError, match="validation error"):
        ProjectRequirement.model_validate({"weight": weight})
    with pytest.raises(UsageError, match="expected"):
        weights_of({"acme/math": weight}, [MATH])  # type: ignore[dict-item]


def test_a_named_weight_overrides_the_common_one() -> None:
    assert weights_of(0.5, [MATH, SQL]) == {MATH: 0.5, SQL: 0.5}
    both = (WeightArgument(None, 0.5), WeightArgument(SQL, 2.0))
    assert weights_of(both, [MATH, SQL]) == {MATH: 0.5, SQL: 2.0}
    assert weights_of({"acme/sql": 2}, [MATH, SQL]) == {SQL: 2.0}
    assert weights_of(None, [MATH]) == weights_of((), []) == {}


@pytest.mark.parametrize(
    ("given", "skills", "said"),
    [
        (0.5, [], "needs a skill"),
        ({"acme/sql": 1.0}, [MATH], "`acme/sql` has a weight"),
        ((WeightArgument(None, 1.0), WeightArgument(None, 2.0)), [MATH], "two weights for all"),
        ((WeightArgument(MATH, 1.0), WeightArgument(MATH, 2.0)), [MATH], "has two weights"),
    ],
)
def test_ambiguous_weights_are_usage_errors(
    given: object, skills: list[SkillName], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        weights_of(given, skills)  # type: ignore[arg-type]
