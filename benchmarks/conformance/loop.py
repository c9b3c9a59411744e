"""The loop for one architecture: each step is right, refused with a reason, or wrong."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import peft
import torch

from benchmarks.conformance.architectures import Architecture, moved
from skillpm.cli import main

TOLERANCE = 1e-3
"""Tolerance as a share of the adapter's effect: a graft rounds once, PEFT computes unmerged."""
_REASON = 200
_REFUSALS = frozenset({"graft", "spec"})
"""Error kinds that explain a refused input; any other kind is a fault."""


@dataclass(frozen=True)
class Outcome:
    """Result of a step: `right`, `refused` or `wrong`, with a figure or the reason."""

    step: str
    status: str
    detail: str


class RefusedError(Exception):
    """A skillpm command or PEFT refused the step."""


@dataclass(frozen=True)
class Bench:
    """A folder with its own home and projects, for one architecture."""

    root: Path

    def ask(self, *words: object, project: Path | None = None) -> dict[str, Any]:
        """Run a command in this process and return its document. Raises `RefusedError`."""
        where = ("-C", project) if project else ()
        out, err = io.StringIO(), io.StringIO()
        line = [str(word) for word in ("skillpm", "--json", *where, *words)]
        with _environment(self.root / "home", line), _into(out, err):
            try:
                main()
            except SystemExit as ended:
                code = ended.code
            else:
                code = 0
        document: dict[str, Any] = json.loads(out.getvalue() or "{}")
        if code:
            error = document.get("error", {"kind": "internal", "message": err.getvalue()[-500:]})
            if error["kind"] not in _REFUSALS:
                raise AssertionError(f"{words[0]}: {error['message']}")
            raise RefusedError(str(error["message"]))
        return document

    def graft(self, base: Path, tuned: Path, name: str, *more: object) -> Path:
        """Pack, install into a new project and graft; return the graft's folder."""
        pack, project = self.root / f"{name}.skillpack", self.root / f"project-{name}"
        project.mkdir()
        named = ("--name", f"acme/{name}", "--version", "1.0.0", "-o", pack)
        self.ask("pack", base, tuned, *named, *more)
        self.ask("init", "--base", base, project=project)
        self.ask("install", pack, project=project)
        self.ask("graft", project=project)
        return project / "graft"


@contextlib.contextmanager
def _environment(home: Path, line: list[str]) -> Iterator[None]:
    before, argv, handler = dict(os.environ), sys.argv, signal.getsignal(signal.SIGINT)
    os.environ.update(SKILLPM_HOME=str(home), NO_COLOR="1", HF_HUB_OFFLINE="1")
    sys.argv = line
    try:
        yield
    finally:
        sys.argv = argv
        signal.signal(signal.SIGINT, handler)  # a command that ends ignores it
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _into(out: io.StringIO, err: io.StringIO) -> Iterator[None]:
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


def run_loop(architecture: Architecture, root: Path) -> list[Outcome]:
    """Run all steps for one architecture in a temporary folder."""
    warnings.simplefilter("ignore")
    bench = Bench(root)
    base, tuned = root / "base", root / "tuned"
    try:
        architecture.make().save_pretrained(base)
        moved(architecture.load(base), 11, 0.05).save_pretrained(tuned)
        steps: dict[str, Callable[[], str]] = {
            "lossless": lambda: _lossless(architecture, bench, base, tuned),
            "keep 0.95": lambda: _lossy(architecture, bench, base, tuned),
        }
        for part, targets in _targets(architecture.load(base)).items():
            steps[f"LoRA: {part}"] = partial(_adapter, architecture, bench, part, targets)
        steps["export"] = lambda: _export(architecture, bench)
        return [_outcome(step, run) for step, run in steps.items()]
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _outcome(step: str, run: Callable[[], str]) -> Outcome:
    try:
        detail = run()
    except RefusedError as problem:
        return Outcome(step, "refused", str(problem).splitlines()[0][:_REASON])
    except (AssertionError, ValueError, RuntimeError, KeyError, OSError, TypeError) as problem:
        return Outcome(step, "wrong", (str(problem).splitlines() or [repr(problem)])[0][:_REASON])
    return Outcome(step, "right", detail)


def _lossless(architecture: Architecture, bench: Bench, base: Path, tuned: Path) -> str:
    graft = bench.graft(base, tuned, "lossless")
    given, wanted = (architecture.compute(architecture.load(f)) for f in (graft, tuned))
    if not torch.equal(given, wanted):
        raise AssertionError(f"logits differ by {_distance(given, wanted):.2g}")
    return "bit-equal"


