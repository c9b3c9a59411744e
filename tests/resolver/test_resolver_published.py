"""What the solvers of others are tested with, told in our own index format.

`published.json` names the project that each graph comes from. Left out is what the index format
or Cargo's grammar has no words for: `!=`, extras, markers, Python versions, packages that are taken
because nothing but yanked releases is there, prereleases that `>=1.0.0` admits.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from resolver_worlds import Oracle, problems

from skillpm.errors import ResolutionError, UnknownSkillError
from skillpm.resolver.question import Question, Wanted
from skillpm.resolver.solve import solve
from skillpm.spec.requirements import Requirement
from skillpm.spec.savedindex import parse_index

CASES = json.loads(Path(__file__).with_name("published.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['origin']}: {case['name']}")
def test_a_published_case_comes_out_as_published(case: dict[str, Any]) -> None:
    index = parse_index(json.dumps({"skills": case["index"]}).encode())
    wanted = tuple(Wanted(Requirement.parse(text), "the case") for text in case["wanted"])
    question = Question(wanted)
    releases = [release for several in index.by_skill.values() for release in several]
    assert Oracle(question, releases).satisfiable() == (case["resolved"] is not None)
    if case["resolved"] is None:
        with pytest.raises((ResolutionError, UnknownSkillError)):
            solve(question, index)
        return
    found = solve(question, index).releases
    assert list(problems(question, releases, found)) == []
    resolved = {str(skill): str(release.version) for skill, release in found.items()}
    assert resolved == case["resolved"]
