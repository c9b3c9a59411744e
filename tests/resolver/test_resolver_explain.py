"""The exact text of explanations when there is no solution."""

from textwrap import dedent

import pytest
from resolver_worlds import BASES, Shop, release, skill, wanted

from skillpm.errors import ResolutionError
from skillpm.resolver.errors import UnknownWantedError, WrongBaseError
from skillpm.resolver.question import Question
from skillpm.resolver.solve import solve
from skillpm.spec.release import Release

ONE, TWO, THREE = BASES


def failure(question: Question, *releases: Release) -> ResolutionError:
    with pytest.raises(ResolutionError) as caught:
        solve(question, Shop(releases))
    assert caught.value.exit_code == 4
    assert caught.value.kind == "resolution"
    return caught.value


def check(problem: ResolutionError, reasons: str, *, hint: str) -> None:
    first, *lines = problem.message.splitlines()
    assert first == "no set of releases satisfies the requirements:"
    assert lines == [f"  {line}" for line in dedent(reasons).strip().splitlines()]
    assert problem.hint == hint


def test_contradictory_root_requirements_are_both_shown() -> None:
    check(
        failure(Question(wanted("b ^1", "b ^2")), release("b 1.0.0"), release("b 2.0.0")),
        """
        `acme/b ^1` is required by skillpm.toml:7
        `acme/b ^2` is required by skillpm.toml:8
        """,
        hint="an environment has one version of each skill: change the requirements so that one "
        "version satisfies all of them",
    )


def test_contradictory_dependencies_come_first() -> None:
    check(
        failure(
            Question(wanted("a", "c")),
            *(release("a 1.0.0", "b ^2"), release("c 1.0.0", "b ^1")),
            *(release("b 1.0.0"), release("b 2.0.0")),
        ),
        """
        `acme/a` 1.0.0 requires `acme/b ^2`
        `acme/c` 1.0.0 requires `acme/b ^1`
        `acme/a` is required by skillpm.toml:7
        `acme/c` is required by skillpm.toml:8
        """,
        hint="`skillpm show acme/b` lists its releases",
    )


def test_conflict_names_the_release_that_declares_it() -> None:
    check(
        failure(
            Question(wanted("a", "c")),
            *(release("a 1.0.0", "b ^2"), release("c 1.0.0", conflicts=["b >=2", "b >=3"])),
            *(release("b 1.0.0"), release("b 2.0.0")),
        ),
        """
        `acme/a` 1.0.0 requires `acme/b ^2`
        `acme/c` 1.0.0 conflicts with `acme/b >=2`
        `acme/a` is required by skillpm.toml:7
        `acme/c` is required by skillpm.toml:8
        """,
        hint="`skillpm show acme/b` lists its releases",
    )


def test_requirement_without_a_match_is_shown_with_the_available_versions() -> None:
    listed = "1.0.0, 2.0.0, 3.0.0, …, 7.0.0, 8.0.0, 9.0.0 (9 releases)"
    check(
        failure(Question(wanted("b ^10")), *(release(f"b {n}.0.0") for n in range(1, 10))),
        f"""
        `acme/b ^10` is required by skillpm.toml:7
        no release of `acme/b` matches; available: {listed}
        """,
        hint="`skillpm show acme/b` lists its releases",
    )


def test_contradictory_requirements_of_one_release_are_shown_together() -> None:
    check(
        failure(
            Question(wanted("a")),
            *(release("a 1.0.0", "b ^2", "b ^1"), release("b 1.0.0"), release("b 2.0.0")),
        ),
        """
        `acme/a` 1.0.0 requires `acme/b ^2` and `acme/b ^1`
        no release of `acme/b` matches; available: 1.0.0, 2.0.0
        `acme/a` is required by skillpm.toml:7
        """,
        hint="`skillpm show acme/b` lists its releases",
    )


def test_release_that_requires_another_version_of_itself_is_explained() -> None:
    check(
        failure(Question(wanted("a")), release("a 1.0.0", "a ^2")),
        """
        `acme/a` 1.0.0 requires `acme/a ^2`
        `acme/a` is required by skillpm.toml:7
        """,
        hint="`skillpm show acme/a` lists its releases",
    )


def test_matching_prereleases_are_listed() -> None:
    check(
        failure(
            Question(wanted("b ^2")),
            *(release("b 1.0.0"), release("b 2.0.0-rc.1")),
            release("b 2.0.0-rc.2", yanked=True),
        ),
        """
        `acme/b ^2` is required by skillpm.toml:7
        only prereleases of `acme/b` match: 2.0.0-rc.1
        """,
        hint="to allow prereleases, require `acme/b ^2.0.0-rc.1`",
    )


def test_yanked_releases_are_named_with_the_reason() -> None:
    check(
        failure(
            Question(wanted("b ^2")),
            release("b 1.0.0"),
            release("b 2.0.0", yanked=True, yank_reason="wrong\nlicence"),
        ),
        """
        `acme/b ^2` is required by skillpm.toml:7
        `acme/b` 2.0.0 is yanked: wrong licence
        """,
        hint="`skillpm install acme/b@=2.0.0 --allow-yanked` installs the yanked release anyway",
    )


def test_unknown_dependency_is_shown_with_the_releases_that_require_it() -> None:
    check(
        failure(
            Question(wanted("b")),
            *(release("b 1.0.0", "c", "absent ^1"), release("b 1.1.0", "absent ^1")),
            release("c 1.0.0"),
        ),
        """
        every release of `acme/b` requires `acme/absent ^1`
        there is no skill `acme/absent`
        `acme/b` is required by skillpm.toml:7
        """,
        hint="`skillpm search absent` searches for skills with a similar name",
    )


