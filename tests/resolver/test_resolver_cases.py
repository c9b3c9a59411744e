"""Recorded cases: an index, requirements and the expected result."""

import json
from pathlib import Path
from typing import Any

import pytest

from skillpm.resolver.question import Question, RootRequirement
from skillpm.resolver.solve import solve
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement
from skillpm.spec.savedindex import parse_index
from skillpm.spec.versions import Version

CASES = json.loads(Path(__file__).with_name("cases.json").read_text())


def root(name: str) -> Digest:
    return Digest.of(name.encode())


def question_of(case: dict[str, Any]) -> Question:
    return Question(
        tuple(
            RootRequirement(Requirement.parse(text), "the command line") for text in case["wanted"]
        ),
        base=root(case["base"]) if "base" in case else None,
        locked={
            SkillName.parse(skill): Version.parse(version)
            for skill, version in case.get("locked", {}).items()
        },
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_recorded_case(case: dict[str, Any]) -> None:
    for releases in case["index"].values():
        for release in releases.values():
            if "base" in release:
                release["base"] = str(root(release["base"]))
    index = parse_index(json.dumps({"skills": case["index"]}).encode())
    found = solve(question_of(case), index).releases
    resolved = {str(skill): str(release.version) for skill, release in found.items()}
    assert resolved == case["resolved"]
    assert list(resolved) == sorted(resolved)
