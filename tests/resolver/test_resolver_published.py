"""Test cases of other projects' resolvers, converted to skillpm's saved-index format.

Each file of `published/` has the cases of one project. Cases that the format or Cargo's grammar
cannot express are left out: extras, markers, versions of Python or Dart, overrides, packages that
are chosen because only yanked releases or prereleases exist, and cyclic dependencies that count as
an error. Graphs of thousands of real packages are left out too. `!=` is written as a conflict, and
an exclusion by the root as a conflict of a root skill.
"""

import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from resolver_worlds import Oracle, Shop, problems, release, skill, wanted

from skillpm.errors import ResolutionError, UnknownSkillError
from skillpm.resolver.question import Question, RootRequirement
from skillpm.resolver.solve import solve
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement
from skillpm.spec.savedindex import parse_index
from skillpm.spec.versions import Version

FILES = sorted(Path(__file__).with_name("published").glob("*.json"))
CASES = list(chain.from_iterable(json.loads(file.read_text()) for file in FILES))


def question_of(case: dict[str, Any]) -> Question:
    def pairs(key: str) -> dict[SkillName, Version]:
        listed = case.get(key, {}).items()
        return {SkillName.parse(name): Version.parse(version) for name, version in listed}

    return Question(
        tuple(RootRequirement(Requirement.parse(text), "the case") for text in case["wanted"]),
        locked=pairs("locked"),
        admitted=frozenset(pairs("admitted").items()),
        lowest=case.get("lowest", False),
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['origin']}: {case['name']}")
def test_published_case_has_the_published_result(case: dict[str, Any]) -> None:
    index = parse_index(json.dumps({"skills": case["index"]}).encode())
    question = question_of(case)
    releases = [release for several in index.by_skill.values() for release in several]
    fails = case.get("fails", False)
    assert Oracle(question, releases).satisfiable() is not fails
    if fails:
        with pytest.raises((ResolutionError, UnknownSkillError)):
            solve(question, index)
        return
    found = solve(question, index).releases
    assert list(problems(question, releases, found)) == []
    assert {str(name): str(one.version) for name, one in found.items()} == case["resolved"]


def test_chain_of_5000_that_ends_in_a_missing_skill_is_explained() -> None:
    length = 5_000  # pubgrub-rs tests that a proof as deep as this overflows no stack
    links = [release(f"p{n} 1.0.0", f"p{n + 1} =1.0.0") for n in range(length)]
    with pytest.raises(ResolutionError, match=f"there is no skill `acme/p{length}`"):
        solve(Question(wanted("p0")), Shop(links))


def test_first_name_wins_among_mutually_exclusive_skills() -> None:
    names = [f"r{n:02}" for n in range(40)]  # after pubgrub-rs, which has a thousand of them
    old = [release(f"{name} 1.0.0") for name in names]
    new = [
        release(f"{name} 2.0.0", *(f"{other} =1.0.0" for other in names if other != name))
        for name in names
    ]
    found = solve(Question(wanted(*names)), Shop([*old, *new])).releases
    assert [name for name in found if found[name].version.major == 2] == [skill("r00")]
