"""What a survey found, kept for some days: a killed `pack` goes on, another budget is quick."""

import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from skillpm.delta.auto.candidates import Choice, Point
from skillpm.errors import SkillpmError, StateError
from skillpm.flows.manifest_of import Against
from skillpm.flows.setting import Setting
from skillpm.journal.atomic import write_atomic
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.version import __version__

KEPT_DAYS = 7
_DAY = 86_400.0


@dataclass(frozen=True)
class SurveyCache:
    """Points by tensor and rung, in a folder named by all that decides them."""

    folder: Path

    @classmethod
    def of(cls, setting: Setting, against: Against, weighting: dict[str, object]) -> "SurveyCache":
        """The cache of one pair of models under one weighting."""
        key = {
            "base": str(against.reference.identity.root),
            "tuned": str(against.tuned_identity.root),
            "weighting": weighting,
            "tool": __version__,
        }
        name = Digest.of(json.canonical(key)).hex[:32]
        return cls(setting.home / "cache" / "surveys" / name)

    def saved(self, tensor: str, rung: int) -> list[Point] | None:
        """The points that were found before; None where there are none, or they are damaged."""
        path = self._path(tensor, rung)
        try:
            plain = json.parse_object(path.read_bytes(), str(path))
            return [_point(one) for one in plain["points"]]
        except (OSError, SkillpmError, KeyError, TypeError, ValueError):
            return None

    def save(self, tensor: str, rung: int, points: list[Point]) -> None:
        """Keep the points of one tensor at one rung; `cache clean` may take the folder away."""
        path = self._path(tensor, rung)
        with suppress(StateError, OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, json.canonical({"points": [asdict(one) for one in points]}))

    def sweep(self, now: float) -> None:
        """Forget the surveys of models that were not packed for `KEPT_DAYS`."""
        for other in self.folder.parent.glob("*"):
            if now - other.stat().st_mtime > KEPT_DAYS * _DAY:
                shutil.rmtree(other, ignore_errors=True)

    def _path(self, tensor: str, rung: int) -> Path:
        return self.folder / f"{Digest.of(tensor.encode()).hex[:24]}.{rung}.json"


def _point(plain: dict[str, Any]) -> Point:
    choice = Choice(str(plain["choice"]["family"]), float(plain["choice"]["step"]))  # type: ignore[arg-type]
    return Point(choice, float(plain["size"]), float(plain["distortion"]))
