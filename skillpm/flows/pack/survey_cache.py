"""Cache the results of surveys for a week, so that a killed or repeated `pack` is faster."""

from dataclasses import asdict, dataclass
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any, get_args

from skillpm.delta.auto.points import CandidatePoint, EncodingChoice, Family, TensorSurvey
from skillpm.flows.pack.model_pair import ModelPair
from skillpm.flows.session.session import Session
from skillpm.flows.upkeep.expiry import sweep_cache
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.store.sealed_documents import load_sealed, save_sealed
from skillpm.version import __version__

FOLDER = "surveys"


@dataclass(frozen=True)
class SurveyCache:
    """Surveys by tensor. The folder's name is a hash of their inputs."""

    home: Path
    name: str

    @classmethod
    def of(cls, session: Session, models: ModelPair, weighting: str, device: str) -> "SurveyCache":
        """The cache for a pair of models, the key of a weighting and a device."""
        key = {
            "base": str(models.reference.identity.root),
            "tuned": str(models.tuned_identity.root),
            "weighting": weighting,
            "device": device,
            "tool": __version__,
        }
        name = Digest.of(json.canonical(key)).hex[:32]
        return cls(session.home, name)

    def load(self, tensor: str) -> TensorSurvey | None:
        """The cached survey; None if there is none, if it is damaged, or if others can write it."""
        plain = load_sealed(self.home, FOLDER, self.name, _file(tensor))
        if plain is None:
            return None
        try:
            energy, points = _number(plain["energy"]), tuple(map(_point, plain["points"]))
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        return TensorSurvey(energy, points) if points else None

    def save(self, tensor: str, survey: TensorSurvey) -> None:
        """Save the survey of a tensor; ignore a file that cannot be written."""
        save_sealed(self.home, (FOLDER, self.name, _file(tensor)), asdict(survey))

    def sweep(self, now: datetime) -> None:
        """Remove old surveys of other models, then the oldest above the size limit."""
        sweep_cache(self.home, FOLDER, now, keep=self.name)


def _file(tensor: str) -> str:
    return f"{Digest.of(tensor.encode()).hex[:24]}.json"


def _number(value: Any) -> float:
    """Parse a finite number. Raises `TypeError` or `ValueError`."""
    number = float(value)
    if not isfinite(number):
        raise ValueError(value)
    return number


def _point(plain: dict[str, Any]) -> CandidatePoint:
    """Parse a point. Raises `KeyError`, `TypeError` or `ValueError` if it is invalid."""
    family, step = plain["choice"]["family"], _number(plain["choice"]["step"])
    if family not in get_args(Family):
        raise ValueError(family)
    return CandidatePoint(
        EncodingChoice(family, step), _number(plain["size"]), _number(plain["distortion"])
    )
