"""What a survey found, kept for some days: a killed `pack` goes on, another budget is quick."""

from contextlib import suppress
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any, get_args

from skillpm.delta.auto.candidates import CandidatePoint, EncodingChoice, Family
from skillpm.errors import SkillpmError
from skillpm.files.access import open_below
from skillpm.flows.pack.manifest import ModelPair
from skillpm.flows.session.session import Session
from skillpm.flows.upkeep.expiry import age_out
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.version import __version__

KEPT_DAYS = 7
_DAY = 86_400.0
_SURVEYS = ("cache", "surveys")


@dataclass(frozen=True)
class SurveyCache:
    """Points by tensor and rung, in a folder named by all that decides them."""

    home: Path
    name: str

    @classmethod
    def of(
        cls, session: Session, against: ModelPair, weighting: dict[str, object]
    ) -> "SurveyCache":
        """The cache of one pair of models under one weighting."""
        key = {
            "base": str(against.reference.identity.root),
            "tuned": str(against.tuned_identity.root),
            "weighting": weighting,
            "tool": __version__,
        }
        name = Digest.of(json.canonical(key)).hex[:32]
        return cls(session.home, name)

    def saved(self, tensor: str, rung: int) -> list[CandidatePoint] | None:
        """The points that were found before; None where there are none, or they are damaged."""
        try:
            with open_below(self.home, *_SURVEYS, self.name) as folder:
                plain = json.parse_object(folder.read(_file(tensor, rung)), "a survey")
            return [_point(point) for point in plain["points"]]
        except (SkillpmError, KeyError, TypeError, ValueError, OverflowError):
            return None

    def save(self, tensor: str, rung: int, points: list[CandidatePoint]) -> None:
        """Keep the points of one tensor at one rung; `cache clean` may take the folder away."""
        data = json.canonical({"points": [asdict(point) for point in points]})
        names = (*_SURVEYS, self.name)
        with suppress(SkillpmError), open_below(self.home, *names, create=True) as folder:
            folder.write(_file(tensor, rung), data)

    def sweep(self, now: float) -> None:
        """Forget the surveys of models that were not packed for `KEPT_DAYS`."""
        age_out(self.home, *_SURVEYS, before=now - KEPT_DAYS * _DAY, dry_run=False)


def _file(tensor: str, rung: int) -> str:
    return f"{Digest.of(tensor.encode()).hex[:24]}.{rung}.json"


def _point(plain: dict[str, Any]) -> CandidatePoint:
    """Raises `KeyError`, `TypeError` or `ValueError` for what is no point."""
    family, numbers = plain["choice"]["family"], (plain["choice"]["step"], plain["size"])
    step, size, distortion = (float(number) for number in (*numbers, plain["distortion"]))
    if family not in get_args(Family) or not all(map(isfinite, (step, size, distortion))):
        raise ValueError(family)
    return CandidatePoint(EncodingChoice(family, step), size, distortion)
