"""Cache the results of surveys for some days, so that a killed or repeated `pack` is faster."""

from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any, get_args

from skillpm.delta.auto.candidates import CandidatePoint, EncodingChoice, Family
from skillpm.errors import SkillpmError
from skillpm.files.access import open_below
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.session.session import Session
from skillpm.flows.upkeep.expiry import sweep_cache
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.version import __version__

FOLDER = "surveys"
_SURVEYS = ("cache", FOLDER)


@dataclass(frozen=True)
class SurveyCache:
    """Candidate points by tensor and step index. The folder's name is a hash of their inputs."""

    home: Path
    name: str

    @classmethod
    def of(cls, session: Session, models: ModelPair, weighting: str) -> "SurveyCache":
        """The cache for a pair of models and the key of a weighting."""
        key = {
            "base": str(models.reference.identity.root),
            "tuned": str(models.tuned_identity.root),
            "weighting": weighting,
            "tool": __version__,
        }
        name = Digest.of(json.canonical(key)).hex[:32]
        return cls(session.home, name)

    def load(self, tensor: str, step_index: int) -> list[CandidatePoint] | None:
        """The cached points; None if there are none or the file is damaged."""
        try:
            with open_below(self.home, *_SURVEYS, self.name) as folder:
                plain = json.parse_object(folder.read(_file(tensor, step_index)), "a survey")
            return [_point(point) for point in plain["points"]]
        except (SkillpmError, KeyError, TypeError, ValueError, OverflowError):
            return None

    def save(self, tensor: str, step_index: int, points: list[CandidatePoint]) -> None:
        """Save the points of a tensor at a step index; ignore a file that cannot be written."""
        data = json.canonical({"points": [asdict(point) for point in points]})
        names = (*_SURVEYS, self.name)
        with suppress(SkillpmError), open_below(self.home, *names, create=True) as folder:
            folder.write(_file(tensor, step_index), data)

    def sweep(self, now: datetime) -> None:
        """Remove the surveys that were not changed for some days."""
        sweep_cache(self.home, FOLDER, now, keep=self.name)


def _file(tensor: str, step_index: int) -> str:
    return f"{Digest.of(tensor.encode()).hex[:24]}.{step_index}.json"


def _point(plain: dict[str, Any]) -> CandidatePoint:
    """Parse a point. Raises `KeyError`, `TypeError` or `ValueError` if it is invalid."""
    family, numbers = plain["choice"]["family"], (plain["choice"]["step"], plain["size"])
    step, size, distortion = (float(number) for number in (*numbers, plain["distortion"]))
    if family not in get_args(Family) or not all(map(isfinite, (step, size, distortion))):
        raise ValueError(family)
    return CandidatePoint(EncodingChoice(family, step), size, distortion)
