"""Cost and order of a resolution, and its deadline."""

import random
from dataclasses import replace
from itertools import count

import pytest
from resolver_worlds import BASES, Shop, release, skill, wanted

from skillpm.errors import ResolutionError, SkillpmError
from skillpm.resolver.closure import Reader
from skillpm.resolver.deadline import NO_DEADLINE, Deadline
from skillpm.resolver.errors import GaveUpError, WrongBaseError
from skillpm.resolver.positions import Positions
from skillpm.resolver.question import Question
from skillpm.resolver.rules import Rules
from skillpm.resolver.search import Provider
from skillpm.resolver.solve import solve
from skillpm.spec.release import Release

ONE, TWO, _ = BASES


def after(looks: int) -> Deadline:
    """A deadline that passes after the clock was read a given number of times."""
    return Deadline(count().__next__, looks - 1, 0)


def dense_and_hopeless() -> list[Release]:
    """Every two skills conflict in some versions, so that PubGrub needs long."""
    order = random.Random(7)
    names = [f"s{n}" for n in range(14)]
    releases = [release("root 1.0.0", *names)]
    for name in names:
        for version in range(10):
            clashes = [
                f"{other} ={order.randrange(10)}.0.0"
                for other in names
                for _ in "123"
                if other != name
            ]
            releases.append(release(f"{name} {version}.0.0", conflicts=clashes))
    return releases


def test_catalogue_is_queried_once_per_depth() -> None:
    shop = Shop(
        [
            release("a 1.0.0", "c", "d"),
            release("a 0.9.0", "d", "e"),
            release("b 1.0.0", "c"),
            release("c 1.0.0", "f"),
            *(release("d 1.0.0", "a"), release("e 1.0.0"), release("f 1.0.0")),
        ]
    )
    solve(Question(wanted("a", "b")), shop)
    assert [[name.name for name in query] for query in shop.queries] == [
        ["a", "b"],
        ["c", "d", "e"],
        ["f"],
    ]


def test_dependencies_of_unusable_releases_are_not_read() -> None:
    shop = Shop([release("a 1.0.0"), release("a 1.1.0", "b", yanked=True)])
    solve(Question(wanted("a")), shop)
    assert shop.queries == [[skill("a")]]


def test_search_that_reaches_its_deadline_is_not_reported_as_unsatisfiable() -> None:
    with pytest.raises(GaveUpError) as caught:
        solve(Question(wanted("root")), Shop(dense_and_hopeless()), after(100))
    assert caught.value.message.startswith("resolution stopped after 99 s without a result")
    assert "a solution may still exist" in caught.value.message
    assert caught.value.hint
    assert not isinstance(caught.value, ResolutionError)
    assert caught.value.exit_code == 1


def test_reading_the_catalogue_stops_at_the_deadline() -> None:
    shop = Shop([release("a 1.0.0", "b"), release("b 1.0.0")])
    with pytest.raises(GaveUpError):
        solve(Question(wanted("a")), shop, after(1))
    assert len(shop.queries) == 1


def test_wrong_base_is_a_resolution_error_if_the_deadline_passes() -> None:
    releases = [release("a 1.0.0", base=TWO)]
    question = Question(wanted("a"), base=ONE)
    with pytest.raises(WrongBaseError):
        solve(question, Shop(releases))
    kinds = []
    for calls in range(9):
        with pytest.raises(SkillpmError) as caught:
            solve(question, Shop(releases), after(calls))
        kinds.append(type(caught.value))
    in_order = [GaveUpError, ResolutionError, WrongBaseError]
    assert list(dict.fromkeys(kinds)) == in_order


def test_accepted_pack_for_another_base_is_a_candidate() -> None:
    foreign = release("a 2.0.0", base=TWO)
    digest = BASES[2]
    releases = [release("a 1.0.0", base=ONE), replace(foreign, digest=digest)]
    question = Question(wanted("a"), base=ONE)
    assert solve(question, Shop(releases)).releases[skill("a")] == releases[0]
    accepting = replace(question, accepted=frozenset([digest]))
    assert solve(accepting, Shop(releases)).releases[skill("a")] == releases[1]


def test_conflict_undoes_few_decisions() -> None:
    names = [f"s{n:03}" for n in range(300)]
    releases = [release(f"{name} 1.0.0") for name in names]
    choosy = (release(f"z {n}.0.0", conflicts=["s000 =1.0.0"]) for n in range(1, 30))
    deadline = after(300 + 15 * 30)
    found = solve(
        Question(wanted(*names, "z")), Shop([*releases, *choosy, release("z 0.1.0")]), deadline
    )
    assert str(found.releases[skill("z")].version) == "0.1.0"


def test_provider_reports_whether_a_range_has_a_usable_release() -> None:
    question = Question(wanted("a"))
    shop = Shop([release("a 1.0.0"), release("a 2.0.0", yanked=True)])
    provider = Provider(Rules(question, Reader(question, shop, NO_DEADLINE).read()), NO_DEADLINE)
    assert provider.has_satisfying_version(skill("a"), Positions(0b11))
    assert not provider.has_satisfying_version(skill("a"), Positions(0b10))


def test_answer_contains_the_release_objects_of_the_catalogue() -> None:
    one = release("a 1.0.0", size=7, summary="adds up")
    assert solve(Question(wanted("a")), Shop([one])).releases == {skill("a"): one}


def test_dependency_adapts_to_the_newest_release_that_requires_it() -> None:
    rack = [release(f"rack {n}.0.0") for n in (1, 2, 3)]
    rails = [release("rails 1.0.0", "rack"), release("rails 7.0.0", "rack <3")]
    found = solve(Question(wanted("rack", "rails")), Shop([*rack, *rails])).releases
    assert {str(r.ref) for r in found.values()} == {"acme/rack 2.0.0", "acme/rails 7.0.0"}


def test_skills_are_decided_in_order_of_depth() -> None:
    releases = [
        release("app 1.0.0", "zeta", "beta"),
        release("beta 1.0.0", "deep"),
        release("deep 1.0.0", "leaf"),
        release("deep 2.0.0", "zeta <2", "leaf"),
        release("zeta 1.0.0", "leaf"),
        release("zeta 2.0.0", "leaf"),
        release("leaf 1.0.0"),
    ]
    found = solve(Question(wanted("app")), Shop(releases)).releases
    assert str(found[skill("zeta")].version) == "2.0.0"
    assert str(found[skill("deep")].version) == "1.0.0"


def test_one_skill_gets_an_older_release_if_many_others_gain() -> None:
    parts = [f"part{n}" for n in range(6)]
    releases = [release("app 1.0.0", "core", *parts), release("leaf 1.0.0")]
    releases += [release("core 1.0.0", "leaf"), release("core 2.0.0", *(f"{p} <2" for p in parts))]
    releases += [release(f"{part} {n}.0.0", "leaf") for part in parts for n in (1, 2)]
    found = solve(Question(wanted("app")), Shop(releases)).releases
    assert str(found[skill("core")].version) == "1.0.0"
    assert {str(found[skill(part)].version) for part in parts} == {"2.0.0"}


def test_directly_required_skill_does_not_get_an_older_release() -> None:
    parts = [f"part{n}" for n in range(6)]
    releases = [release("app 1.0.0", *parts), release("app 2.0.0", *(f"{p} <2" for p in parts))]
    releases += [release(f"{part} {n}.0.0") for part in parts for n in (1, 2)]
    found = solve(Question(wanted("app")), Shop(releases)).releases
    assert str(found[skill("app")].version) == "2.0.0"
