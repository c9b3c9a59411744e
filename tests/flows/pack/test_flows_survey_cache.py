"""Surveys are read again only if they are whole and only their owner can have written them."""

import json
from pathlib import Path
from typing import Any

import pytest

from skillpm.delta.auto.points import CandidatePoint, EncodingChoice, TensorSurvey
from skillpm.flows.pack.survey_cache import SurveyCache
from skillpm.spec.sealed import seal, unseal

SURVEY = TensorSurvey(2.0, (CandidatePoint(EncodingChoice("zero"), 65.0, 2.0),))


def _saved(home: Path) -> tuple[SurveyCache, Path]:
    cache = SurveyCache(home, "models")
    cache.save("w", SURVEY)
    (path,) = (home / "cache/surveys/models").iterdir()
    return cache, path


def test_a_survey_is_read_again(tmp_path: Path) -> None:
    cache, _ = _saved(tmp_path)
    assert cache.load("w") == SURVEY
    assert cache.load("v") is None


@pytest.mark.parametrize("exposed", ["the file", "the folder", "the home"])
def test_a_survey_that_others_can_write_is_not_used(tmp_path: Path, exposed: str) -> None:
    cache, path = _saved(tmp_path)
    places = {"the file": path, "the folder": path.parent, "the home": tmp_path}
    places[exposed].chmod(0o777)
    assert cache.load("w") is None


def test_a_changed_survey_is_not_used(tmp_path: Path) -> None:
    cache, path = _saved(tmp_path)
    content = unseal(path.read_bytes(), "the survey")
    changed = {**content, "energy": 3.0}
    for damage in (path.read_bytes()[:-1], json.dumps(content).encode(), b"[]"):
        path.write_bytes(damage)
        assert cache.load("w") is None
    path.write_bytes(seal(content).replace(b'"energy":2', b'"energy":3'))
    assert cache.load("w") is None
    path.write_bytes(seal(changed))
    assert cache.load("w") == TensorSurvey(3.0, SURVEY.points)
    invalid: dict[str, Any]
    for invalid in ({"energy": "much"}, {"points": []}, {"points": [{"choice": {}}]}):
        path.write_bytes(seal({**content, **invalid}))
        assert cache.load("w") is None


def test_a_home_that_cannot_be_written_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    cache = SurveyCache(tmp_path, "models")
    cache.save("w", SURVEY)
    assert cache.load("w") is None