def test_releases_for_different_bases_are_shown_with_their_bases() -> None:
    check(
        failure(
            Question(wanted("a", "b")), release("a 1.0.0", base=ONE), release("b 1.0.0", base=TWO)
        ),
        f"""
        `acme/a` 1.0.0 is built for base {ONE.short}
        `acme/b` 1.0.0 is built for base {TWO.short}
        `acme/a` is required by skillpm.toml:7
        `acme/b` is required by skillpm.toml:8
        """,
        hint="choose skills that are built for the same base: an environment has one base",
    )


def test_wrong_base_is_shown_with_both_roots_and_a_release_that_fits() -> None:
    releases = [
        release("math 1.3.0", base=ONE),
        release("math 2.0.0", base=TWO),
        release("math 2.1.0", base=TWO),
        release("math 2.2.0", base=TWO, yanked=True),
    ]
    problem = failure(Question(wanted("math ^2"), base=ONE), *releases)
    one, two = ONE.short, TWO.short
    check(
        problem,
        f"""
        `acme/math ^2` is required by skillpm.toml:7
        `acme/math` 2.0.0, 2.1.0 are built for base {two}, but this project's base is {one}
        `acme/math` 2.2.0 is yanked
        """,
        hint="`acme/math 1.3.0` is built for this project's base",
    )
    assert isinstance(problem, WrongBaseError)
    assert problem.wrong_base == (releases[2], releases[1])


def test_wrong_bases_are_listed_by_root() -> None:
    problem = failure(
        Question(wanted("math"), base=ONE),
        *(release("math 1.0.0", base=TWO), release("math 1.1.0", base=THREE)),
    )
    check(
        problem,
        f"""
        `acme/math` is required by skillpm.toml:7
        `acme/math` 1.0.0 is built for base {TWO.short}, but this project's base is {ONE.short}
        `acme/math` 1.1.0 is built for base {THREE.short}, but this project's base is {ONE.short}
        """,
        hint="`skillpm show acme/math` lists its releases",
    )


def test_wrong_base_error_is_not_raised_if_another_reason_remains() -> None:
    problem = failure(
        Question(wanted("math", "b ^2"), base=ONE),
        *(release("math 1.0.0", "b ^1", base=TWO), release("b 1.0.0"), release("b 2.0.0")),
    )
    assert not isinstance(problem, WrongBaseError)
    assert "is built for base" in problem.message


def test_many_similar_requirements_are_represented_by_the_newest() -> None:
    check(
        failure(
            Question(wanted("a", "z")),
            *(release(f"a {n}.0.0", f"b ={n}.0.0") for n in range(1, 10)),
            *(release(f"b {n}.0.0") for n in range(1, 12)),
            release("z 1.0.0", "b >=10"),
        ),
        """
        `acme/a` 9.0.0 requires `acme/b =9.0.0`; 8 other releases require other versions
        `acme/z` 1.0.0 requires `acme/b >=10`
        `acme/a` is required by skillpm.toml:7
        `acme/z` is required by skillpm.toml:8
        """,
        hint="`skillpm show acme/b` lists its releases",
    )


def test_long_explanation_starts_with_root_requirements_and_folds_chains() -> None:
    chain = [release(f"s{n} 1.0.0", f"s{n + 1} ^1") for n in range(50)]
    check(
        failure(Question(wanted("s0")), *chain),
        """
        `acme/s0` is required by skillpm.toml:7
        `acme/s49` 1.0.0 requires `acme/s50 ^1`
        there is no skill `acme/s50`
        `acme/s0` requires `acme/s49` through a chain of 49 requirements
        """,
        hint="`skillpm search s50` searches for skills with a similar name",
    )


def test_conflict_after_long_chains_follows_the_root_requirements() -> None:
    chains = [release(f"{s}{n} 1.0.0", f"{s}{n + 1} ^1") for s in "ab" for n in range(9)]
    ends = [release("a9 1.0.0", "z ^1"), release("b9 1.0.0", "z ^2")]
    problem = failure(
        Question(wanted("a0", "b0")), *chains, *ends, release("z 1.0.0"), release("z 2.0.0")
    )
    lines = [line.strip() for line in problem.message.splitlines()[1:]]
    assert lines[:2] == [
        "`acme/a0` is required by skillpm.toml:7",
        "`acme/b0` is required by skillpm.toml:8",
    ]
    assert sorted(lines[2:4]) == [
        "`acme/a9` 1.0.0 requires `acme/z ^1`",
        "`acme/b9` 1.0.0 requires `acme/z ^2`",
    ]
    assert sorted(lines[4:]) == [
        "`acme/a0` requires `acme/a9` through a chain of 9 requirements",
        "`acme/b0` requires `acme/b9` through a chain of 9 requirements",
    ]


def test_unknown_skill_is_shown_with_the_origin_of_its_requirement() -> None:
    with pytest.raises(UnknownWantedError) as caught:
        solve(Question(wanted("a", "mth ^1")), Shop([release("a 1.0.0"), release("math 1.0.0")]))
    assert caught.value.message == (
        "there is no skill `acme/mth`, which is required by skillpm.toml:8"
    )
    assert caught.value.skill == skill("mth")
    assert caught.value.exit_code == 4


def test_skill_with_15000_versions_is_explained() -> None:
    releases = [release(f"a 1.0.{n}", f"b =1.0.{n}") for n in range(15_000)]
    with pytest.raises(ResolutionError) as caught:
        solve(Question(wanted("a")), Shop([*releases, release("b 2.0.0")]))
    assert "acme/b" in caught.value.message
    assert len(caught.value.message) < 8_000
