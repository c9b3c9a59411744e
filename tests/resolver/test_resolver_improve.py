"""`improve`: no answer becomes staler, and hopeless trials are skipped."""

from resolver_worlds import Shop, random_world, release, wanted

from skillpm.errors import SkillpmError
from skillpm.resolver.closure import Reader
from skillpm.resolver.deadline import NO_DEADLINE, Deadline
from skillpm.resolver.improve import improve, staleness
from skillpm.resolver.question import Question
from skillpm.resolver.rules import Rules
from skillpm.resolver.search import Answer, Proof, search
from skillpm.spec.release import Release


def settled(question: Question, releases: list[Release]) -> tuple[Rules, Answer] | None:
    try:
        rules = Rules(question, Reader(question, Shop(releases), NO_DEADLINE).read())
    except SkillpmError:
        return None
    found = search(rules, NO_DEADLINE)
    return None if isinstance(found, Proof) else (rules, found)


def test_improve_makes_no_answer_staler_and_keeps_fixed_skills() -> None:
    moved = 0
    for seed in range(300):
        question, releases = random_world(seed, skills=8)
        found = settled(question, releases)
        if found is None:
            continue
        rules, answer = found
        traded = improve(rules, answer, NO_DEADLINE)
        assert staleness(rules, traded) <= staleness(rules, answer)
        assert all(
            traded.get(skill, release) is release
            for skill, release in answer.items()
            if rules.is_fixed(skill)
        )
        moved += traded != answer
    assert moved


def test_improve_does_not_search_a_trade_that_requirements_exclude() -> None:
    worlds = [
        release("a 1.0.0", "b"), release("b 1.0.0", "c"), release("b 2.0.0", "c <2"),
        release("c 1.0.0"), release("c 2.0.0"),
    ]  # fmt: skip
    found = settled(Question(wanted("a")), worlds)
    assert found is not None
    rules, answer = found
    assert staleness(rules, answer) == (0, 1)

    def clock() -> float:
        raise AssertionError

    assert improve(rules, answer, Deadline(clock, 0.0, 1.0)) == answer


def test_newest_counts_usable_releases_from_the_highest_version() -> None:
    releases = [release(f"a 1.{minor}.0") for minor in range(5)]
    found = settled(Question(wanted("a")), releases)
    assert found is not None
    (release_set,) = found[0].release_sets.values()
    assert [release_set.newest(count) for count in (0, 1, 2, 5, 9)] == [0, 16, 24, 31, 31]
    assert [release_set.position(each) for each in release_set.releases] == [0, 1, 2, 3, 4]
