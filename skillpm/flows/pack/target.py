"""What a person asks of the scheme `auto`, without the libraries that it takes to do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from skillpm.delta.encode.schemes import Scheme
    from skillpm.flows.pack.calibrate import Calibration
    from skillpm.flows.pack.encode_layers import Layers
    from skillpm.flows.pack.manifest import ModelPair, PackRequest
    from skillpm.flows.session.session import Session
    from skillpm.spec.budget import Budget


class TargetFitter(Protocol):
    """Finds the scheme and the layers that meet a wish; `flows.auto.fit`, which needs torch."""

    def __call__(
        self,
        session: Session,
        request: PackRequest,
        against: ModelPair,
        wish: EncodingTarget,
        folder: Path,
        /,
    ) -> tuple[Scheme, Layers]:
        """The scheme, and the layers it gave."""
        ...


class Calibrator(Protocol):
    """Runs the tuned model over text; `flows.calibrate.calibrate`, which needs transformers."""

    def __call__(self, session: Session, against: ModelPair, folder: Path, /) -> Calibration:
        """What the text says of the weights."""
        ...


@dataclass(frozen=True)
class EncodingTarget:
    """A budget, or a share of the delta to keep; and who is to see to it."""

    fit: TargetFitter
    budget: Budget | None = None
    keep: float | None = None
    calibrate: Calibrator | None = None
    name: str = "auto"
