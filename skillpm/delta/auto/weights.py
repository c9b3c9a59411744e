"""Error metrics without data, and metrics from Fisher factors measured on calibration text."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from skillpm.delta.auto.metric import ErrorMetric, MetricFactor
from skillpm.delta.tensors.module_kinds import kind_of

VECTOR_WEIGHT = 16.0
"""The weight of an entry of a norm or bias: it affects every token, as a whole row of a matrix
does."""


VOCABULARY = 1 << 12
"""An embedding with at least as many rows has a row for each token of a vocabulary."""
EMBEDDING_WEIGHT = 0.125
"""The mean weight of an entry of a token embedding."""
WIDEST = 8192
"""The longest side with a full Fisher factor: 8192² in float32 is 256 MiB."""
_COMMON = 100
"""The tokens of lower numbers are taken as about equally frequent."""


def token_weights(rows: int) -> torch.Tensor:
    """Return the weights of the rows of a token embedding [rows], their mean `EMBEDDING_WEIGHT`.

    Tokenizers number tokens by falling frequency (the order of merges, or scores), so the frequency
    of token i is about proportional to 1 / (i + 100) (Zipf). The weight is in proportion to its
    square root: as a tied head, every row also affects every prediction.
    """
    shares = (torch.arange(rows, dtype=torch.float64) + _COMMON).rsqrt()
    return (EMBEDDING_WEIGHT * shares / shares.mean()).float()


@dataclass(frozen=True)
class Unweighted:
    """The metric without data: one weight for matrices, a higher one for vectors.

    So one step is used for the whole model: without data, the loss depends on absolute errors, not
    on relative ones (`docs/adr/0009`). The rows of a token embedding have lower weights, by the
    frequency of their tokens (`docs/adr/0042`).
    """

    @property
    def settings(self) -> dict[str, object]:
        """No settings."""
        return {}

    @property
    def key(self) -> str:
        """A constant: nothing but the tensors determines the metrics."""
        return "unweighted"

    def metric(self, tensor: str, shape: tuple[int, int]) -> ErrorMetric:
        """Return a multiple of the identity, or the weights of tokens."""
        kind = kind_of(tensor)
        if kind == "embedding" and shape[0] >= VOCABULARY:
            rows = MetricFactor(token_weights(shape[0]))
            return ErrorMetric(rows, MetricFactor(torch.ones(shape[1])))
        vector = shape[0] == 1 or kind == "norm"
        return ErrorMetric.flat(shape, VECTOR_WEIGHT if vector else 1.0)


@dataclass(frozen=True)
class Kronecker:
    """The Fisher factors of one tensor, `rows` [m, m] or [m] and `columns` [n, n] or [n].

    A vector has no `rows`.
    """

    rows: torch.Tensor | None
    columns: torch.Tensor


@dataclass(frozen=True)
class Calibrated:
    """Metrics from Fisher factors. `load` returns those of a tensor, None if it has none.

    `key` is a hash of everything that determines the factors.
    """

    load: Callable[[str], Kronecker | None]
    facts: dict[str, object]
    key: str

    @property
    def settings(self) -> dict[str, object]:
        """The facts of the calibration."""
        return dict(self.facts)

    def metric(self, tensor: str, shape: tuple[int, int]) -> ErrorMetric:
        """Return the damped factors; a tiny weight if the calibration never reached the tensor."""
        factors = self.load(tensor)
        if factors is None or not float(
            factors.columns.diagonal().sum() if factors.columns.ndim > 1 else factors.columns.sum()
        ):
            return ErrorMetric.flat(shape, torch.finfo(torch.float32).tiny * 2**20)
        rows = torch.ones(1) if factors.rows is None else factors.rows
        return ErrorMetric(MetricFactor.of(rows), MetricFactor.of(factors.columns))
