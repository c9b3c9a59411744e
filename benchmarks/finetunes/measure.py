"""Measure how much of a fine-tune's gain a candidate keeps.

`python -m benchmarks.finetunes.measure NAME DIR` measures a model directory. An evaluator is built
once per fine-tune and keeps the tuned model's outputs, so a candidate costs one pass over the
held-out texts: a few seconds on two cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file

Candidate = Mapping[str, torch.Tensor] | Path
"""Tensors by their names in the checkpoint, in any floating dtype, or a model directory."""


class Measured(Protocol):
    """Figures of a candidate that every evaluator reports; each adds its own.

    `gain_kept` is 0.0 for the base and 1.0 for the tuned model, of a loss in nats; `gain_error`
    is its standard error over the held-out texts.
    """

    @property
    def gain_kept(self) -> float: ...  # noqa: D102 - the class says it

    @property
    def gain_error(self) -> float: ...  # noqa: D102 - the class says it

    def figures(self) -> dict[str, float]:
        """All figures by name."""
        ...


class Evaluator(Protocol):
    """Measures candidates for one fine-tune; `base` and `tuned` are the ends of its scale."""

    @property
    def base(self) -> Measured: ...  # noqa: D102 - the class says it

    @property
    def tuned(self) -> Measured: ...  # noqa: D102 - the class says it

    def measure(self, candidate: Candidate) -> Measured:
        """Run the candidate over the held-out texts. Rejects missing and unknown tensors."""
        ...


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the way from base to tuned, and its standard error."""

    value: float
    error: float


def share(base: torch.Tensor, tuned: torch.Tensor, candidate: torch.Tensor) -> Share:
    """The share of the decrease of the mean loss that the candidate keeps; inputs are [texts] each.

    The error is that of a ratio of means over texts (Cochran 1977, 6.4), so that the variance that
    base, tuned and candidate share in a text cancels.
    """
    gain, kept = (base - tuned).double(), (base - candidate).double()
    value = float(kept.mean() / gain.mean())
    rest = kept - value * gain
    error = float(rest.std() / len(rest) ** 0.5 / gain.mean().abs())
    return Share(value, error)


def tensors(candidate: Candidate) -> dict[str, torch.Tensor]:
    """A candidate's tensors by name; the files of a directory are read completely."""
    if isinstance(candidate, Mapping):
        return dict(candidate)
    files = sorted(candidate.glob("*.safetensors"))
    if not files:
        message = f"`{candidate}` holds no .safetensors file"
        raise FileNotFoundError(message)
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


class Slot:
    """A float32 model whose weights are replaced by those of one candidate after another."""

    def __init__(self, model: Any, *, tuned: Path, base: Path) -> None:
        self.model = model
        self._names = frozenset(tensors(tuned))
        # The base may still have a buffer that the tuned model was saved without.
        self._allowed = self._names | frozenset(tensors(base))

    def fill(self, candidate: Candidate) -> Any:
        """Load the candidate's weights without rounding. Rejects missing tensors."""
        found = tensors(candidate)
        missing, unknown = self._names - found.keys(), found.keys() - self._allowed
        if missing or unknown:
            message = f"a candidate without {sorted(missing)} and with unknown {sorted(unknown)}"
            raise ValueError(message)
        weights = {name: found[name].float() for name in self._names}
        # Not strict: a tied head is in the model, but not in its file.
        unplaced = self.model.load_state_dict(weights, strict=False).unexpected_keys
        if unplaced:
            message = f"the model has no place for {sorted(unplaced)}"
            raise ValueError(message)
        return self.model


def main() -> None:
    """Measure one model directory."""
    import argparse

    from benchmarks.finetunes.catalogue import CACHE, finetunes
    from benchmarks.tools.table import Table

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="name of the fine-tune, such as lm-headers-0")
    parser.add_argument("candidate", type=Path, help="a model directory")
    parser.add_argument("--cache", type=Path, default=CACHE)
    arguments = parser.parse_args()
    found = {one.name: one for one in finetunes(arguments.cache)}
    if arguments.name not in found:
        parser.error(f"`{arguments.name}` is not there; there are: {', '.join(found)}")
    evaluator = found[arguments.name].evaluator()
    measured = evaluator.measure(arguments.candidate)
    table = Table(arguments.name, ("figure", "base", "candidate", "tuned"))
    ends = evaluator.base.figures(), evaluator.tuned.figures()
    for figure, value in measured.figures().items():
        table.row(figure, *(f"{one:.5f}" for one in (ends[0][figure], value, ends[1][figure])))
    print(table.markdown())


if __name__ == "__main__":
    main()
