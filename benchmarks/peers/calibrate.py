"""Inputs of every linear layer on the calibration text, of the model compressed so far.

True-sequential order: the layers in order, and within a layer the linears in order; linears that
read the same input (such as q, k and v) are one stage. The statistics of a stage come from the
model in which all earlier stages are compressed already.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.peers.task import Task
    from skillpm.delta.tensors.rounding import Floats

logging.set_verbosity_error()
logging.disable_progress_bar()
ROWS = 16
SENTENCE_TOKENS = 64


@dataclass(frozen=True)
class Batch:
    """Token ids [rows, tokens], and a mask of the tokens that are not padding."""

    ids: torch.Tensor
    mask: torch.Tensor


@dataclass
class Call:
    """The arguments of a layer: hidden states [rows, tokens, width], and all others."""

    states: torch.Tensor
    arguments: dict[str, Any]
    mask: torch.Tensor


def load_model(task: Task, folder: Path) -> Any:
    """Load a model in float32, without dropout, with transformers."""
    kind: Any = AutoModelForCausalLM if task.kind == "causal" else AutoModel
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    model.config.use_cache = False
    return model


def batches(task: Task) -> list[Batch]:
    """Calibration text as token ids; for a causal LM one long sequence, cut into equal rows.

    For an encoder, each text is a row of at most 64 tokens; texts of similar length share a batch.
    """
    tokenizer: Any = AutoTokenizer.from_pretrained(task.base)
    lines = task.calibration.read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines if line.strip()]
    if task.kind == "causal":
        rows = tokenizer(texts)["input_ids"]
        line = torch.tensor([token for row in rows for token in row])
        whole = line[: line.numel() // task.tokens * task.tokens].reshape(-1, task.tokens)
        chosen = whole[_evenly(len(whole), task.sequences)]
        return [Batch(ids, torch.ones_like(ids, dtype=torch.bool)) for ids in chosen.split(ROWS)]
    wanted = task.sequences * task.tokens // SENTENCE_TOKENS
    some = [texts[int(place)] for place in _evenly(len(texts), wanted)]
    rows = tokenizer(some, truncation=True, max_length=SENTENCE_TOKENS)["input_ids"]
    rows.sort(key=len)
    return [_padded(tokenizer, rows[start : start + ROWS]) for start in range(0, len(rows), ROWS)]


def _evenly(count: int, wanted: int) -> torch.Tensor:
    return torch.arange(min(count, wanted)) * count // max(1, min(count, wanted))


def _padded(tokenizer: Any, rows: list[list[int]]) -> Batch:
    found = tokenizer.pad({"input_ids": rows}, return_tensors="pt")
    return Batch(found["input_ids"], found["attention_mask"].bool())


class _StopError(Exception):
    """Stops a forward pass early."""


def walk(model: Any, data: list[Batch]) -> Iterator[tuple[list[str], Floats]]:
    """For each stage: the names of its weights, and H [n, n], the mean of x xᵀ over all tokens.

    The caller changes the stage's weights in place before it requests the next stage. Each layer
    runs up to the stage once per stage, and once more for the next layer's inputs.
    """
    layers = max((m for m in model.modules() if isinstance(m, torch.nn.ModuleList)), key=len)
    calls = [_first_call(model, layers[0], batch) for batch in data]
    names = {module: f"{name}.weight" for name, module in model.named_modules()}
    for layer in layers:
        for stage in _stages(layer, calls[0]):
            yield [names[linear] for linear in stage], _inputs(layer, stage[0], calls)
        for call in calls:
            call.states = _run(layer, call)


@torch.no_grad()
def _first_call(model: Any, layer: torch.nn.Module, batch: Batch) -> Call:
    caught: list[Call] = []

    def catch(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        assert len(args) == 1 or not any(x is not None for x in args[2:]), "positional arguments"
        extra = {"attention_mask": args[1]} if len(args) > 1 else {}
        caught.append(Call(args[0], {**kwargs, **extra}, batch.mask))
        raise _StopError

    hook = layer.register_forward_pre_hook(catch, with_kwargs=True)
    try:
        model(input_ids=batch.ids, attention_mask=batch.mask.long())
    except _StopError:
        return caught[0]
    finally:
        hook.remove()
    raise AssertionError


@torch.no_grad()
def _run(layer: torch.nn.Module, call: Call) -> torch.Tensor:
    found = layer(call.states, **call.arguments)
    states: torch.Tensor = found[0] if isinstance(found, tuple) else found
    return states


def _stages(layer: torch.nn.Module, call: Call) -> list[list[torch.nn.Module]]:
    """The linears of a layer in execution order, grouped by the input that they share."""
    seen: list[tuple[int, torch.nn.Module]] = []
    linears = [m for m in layer.modules() if isinstance(m, torch.nn.Linear)]
    kept: list[torch.Tensor] = []  # so that a freed input's address is not reused

    def note(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        kept.append(args[0])
        seen.append((args[0].data_ptr(), module))

    hooks = [linear.register_forward_pre_hook(note) for linear in linears]
    try:
        _run(layer, call)
    finally:
        for hook in hooks:
            hook.remove()
    stages: dict[int, list[torch.nn.Module]] = {}
    for address, linear in seen:
        stages.setdefault(address, []).append(linear)
    return list(stages.values())


def _inputs(layer: torch.nn.Module, linear: torch.nn.Module, calls: list[Call]) -> Floats:
    """Mean x xᵀ of a linear's input over all tokens that are not padding, in float64."""
    total: Any = 0
    count = 0
    for call in calls:
        caught: list[torch.Tensor] = []

        def catch(_m: Any, args: tuple[torch.Tensor, ...], caught: list[Any] = caught) -> None:
            caught.append(args[0])
            raise _StopError

        hook = linear.register_forward_pre_hook(catch)
        try:
            _run(layer, call)
        except _StopError:
            states = caught[0][call.mask]  # [tokens, n]
            total = total + (states.T @ states).double()
            count += len(states)
        finally:
            hook.remove()
    found: Floats = (total / count).numpy()
    return found
