"""Stage 3 of `pack`: the scheme, which is given, completed for an adapter, or found (`auto`).

Imports none of the libraries that fit a target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from skillpm.delta.encoding.lora_source import Factored
from skillpm.flows.pack.encoded_delta import Layers, SettledScheme

if TYPE_CHECKING:
    from pathlib import Path

    from skillpm.delta.encoding.schemes import Scheme
    from skillpm.flows.pack.attachments import Attachments
    from skillpm.flows.pack.calibrate import Calibration
    from skillpm.flows.pack.model_pair import ModelPair
    from skillpm.flows.session.session import Session
    from skillpm.spec.budget import Budget


class TargetFitter(Protocol):
    """Finds the scheme and the layers that meet a target: `fit_auto.fit`, which needs torch."""

    def __call__(
        self,
        session: Session,
        models: ModelPair,
        attachments: Attachments,
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
    """A budget in bytes, or a share of the delta to keep, and the functions that fit it.

    `device` does the tensor maths: `cpu`, or a CUDA device that torch finds.
    """

    fit: TargetFitter
    budget: Budget | None = None
    keep: float | None = None
    calibrate: Calibrator | None = None
    device: str = "cpu"
    name: str = "auto"

    @property
    def settings(self) -> dict[str, object]:
        """What was asked for, as the manifest records it."""
        asked: dict[str, object] = {}
        if self.budget is not None:
            asked["budget"] = self.budget.text
        if self.keep is not None:
            asked["keep"] = self.keep
        if self.device != "cpu":
            asked["device"] = self.device
        return asked


def settle_scheme(
    session: Session,
    models: ModelPair,
    attachments: Attachments,
    asked: Scheme | EncodingTarget,
    folder: Path,
) -> SettledScheme:
    """The scheme that encodes the delta.

    A target is fitted by trials in `folder`; the layers of the best trial are kept, so that they
    are not encoded again. An adapter under `lossless` is stored as its factors. Raises
    `GraftError` if no scheme meets the target.
    """
    if isinstance(asked, EncodingTarget):
        scheme, layers = asked.fit(session, models, attachments, asked, folder)
        return SettledScheme(scheme, layers)
    adapter = models.adapter
    if adapter is not None and asked.name == "lossless":
        return SettledScheme(Factored(asked, adapter.tensors, adapter.settings))
    return SettledScheme(asked)