def _lossy(architecture: Architecture, bench: Bench, base: Path, tuned: Path) -> str:
    graft = bench.graft(base, tuned, "lossy", "--keep", "0.95")
    folders = (graft, tuned, base)
    given, wanted, before = (architecture.compute(architecture.load(f)) for f in folders)
    if not torch.isfinite(given).all():
        raise AssertionError("logits are not finite")
    return f"{_distance(given, wanted) / _distance(before, wanted):.2g} of the way"


def _targets(model: Any) -> dict[str, list[str] | str]:
    """Target modules of the loop's adapters: all linear layers, the embedding, the head."""
    found: dict[str, list[str] | str] = {"all-linear": "all-linear"}
    names = {id(module): name for name, module in model.named_modules()}
    for part, get in (("embedding", "get_input_embeddings"), ("head", "get_output_embeddings")):
        try:
            module = getattr(model, get)()
        except (NotImplementedError, AttributeError):
            continue
        if isinstance(module, torch.nn.Embedding | torch.nn.Linear):
            found[part] = [names[id(module)]]
    return found


def _adapter(architecture: Architecture, bench: Bench, part: str, targets: list[str] | str) -> str:
    base, folder = bench.root / "base", bench.root / f"adapter-{part}"
    _save_adapter(architecture, base, folder, targets)
    model = architecture.load(base)
    before = architecture.compute(model)
    wanted = architecture.compute(peft.PeftModel.from_pretrained(model, str(folder)).eval())
    graft = bench.graft(base, folder, part)
    return _check(architecture.compute(architecture.load(graft)), wanted, before)


def _save_adapter(
    architecture: Architecture, base: Path, folder: Path, targets: list[str] | str
) -> None:
    model = _wrapped(architecture.load(base), targets)
    if model is None and isinstance(targets, str):
        plain = architecture.load(base)
        linear = [n for n, module in plain.named_modules() if isinstance(module, torch.nn.Linear)]
        model = _wrapped(plain, [name for name in linear if _wrapped(copy.deepcopy(plain), [name])])
    if model is None:
        raise RefusedError(f"PEFT takes no LoRA on {targets}")
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    try:
        model.save_pretrained(str(folder))
    except NotImplementedError:  # a head named `lm_head`, and not an embedding
        model.save_pretrained(str(folder), save_embedding_layers=False)


def _wrapped(model: Any, targets: list[str] | str) -> Any:
    """The model with a LoRA on these modules, or None if PEFT supports none of them."""
    try:
        config = peft.LoraConfig(
            target_modules=targets, r=4, lora_alpha=8, exclude_modules=_bypassed(model) or None
        )
        return peft.get_peft_model(model, config)
    except (ValueError, NotImplementedError):
        return None


def _bypassed(model: Any) -> list[str]:
    """Layers in torch's own attention: PEFT applies their updates only after merging."""
    return [
        f"{name}.out_proj"
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.MultiheadAttention)
    ]


def _export(architecture: Architecture, bench: Bench) -> str:
    """Export the skill of the adapter on all linear layers and load the result with PEFT."""
    project = bench.root / "project-all-linear"
    if not (project / "graft").is_dir():
        raise RefusedError("there is no skill of linear layers to export")
    target, base = bench.root / "exported", bench.root / "base"
    bench.ask("export", "acme/all-linear", "--format", "peft", target, project=project)
    model = architecture.load(base)
    before = architecture.compute(model)
    given = architecture.compute(peft.PeftModel.from_pretrained(model, str(target)).eval())
    return _check(given, architecture.compute(architecture.load(project / "graft")), before)


def _check(given: torch.Tensor, wanted: torch.Tensor, before: torch.Tensor) -> str:
    if given.shape != wanted.shape:
        raise AssertionError(f"logits of shape {tuple(given.shape)}, not {tuple(wanted.shape)}")
    distance, way = _distance(given, wanted), _distance(before, wanted)
    if not distance <= TOLERANCE * max(way, TOLERANCE):
        raise AssertionError(f"logits differ by {distance:.2g}, and the skill moves {way:.2g}")
    if way == 0:
        return "moves nothing"
    return f"{distance / way:.0e} of the way"


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one.double() - other.double()).abs().max())
