"""The target of the scheme `auto`, without importing the libraries that fit it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from skillpm.delta.encoding.schemes import Scheme
    from skillpm.flows.pack.calibrate import Calibration
    from skillpm.flows.pack.encode_layers import Layers
    from skillpm.flows.pack.manifest import ModelPair, PackRequest
    from skillpm.flows.session.session import Session
    from skillpm.spec.budget import Budget


class TargetFitter(Protocol):
    """Finds the scheme and the layers that meet a target: `fit_auto.fit`, which needs torch."""

    def __call__(
        self,
        session: Session,
        request: PackRequest,
        models: ModelPair,
        target: EncodingTarget,
        folder: Path,
        /,
    ) -> tuple[Scheme, Layers]:
        """The scheme, and the layers that it encoded."""
        ...


class Calibrator(Protocol):
    """Runs the tuned model over text: `calibrate.calibrate`, which needs transformers."""

    def __call__(self, session: Session, models: ModelPair, folder: Path, /) -> Calibration:
        """The weighting of errors that follows from the text."""
        ...


@dataclass(frozen=True)
class EncodingTarget:
    """A budget in bytes, or a share of the delta to keep, and the functions that fit it."""

    fit: TargetFitter
    budget: Budget | None = None
    keep: float | None = None
    calibrate: Calibrator | None = None
    name: str = "auto"
