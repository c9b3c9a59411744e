"""The paper's recipe and Delta-CoMe, with GPTQ as published and calibrated on the task.

GraftLLM (arXiv 2505.18502, section 3.2; settings from the authors' code): embeddings and head by
top-α pruning; attention at a fixed SVD rank, MLP at the smallest rank of energy β under a limit;
columns at 8/4/2 bits; factors quantised by GPTQ, V first, then U. Delta-CoMe (arXiv 2406.08903):
the same quantiser at 8/3/2 bits and fixed ranks. Ranks and column counts are of 4096-wide modules
and scale with the matrix. Delta-CoMe leaves embeddings and head dense; here they are pruned as in
the recipe, so that its bytes compare.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from benchmarks.peers.calibrate import batches, load_model, walk
from benchmarks.peers.fit import fit
from benchmarks.peers.gptq import quantise_factors
from benchmarks.peers.scheme import Peer, keep_share
from skillpm.delta.codecs import svd
from skillpm.delta.codecs.shared.quantise import dequantise
from skillpm.delta.codecs.svd import ColumnGroup, Columns, SingularFactors, matrix_shape
from skillpm.delta.encoding.schemes import WIDTH, GraftLLM
from skillpm.delta.encoding.torch_svd import decompose
from skillpm.delta.tensors.module_kinds import kind_of

if TYPE_CHECKING:
    from benchmarks.peers.task import Budget, Task
    from skillpm.delta.coding.payload import PayloadWriter, Record
    from skillpm.delta.tensors.rounding import Floats
    from skillpm.spec.dtypes import TensorSpec


MARGIN = 0.994
"""Frames of GPTQ's codes are up to 1.3 % larger than those of the rounded codes used to estimate
sizes, so a file may exceed its budget by up to 0.7 %, in the peer's favour.
"""


@dataclass(frozen=True)
class Recipe:
    """Settings. `scale`, 1 as published, multiplies α and the columns at every precision.

    Above 1, the energy β no longer limits an MLP's rank, so that the size keeps growing.
    """

    name: str
    columns: str
    energy: float
    rank: float
    mlp_rank: float
    alpha: float = 0.1
    scale: float = 1.0
    group: int = 128
    damping: float = 0.01

    def columns_of(self, factors: SingularFactors, spec: TensorSpec) -> list[Columns]:
        """The column groups of one matrix."""
        energy = self.energy if self.scale <= 1 else 1.0
        policy = GraftLLM(
            decompose,
            energy=energy,
            rank=self.rank,
            mlp_rank=self.mlp_rank,
            columns=self.columns,
        )
        found = policy.columns_for(factors, spec, mlp=kind_of(spec.name) == "mlp")
        left = factors.sigma.size
        scaled: list[Columns] = []
        for part in found:
            count = min(left, round(part.count * self.scale))
            left -= count
            scaled.append(Columns(part.bits, count))
        kept = [part for part in scaled if part.count]
        return kept or [Columns(found[0].bits, 1)]


GRAFTLLM = Recipe("recipe", "8/4/2", 0.95, 1000 / WIDTH, 1400 / WIDTH)
DELTA_COME = Recipe("delta-come", "8/3/2", 1.0, 1002 / WIDTH, 1462 / WIDTH)


def scheme_of(task: Task, recipe: Recipe) -> Peer:
    """Quantise the factors of every linear in turn; return a scheme that writes them."""
    groups = calibrated(task, recipe)

    def linear(spec: TensorSpec, _delta: Floats, writer: PayloadWriter) -> Record:
        found = groups[spec.name]
        sigma = task.factors[spec.name].sigma[: sum(one.columns.count for one in found)]
        return svd.write(spec, sigma, found, group=recipe.group, writer=writer)

    return Peer(recipe.name, task, linear, keep_share(recipe.alpha * recipe.scale), vars(recipe))


def calibrated(task: Task, recipe: Recipe) -> dict[str, list[ColumnGroup]]:
    """The quantised factors of every linear that differs, calibrated on its actual inputs."""
    model = load_model(task, task.tuned)
    weights = dict(model.named_parameters())
    for name in task.named("embedding"):
        place(task, weights[name], name, pruned(task.deltas[name], recipe.alpha * recipe.scale))
    found: dict[str, list[ColumnGroup]] = {}
    linears = set(task.named("linear"))
    for names, inputs in walk(model, batches(task)):
        for name in [name for name in names if name in linears]:
            found[name] = _quantised(task, recipe, name, inputs)
            place(task, weights[name], name, _product(task.factors[name], found[name], recipe))
    for name in linears - found.keys():  # the text does not reach it: an unused pooler, for example
        width = matrix_shape(task.before.specs[name])[1]
        found[name] = _quantised(task, recipe, name, torch.eye(width).double().numpy())
    return found


def _quantised(task: Task, recipe: Recipe, name: str, inputs: Floats) -> list[ColumnGroup]:
    factors = task.factors[name]
    columns = recipe.columns_of(factors, task.before.specs[name])
    return quantise_factors(factors, columns, inputs, group=recipe.group, damping=recipe.damping)


def _product(factors: SingularFactors, groups: list[ColumnGroup], recipe: Recipe) -> Floats:
    """Û Σ V̂ᵀ as the decoder computes it, without its rounding grid."""
    product: Floats = 0.0 * factors.left[:, :1] * factors.right[:1]
    start = 0
    for one in groups:
        left, right = (dequantise(side, recipe.group) for side in (one.left, one.right))
        sigma = factors.sigma[start : start + one.columns.count]
        product = product + (left * sigma[:, None]).T @ right
        start += one.columns.count
    return product


def pruned(delta: Floats, alpha: float) -> Floats:
    kept = torch.zeros(delta.size, dtype=torch.float64)
    values = torch.from_numpy(delta)
    places = values.abs().topk(round(alpha * delta.size)).indices
    kept[places] = values[places]
    pruned: Floats = kept.numpy()
    return pruned


@torch.no_grad()
def place(task: Task, weight: torch.Tensor, name: str, delta: Floats) -> None:
    """Set base + delta in the model in memory; the base is the tuned weight less its own delta."""
    change = torch.from_numpy(delta.reshape(-1) - task.deltas[name]).reshape(weight.shape)
    weight.copy_((weight.double() + change).float())


def size_of(task: Task, recipe: Recipe) -> int:
    """The file's bytes with factors rounded to nearest, whose codes are as large as GPTQ's."""

    def linear(spec: TensorSpec, _delta: Floats, writer: PayloadWriter) -> Record:
        factors = task.factors[spec.name]
        columns = recipe.columns_of(factors, spec)
        rank = sum(part.count for part in columns)
        cut = SingularFactors(factors.left[:, :rank], factors.sigma[:rank], factors.right[:rank])
        return svd.encode(spec, cut, columns, group=recipe.group, writer=writer)

    return measured(task, Peer(recipe.name, task, linear, keep_share(recipe.alpha * recipe.scale)))


def measured(task: Task, peer: Peer) -> int:
    """The bytes of the file that a scheme writes."""
    from benchmarks.peers.files import write

    return write(task, peer, task.folder / "trial.safetensors")


def fitted(task: Task, recipe: Recipe, budget: Budget | None) -> Recipe:
    """The published settings without a budget; otherwise scaled to the budget.

    Ranks change in steps; the bytes that they leave go to α.
    """
    if budget is None:
        return recipe
    aim = MARGIN * budget

    def scaled(scale: float) -> float:
        return size_of(task, replace(recipe, scale=scale))

    near = replace(recipe, scale=fit(scaled, aim, low=0.02, high=8.0))

    def pruned_at(alpha: float) -> float:
        return size_of(task, replace(near, alpha=alpha))

    most = min(3 * near.alpha, 1 / near.scale)
    return replace(near, alpha=fit(pruned_at, aim, low=near.alpha, high=most))
