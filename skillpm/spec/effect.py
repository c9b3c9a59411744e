"""What a lossy pack does to a text: divergence, loss and scores of base, tuned model and pack.

`pack` records it in `compression.settings`: that of `--calibration` beside the other settings, that
of `--probes` under the key `probes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

PROBES = "probes"
"""The key of the effect on probes in the settings."""
SCORES = "scores"
"""The key of the values of metrics in an effect."""


@dataclass(frozen=True)
class Scores:
    """The values of one metric."""

    base: float
    tuned: float
    pack: float


@dataclass(frozen=True)
class PackEffect:
    """The effect of a pack on held-out text, or on the examples of probes.

    `divergence` is that of the base with the pack from the tuned model, `base_divergence` that of
    the base alone: KL divergence in nats per token, or the squared distance of an encoder's
    vectors. Losses are in nats per token; an encoder has none. `gain_kept` is the share of the
    tuned model's gain in loss that the pack keeps, and `gain_error` half its 95 % interval; both
    are None if the tuned model does not gain.
    """

    divergence: float
    base_divergence: float
    loss: float | None = None
    base_loss: float | None = None
    tuned_loss: float | None = None
    gain_kept: float | None = None
    gain_error: float | None = None
    scores: Mapping[str, Scores] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """The effect as it is recorded, rounded to six digits."""
        keys = {
            "divergence": self.divergence,
            "of": self.base_divergence,
            "loss": self.loss,
            "loss_base": self.base_loss,
            "loss_tuned": self.tuned_loss,
            "gain_kept": self.gain_kept,
            "gain_error": self.gain_error,
        }
        plain: dict[str, Any] = {key: _rounded(v) for key, v in keys.items() if v is not None}
        if self.scores:
            plain[SCORES] = {
                metric: {key: _rounded(value) for key, value in vars(scores).items()}
                for metric, scores in self.scores.items()
            }
        return plain

    @classmethod
    def of_settings(cls, plain: Mapping[str, Any]) -> Self | None:
        """The effect that settings record; None if they record none."""
        if "divergence" not in plain:
            return None
        scores = {metric: Scores(**each) for metric, each in plain.get(SCORES, {}).items()}
        return cls(
            plain["divergence"],
            plain["of"],
            plain.get("loss"),
            plain.get("loss_base"),
            plain.get("loss_tuned"),
            plain.get("gain_kept"),
            plain.get("gain_error"),
            scores,
        )


def _rounded(value: float) -> float:
    """Round to six digits."""
    return float(f"{value:.6g}")
