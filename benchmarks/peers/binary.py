"""BitDelta (arXiv 2402.10193) with a scale for each row, plain and distilled.

Δ̂ = s ⊙ sign(Δ), where s is the mean |Δ| of a row, the least squares choice. In the distilled form,
Adam trains all scales so that the model's outputs approach the tuned model's on the calibration
text: squared error of the logits, or for an encoder of its sentence embeddings. Embeddings and
head, which BitDelta leaves dense, are pruned as in the recipe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.peers.calibrate import Batch, batches, load_model
from benchmarks.peers.codecs import encode_signs
from benchmarks.peers.recipe import place, pruned
from benchmarks.peers.scheme import Peer, keep_share
from skillpm.delta.codecs.svd import matrix_shape

if TYPE_CHECKING:
    from benchmarks.peers.task import Task
    from skillpm.delta.coding.payload import PayloadWriter, Record
    from skillpm.delta.tensors.rounding import Floats
    from skillpm.spec.dtypes import TensorSpec

STEPS = 120
ROWS = 4
RATE = 0.02
"""Adam's step on the logarithm of a scale."""


def plain(task: Task, alpha: float) -> Peer:
    """Each scale from its row alone."""
    return _peer(task, row_means(task), alpha, "bitdelta")


def distilled(task: Task, alpha: float) -> Peer:
    """Scales trained on the calibration text."""
    return _peer(task, train_scales(task, alpha), alpha, "bitdelta-distilled")


def row_means(task: Task) -> dict[str, Floats]:
    """Mean |Δ| of each row, [m], by tensor."""
    specs = task.before.specs
    return {
        name: np.abs(task.deltas[name].reshape(matrix_shape(specs[name]))).mean(axis=1)
        for name in task.named("linear")
    }


def _peer(task: Task, scales: dict[str, Floats], alpha: float, name: str) -> Peer:
    def linear(spec: TensorSpec, delta: Floats, writer: PayloadWriter) -> Record:
        return encode_signs(spec, delta, scales[spec.name], writer)

    return Peer(name, task, linear, keep_share(alpha), {"alpha": alpha})


def train_scales(task: Task, alpha: float) -> dict[str, Floats]:
    """Train log(s) with Adam; the learning rate falls to zero over `STEPS` batches."""
    teacher, student = load_model(task, task.tuned), load_model(task, task.tuned)
    weights = dict(student.named_parameters())
    for name in task.named("embedding"):
        place(task, weights[name], name, pruned(task.deltas[name], alpha))
    means = {name: torch.from_numpy(mean) for name, mean in row_means(task).items()}
    base, signs = {}, {}
    for name in means:
        delta = torch.from_numpy(task.deltas[name]).reshape(weights[name].shape)
        base[name] = (weights[name].detach().double() - delta).float()
        signs[name] = torch.where(delta < 0, -1.0, 1.0)
    logs = {n: torch.zeros(len(m), requires_grad=True) for n, m in means.items()}
    optimizer = torch.optim.Adam(list(logs.values()), lr=RATE)
    falling = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / STEPS)
    for batch in _small(batches(task)):
        scaled = {n: (m.float() * logs[n].exp())[:, None] * signs[n] for n, m in means.items()}
        moved = {name: base[name] + delta for name, delta in scaled.items()}
        optimizer.zero_grad()
        distance(task, teacher, student, moved, batch).backward()
        optimizer.step()
        falling.step()
    return {
        name: (mean * logs[name].detach().double().exp()).numpy() for name, mean in means.items()
    }


def _small(data: list[Batch]) -> list[Batch]:
    """`STEPS` batches of `ROWS` rows, cycling over the data in a fixed shuffled order."""
    parts = [
        Batch(ids, mask)
        for batch in data
        for ids, mask in zip(batch.ids.split(ROWS), batch.mask.split(ROWS), strict=True)
    ]
    order = torch.randperm(len(parts), generator=torch.Generator().manual_seed(0)).tolist()
    return [parts[order[step % len(order)]] for step in range(STEPS)]


def distance(
    task: Task, teacher: Any, student: Any, weights: dict[str, torch.Tensor], batch: Batch
) -> torch.Tensor:
    """Squared error of the student's logits, or sentence embeddings, with these weights."""
    inputs = {"input_ids": batch.ids, "attention_mask": batch.mask.long()}
    with torch.no_grad():
        wanted = teacher(**inputs)
    found = torch.func.functional_call(student, weights, kwargs=inputs)
    if task.kind == "causal":
        return torch.nn.functional.mse_loss(found.logits, wanted.logits)
    near, aim = (pooled(one.last_hidden_state, batch.mask) for one in (found, wanted))
    return ((near - aim) ** 2).sum(dim=1).mean()


def pooled(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Unit sentence embeddings [rows, width]: the mean over tokens that are not padding."""
    shown = mask.unsqueeze(-1).to(states.dtype)
    mean = (states * shown).sum(dim=1) / shown.sum(dim=1)
    return torch.nn.functional.normalize(mean, dim=-1)
