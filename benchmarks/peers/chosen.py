"""The recipe with the best α for the fine-tune: the paper does not define its α.

At a fixed size, each α of a grid is traded against the columns of the factors. The candidate whose
outputs on the calibration text are nearest to the tuned model's is chosen. This rules out that the
recipe loses only because of a badly chosen constant.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.peers.binary import distance
from benchmarks.peers.calibrate import batches, load_model
from benchmarks.peers.files import read, write
from benchmarks.peers.fit import fit
from benchmarks.peers.recipe import GRAFTLLM, MARGIN, Recipe, scheme_of, size_of

if TYPE_CHECKING:
    from benchmarks.peers.scheme import Peer
    from benchmarks.peers.task import Budget, Task

ALPHAS = (0.05, 0.1, 0.2, 0.35, 0.5)
JUDGED = 4
"""Number of calibration batches that judge the candidates."""


def best_alpha(task: Task, budget: Budget | None) -> Peer:
    """The best α of the grid, at the published recipe's size if there is no budget.

    Raises `ValueError` if none fits.
    """
    size = budget or size_of(task, GRAFTLLM)
    teacher, student = load_model(task, task.tuned), load_model(task, task.tuned)
    found: list[tuple[float, int, Peer]] = []
    for number, alpha in enumerate(ALPHAS):
        try:
            recipe = _scaled(task, alpha, MARGIN * size if budget else size)
        except ValueError:
            continue
        peer = scheme_of(task, recipe)
        path = task.folder / "trial.safetensors"
        write(task, peer, path)
        loss = _judged(task, teacher, student, read(path, task.base))
        found.append((loss, number, peer))
    if not found:
        message = f"no α of the grid fits {size} bytes"
        raise ValueError(message)
    return min(found)[2]


def _scaled(task: Task, alpha: float, size: float) -> Recipe:
    """The recipe that keeps the share `alpha`; its columns are scaled to the rest of the budget."""
    base = replace(GRAFTLLM, name="recipe-alpha")

    def at(scale: float) -> Recipe:
        return replace(base, scale=scale, alpha=alpha / scale)

    return at(fit(lambda scale: size_of(task, at(scale)), size, low=0.05, high=4.0, tries=9))


@torch.no_grad()
def _judged(task: Task, teacher: Any, student: Any, state: dict[str, torch.Tensor]) -> float:
    """The mean distance to the tuned model's outputs on some of the calibration text."""
    student.load_state_dict({name: one.float() for name, one in state.items()}, strict=False)
    data = batches(task)
    some = data[:: max(1, len(data) // JUDGED)]
    return sum(float(distance(task, teacher, student, {}, one)) for one in some) / len(some)
