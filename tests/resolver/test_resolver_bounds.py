"""Explanations of hostile indexes: their cost is bounded, and they stay short and useful."""

import time

import pytest
from resolver_worlds import Shop, release, wanted

from skillpm.errors import ResolutionError
from skillpm.resolver.deadline import Deadline
from skillpm.resolver.explain import LENGTH, SENTENCES
from skillpm.resolver.question import Question
from skillpm.resolver.solve import solve
from skillpm.spec.release import Release


def failure(releases: list[Release], deadline: Deadline) -> ResolutionError:
    with pytest.raises(ResolutionError) as caught:
        solve(Question(wanted("a")), Shop(releases), deadline)
    return caught.value


def many_versions(count: int) -> list[Release]:
    """One skill; each version requires a different missing version of another skill."""
    asks = [release(f"a 1.{n}.0", f"b ={n + 1}.0.0") for n in range(count)]
    return [*asks, release("b 0.1.0")]


def cost_of(count: int) -> float:
    """CPU seconds of the fastest of three runs."""
    releases, costs = many_versions(count), []
    for _ in range(3):
        start = time.process_time()
        failure(releases, Deadline.starting(time.monotonic, 600))
        costs.append(time.process_time() - start)
    return min(costs)


def test_explanation_time_grows_less_than_quadratically() -> None:
    cost_of(100)
    assert cost_of(2000) < 14 * cost_of(500)


def test_explanation_after_the_deadline_is_cut_off_but_names_a_reason() -> None:
    ticks = iter(range(10**9))
    problem = failure(many_versions(3000), Deadline.starting(lambda: float(next(ticks)), 13_000))
    assert "`a` " in problem.message.replace("acme/", "")
    assert "no release of `acme/b` matches; available: 0.1.0" in problem.message
    assert "is required by" in problem.message


def chain(count: int) -> list[Release]:
    links = [release(f"s{n} 1.0.0", f"s{n + 1} ^1") for n in range(count)]
    return [release("a 1.0.0", "s0"), *links, release(f"s{count} 2.0.0")]


def pairs_about_one_skill(count: int) -> list[Release]:
    asks = [release(f"s{n} 1.0.0", f"b ={n}.0.0") for n in range(count)]
    targets = [release(f"b {n}.0.0") for n in range(count)]
    return [release("a 1.0.0", *(f"s{n}" for n in range(count))), *asks, *targets]


def one_skill_many_times(count: int) -> list[Release]:
    return [release("a 1.0.0", *(f"b ={n}.0.0" for n in range(count))), release("b 0.0.1")]


@pytest.mark.parametrize("world", [
    many_versions(400), chain(1000), pairs_about_one_skill(400), one_skill_many_times(2000),
])  # fmt: skip
def test_explanation_length_is_limited(world: list[Release]) -> None:
    lines = failure(world, Deadline.starting(time.monotonic, 600)).message.splitlines()
    assert len(lines) <= SENTENCES + 2
    assert all(len(line) <= LENGTH + 2 for line in lines)
    assert any("requires" in line for line in lines)
