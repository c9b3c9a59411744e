"""Gathers Fisher factors from a causal LM's linear layers, and from gradients of other parameters.

The gradient of the weight of a linear layer is the sum over tokens of δ_t x_tᵀ, of the gradient of
its output and of its input. Its factors are summed token by token, as K-FAC does (Martens & Grosse
2015, arXiv 1503.05671; for shared weights: Eschenhagen et al. 2023, arXiv 2311.00636, "expand"),
but each δ_t is weighted by |x_t|, and each x_t by |δ_t|. So the weight needs no gradient, and the
sums have less noise than those of gradients of whole batches: cross terms between tokens, whose
mean is small, are not summed.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import Embedding, Linear, Module, Parameter
from transformers.pytorch_utils import Conv1D

from skillpm.calibration.fisher import Fisher
from skillpm.parallel import Advance, no_advance
from skillpm.running.runner import Batch, Runner

SEED = 0
"""The seed for sampling the labels of the first batch; each later batch has the next seed."""
PARTS = 2
"""The most times that the sums are saved while they are gathered."""
_PROBED = 8
"""The tokens on which the gradients of layers are compared with their products."""
Save = Callable[[Fisher], None]
"""Saves the sums over the first batches."""
Fold = Callable[[Module, torch.Tensor, torch.Tensor], None]
"""Is called with a layer, its input and the gradient of its output."""


def gather(
    runner: Runner,
    batches: list[Batch],
    tensors: set[str],
    fisher: Fisher,
    *,
    save: Save = lambda _fisher: None,
    advance: Advance = no_advance,
) -> None:
    """Add the factors of all `tensors` that get a gradient, over the batches not yet in `fisher`.

    `save` is called after half of the batches, and after all. An interruption does not change the
    sums, because each batch has its own seed. Costs a forward and a backward pass per batch, and
    the products of each layer.
    """
    names = runner.names(tensors)
    with _Folding(runner, names, fisher).attached(batches) as folding:
        every = max(1, -(-len(batches) // PARTS))
        for number, batch in enumerate(batches):
            if number >= fisher.batches:
                draw = torch.Generator().manual_seed(SEED + number)
                for part in folding.parts(batch):
                    loss = runner.sampled_loss(part, draw)
                    if loss.requires_grad:
                        loss.backward()
                fisher.batches, fisher.count = number + 1, fisher.count + runner.count(batch)
                if fisher.batches % every == 0 or fisher.batches == len(batches):
                    save(fisher)
            advance(batch.ids.numel())


class _Folding:
    """Adds terms to `fisher` whenever a gradient is complete.

    `names` has the checkpoint's tensor name for each parameter that has factors.
    """

    def __init__(self, runner: Runner, names: dict[str, str], fisher: Fisher) -> None:
        self._runner = runner
        self._names = names
        self._fisher = fisher
        self._has_matrices = False

    def parts(self, batch: Batch) -> list[Batch]:
        """Single sequences, which take less memory; the batch if matrices need gradients."""
        return [batch] if self._has_matrices else batch.rows()

    @contextmanager
    def attached(self, batches: list[Batch]) -> Iterator["_Folding"]:
        """Attach hooks to the model in the block."""
        model = self._runner.model
        _freeze(model)
        named = {n: value for n, value in model.named_parameters() if n in self._names}
        layers = self._layers(named, batches)
        inside = {id(layer.weight) for layer in layers}
        tensor_of = {id(value): self._names[name] for name, value in named.items()}
        with ExitStack() as hooks:
            hooks.callback(_freeze, model)
            for value in named.values():
                if id(value) not in inside:
                    self._has_matrices |= value.ndim > 1
                    value.requires_grad_()
                    handle = value.register_post_accumulate_grad_hook(
                        self._by_gradient(tensor_of[id(value)])
                    )
                    hooks.callback(handle.remove)
            fold = self._by_products(tensor_of)
            for layer in layers:
                hooks.callback(layer.register_forward_hook(_watching(fold)).remove)
            yield self

    def _layers(self, named: dict[str, Parameter], batches: list[Batch]) -> list[Module]:
        """The layers whose weights get their factors from products. An encoder has none.

        The gradients of tokens of an encoder are not independent: all have the noise of one text.
        """
        if not self._runner.causal or not batches:
            return []
        weights = {id(value) for value in named.values()}
        found = [
            m for m in self._runner.model.modules() if _is_layer(m) and id(m.weight) in weights
        ]
        ends = _ends(self._runner.model)
        probed = [layer for layer in found if layer not in ends]
        sample = Batch(*(side[:1, :_PROBED] for side in (batches[0].ids, batches[0].mask)))
        wrong = _with_other_gradients(self._runner, sample, probed)
        return [layer for layer in found if id(layer.weight) not in wrong]

    def _by_gradient(self, tensor: str) -> Callable[[torch.Tensor], None]:
        def fold(parameter: torch.Tensor) -> None:
            if parameter.grad is not None:
                self._fisher.add_gradient(tensor, parameter.grad)
                parameter.grad = None

        return fold

    def _by_products(self, tensor_of: dict[int, str]) -> Fold:
        def fold(layer: Module, entered: torch.Tensor, gradient: torch.Tensor) -> None:
            weight: Any = layer.weight
            tensor, side = tensor_of[id(weight)], gradient.flatten(0, -2)
            if isinstance(layer, Embedding):
                ids = entered.flatten()
                kept = ids != (-1 if layer.padding_idx is None else layer.padding_idx)
                self._fisher.add_lookups(tensor, len(weight), ids[kept], side[kept])
            elif isinstance(layer, Conv1D):
                self._fisher.add_products(tensor, entered.flatten(0, -2), side)
            else:
                self._fisher.add_products(tensor, side, entered.flatten(0, -2))

        return fold


def _freeze(model: Module) -> None:
    for value in model.parameters():
        value.requires_grad_(False)


def _is_layer(module: Module) -> bool:
    """Whether a module multiplies by its weight, or looks rows of it up, and does no more."""
    return any(
        isinstance(module, kind) and type(module).forward is kind.forward
        for kind in (Linear, Conv1D, Embedding)
    )


def _ends(model: Any) -> set[Module]:
    """The input and output embeddings, which transformers calls as modules."""
    return {model.get_input_embeddings(), model.get_output_embeddings()} - {None}


def _watching(fold: Fold) -> Callable[..., Any]:
    """A forward hook that calls `fold` when the gradient of the layer's output is complete.

    It does nothing without gradients, as in the first pass of a streamed layer.
    """

    def hook(layer: Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> Any:
        if not torch.is_grad_enabled():
            return None
        entered = arguments[0].detach()
        if not output.requires_grad:
            output = output.requires_grad_().clone()  # a model may change the output in place
        output.register_hook(lambda gradient: fold(layer, entered, gradient.detach()))
        return output

    return hook


@dataclass
class _Projection:
    """Gradients times one random vector, from products and from automatic differentiation."""

    vector: torch.Tensor
    products: torch.Tensor
    gradient: torch.Tensor


def _with_other_gradients(runner: Runner, sample: Batch, layers: list[Module]) -> set[int]:
    """The ids of weights whose gradient on a sample is not that of their layers.

    A model may use a weight without calling its layer. Costs one pass over the sample.
    """
    if not layers:
        return set()
    weights = {id(layer.weight): layer.weight for layer in layers}
    draw = torch.Generator().manual_seed(SEED)
    found = {key: _projection(value, draw) for key, value in weights.items()}  # type: ignore[arg-type]

    def add(layer: Module, entered: torch.Tensor, gradient: torch.Tensor) -> None:
        held, side = found[id(layer.weight)], gradient.flatten(0, -2)
        if isinstance(layer, Embedding):
            held.products.index_add_(0, entered.flatten(), side @ held.vector)
            return
        entered = entered.flatten(0, -2)
        left, right = (entered, side) if isinstance(layer, Conv1D) else (side, entered)
        held.products.add_(left.T @ (right @ held.vector))

    def project(parameter: torch.Tensor) -> None:
        if parameter.grad is not None:
            held = found[id(parameter)]
            held.gradient.add_(parameter.grad @ held.vector)
            parameter.grad = None

    with ExitStack() as hooks:
        hooks.callback(_freeze, runner.model)
        for weight in weights.values():
            assert isinstance(weight, Parameter)  # noqa: S101 - for the type checker
            weight.requires_grad_()
            hooks.callback(weight.register_post_accumulate_grad_hook(project).remove)
        for layer in layers:
            hooks.callback(layer.register_forward_hook(_watching(add)).remove)
        runner.sampled_loss(sample, draw).backward()
    return {key for key, held in found.items() if not _agree(held)}


def _projection(weight: torch.Tensor, draw: torch.Generator) -> _Projection:
    vector = torch.randn(weight.shape[1], generator=draw).to(weight)
    zeros = torch.zeros(len(weight)).to(weight)
    return _Projection(vector, zeros, zeros.clone())


def _agree(held: _Projection) -> bool:
    error = torch.linalg.vector_norm(held.products - held.gradient)
    tolerance = 0.05 if held.vector.dtype in (torch.float16, torch.bfloat16) else 1e-3
    return bool(error <= tolerance * torch.linalg.vector_norm(held.gradient))
