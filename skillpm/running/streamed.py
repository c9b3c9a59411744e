"""A causal LM whose repeated layers are read from their files whenever they run (ADR 43).

Only embeddings, head and norms stay in memory, in float32. A layer of the largest `ModuleList` has
its weights while it runs. For gradients it runs twice, as in activation checkpointing (Chen et al.
2016, arXiv 1604.06174): forward without a graph, and again in the backward pass. So memory holds
one layer with its activations, and the hidden states between layers.
"""

import copy
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import Module, ModuleList, Parameter
from torch.nn.modules import module as torch_module

from skillpm.checkpoint.model import Checkpoint, open_checkpoint
from skillpm.errors import GraftError
from skillpm.running.parameters import check_parameters

_FLOATS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@dataclass
class StreamedWeights:
    """Reads tensors of a model folder as float32; those of `placed` take precedence.

    `names` has the name in `placed` for each parameter that is placed.
    """

    checkpoint: Checkpoint
    placed: Mapping[str, torch.Tensor] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def read(self, tensor: str) -> torch.Tensor:
        """Read a tensor. Beside it, memory holds one chunk in the stored dtype."""
        if tensor in self.names:
            return self.placed[self.names[tensor]]
        spec = self.checkpoint.specs[tensor]
        values, start = torch.empty(spec.elements), 0
        for chunk in self.checkpoint.chunks(tensor):
            part = torch.frombuffer(bytearray(chunk), dtype=_FLOATS[spec.dtype])
            values[start : start + len(part)] = part
            start += len(part)
        return values.view(spec.shape)


@dataclass(frozen=True)
class StreamedLayer:
    """Replaces the `forward` of a layer: loads the weights, runs the layer, frees the weights."""

    run: Callable[..., Any]
    parameters: Mapping[str, Parameter]
    weights: StreamedWeights

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run the layer on hidden states, which are the first argument.

        Raises `GraftError` if another argument needs a gradient.
        """
        if not torch.is_grad_enabled():
            with self.loaded():
                return self.run(*arguments, **options)
        hidden, *others = arguments or (options.pop("hidden_states"),)
        for value in (*others, *options.values()):
            if isinstance(value, torch.Tensor) and value.requires_grad:
                raise GraftError(
                    "the layers of this model share values that need gradients, so it cannot be "
                    "calibrated layer by layer",
                    hint="run `--calibration` on a machine with more memory",
                )
        run = _Run(self, partial(_run_rest, self.run, others, options))
        anchor = torch.zeros((), requires_grad=True)
        states = _Recomputed.apply(run, hidden, anchor)  # type: ignore[no-untyped-call]
        return (states, *run.rest) if run.is_tuple else states

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """Give the layer its weights in the block."""
        for tensor, parameter in self.parameters.items():
            parameter.data = self.weights.read(tensor)
        try:
            yield
        finally:
            for parameter in self.parameters.values():
                parameter.data = _hollow(parameter)


def _run_rest(
    run: Callable[..., Any], others: list[Any], options: dict[str, Any], hidden: torch.Tensor
) -> Any:
    return run(hidden, *others, **options)


@dataclass
class _Run:
    """One call of a layer. `rest` are the outputs after the hidden states, if it is a tuple."""

    layer: StreamedLayer
    run: Callable[[torch.Tensor], Any]
    is_tuple: bool = False
    rest: tuple[Any, ...] = ()

    def states(self, hidden: torch.Tensor) -> torch.Tensor:
        """The hidden states after the layer."""
        output = self.run(hidden)
        self.is_tuple = isinstance(output, tuple)
        states, *rest = output if self.is_tuple else (output,)
        self.rest = tuple(rest)
        checked: torch.Tensor = states
        return checked


class _Recomputed(torch.autograd.Function):
    """A layer that stores only its input, and runs again in the backward pass.

    The third input needs a gradient, so that the output does too if the hidden states do not.
    """

    @staticmethod
    def forward(ctx: Any, run: _Run, hidden: torch.Tensor, _anchor: torch.Tensor) -> torch.Tensor:
        ctx.run = run
        ctx.save_for_backward(hidden)
        with run.layer.loaded():
            return run.states(hidden)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        (stored,) = ctx.saved_tensors
        hidden = stored.detach().requires_grad_()
        with ctx.run.layer.loaded(), torch.enable_grad():
            torch.autograd.backward(ctx.run.states(hidden), gradient)
        return None, hidden.grad, None


@dataclass(frozen=True)
class StreamedModel:
    """A model whose layers are streamed. `streamed` are the names of their parameters."""

    model: Any
    weights: StreamedWeights
    streamed: frozenset[str]


def load_streamed(kind: Any, config: Any, folder: Path) -> StreamedModel | None:
    """Build a model and read its resident tensors; None if it cannot be streamed.

    Every parameter must be stored under its own name, with its shape, as a float; transformers
    converts other checkpoints when it loads them whole. Raises the errors of `load_weights`.
    """
    checkpoint = open_checkpoint(folder)
    build = partial(kind.from_config, copy.deepcopy(config), dtype=torch.float32)
    check_parameters(build, checkpoint.specs, packed=False, complete=True)
    with _without_storage():
        model = build().eval()
    layers = max(_lists(model), key=_elements, default=None)
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    if layers is None or not all(_is_stored(checkpoint, *item) for item in shapes.items()):
        return None
    model.config.use_cache = False  # a layer that runs twice would add to the cache twice
    weights = StreamedWeights(checkpoint)
    inside = {id(value) for value in layers.parameters()}
    streamed = frozenset(name for name, value in model.named_parameters() if id(value) in inside)
    _fill(model, {name: weights.read(name) for name in shapes if name not in streamed})
    names = {id(value): name for name, value in model.named_parameters()}
    for layer in layers:
        parameters = {names[id(value)]: value for value in layer.parameters()}
        layer.forward = StreamedLayer(layer.forward, parameters, weights)
    return StreamedModel(model, weights, streamed)


def _lists(model: Module) -> Iterator[ModuleList]:
    """The lists of layers that are not inside a layer of another list."""
    for child in model.children():
        if isinstance(child, ModuleList):
            yield child
        else:
            yield from _lists(child)


def _elements(module: Module) -> int:
    return sum(value.numel() for value in module.parameters())


def _is_stored(checkpoint: Checkpoint, name: str, shape: tuple[int, ...]) -> bool:
    spec = checkpoint.specs.get(name)
    return spec is not None and spec.shape == shape and spec.dtype in _FLOATS


@contextmanager
def _without_storage() -> Iterator[None]:
    """Let this thread build modules whose parameters have no storage; buffers are as usual."""
    thread = threading.get_ident()

    def on_tensor(_module: Any, _name: str, value: Any) -> Any:
        if value is None or value.is_meta or threading.get_ident() != thread:
            return None
        return Parameter(value.detach().to("meta"), requires_grad=value.requires_grad)

    handle = torch_module.register_module_parameter_registration_hook(on_tensor)
    try:
        yield
    finally:
        handle.remove()


def _fill(model: Module, resident: Mapping[str, torch.Tensor]) -> None:
    """Replace parameters without storage: by resident tensors, or by hollow ones.

    A parameter that several modules share stays shared.
    """
    replaced: dict[int, Parameter] = {}
    for name, value in model.named_parameters():
        data = resident[name] if name in resident else _hollow(value)
        replaced[id(value)] = Parameter(data, requires_grad=False)
    for module in model.modules():
        for name, value in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            setattr(module, name, replaced[id(value)])


def _hollow(like: torch.Tensor) -> torch.Tensor:
    """A float32 tensor of zeros with the shape of another, which stores one element."""
    return torch.zeros(()).expand(like.shape)
