"""The rows of table 1: how each model is made, and what decides it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from benchmarks.peers.auto import WEIGHTS
from benchmarks.transfer import lora, packs, transfers
from skillpm.transfer.selection import LEAST_PAIRS
from skillpm.transfer.stages import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from benchmarks.transfer.experiment import Experiment
    from skillpm.flows.transfer.train import TrainedStage

BASE, PLAIN, KEEP, DPO = "base", "sft", "keep", "dpo"
SMALL = "auto"


@dataclass(frozen=True)
class MadeModel:
    """A model of a row; without `folder`, `note` says why there is none.

    `seconds` are processor seconds of making it. `same_as` names the row with the same weights.
    """

    folder: Path | None
    bytes: int | None = None
    steps: int | None = None
    seconds: float | None = None
    note: str = ""
    same_as: str | None = None


@dataclass(frozen=True)
class TableRow:
    """A row: its title, what makes its model in a folder, and what decides it beside the texts.

    `needs` are rows that come first.
    """

    title: str
    make: Callable[[Experiment, Path], MadeModel]
    settings: Callable[[Experiment], Mapping[str, Any]]
    needs: tuple[str, ...] = ()


def _base(experiment: Experiment, _folder: Path) -> MadeModel:
    return MadeModel(experiment.base, _weights(experiment.base))


def _source(experiment: Experiment, _folder: Path) -> MadeModel:
    folder = experiment.source
    settings, seconds = experiment.skill.source, experiment.source_seconds
    return MadeModel(folder, _weights(folder), settings.steps, seconds, settings.architecture)


def _trained(stage: Stage, *, keep: bool) -> Callable[[Experiment, Path], MadeModel]:
    def make(experiment: Experiment, _folder: Path) -> MadeModel:
        found = transfers.up_to(experiment, stage, keep=keep)
        trained = {each.stage: each for each in found.trained}
        rows = found.report()["rows"]
        assert rows is not None
        if stage not in trained:
            return MadeModel(None, note=f"{rows['pairs']} pairs, fewer than {LEAST_PAIRS}")
        name = "keep" if keep else "plain"
        learnt = f"{rows['pairs']} pairs" if stage is Stage.DPO else f"{rows['sft']} rows"
        kept = f" + {rows['keep']} keep" if keep and stage is Stage.SFT else ""
        model = trained[stage]
        return MadeModel(
            model.tuned,
            _weights(model.tuned),
            model.trained.steps,
            experiment.costs.seconds(f"{name} {stage}"),
            learnt + kept,
        )

    return make


def _adapter(rank: int, stage: Stage) -> Callable[[Experiment, Path], MadeModel]:
    def make(experiment: Experiment, folder: Path) -> MadeModel:
        found = transfers.up_to(experiment, Stage.FILTER)
        rows = transfers.jsonl(found, "sft.jsonl" if stage is Stage.SFT else "pairs.jsonl")
        if stage is Stage.DPO and len(rows) < LEAST_PAIRS:
            return MadeModel(None, note=f"{len(rows)} pairs, fewer than {LEAST_PAIRS}")
        name = f"lora {rank} {stage}"
        with experiment.costs.charged(name):
            if stage is Stage.SFT:
                trained = lora.train_by_sft(experiment, rows, rank, folder)
            else:
                start = folder.parent / cell_name(experiment, _by_sft(rank)) / "adapter"
                trained = lora.train_by_dpo(experiment, rows, start, folder)
        model = lora.merge(experiment, trained.folder, folder)
        size = (trained.folder / lora.WEIGHTS).stat().st_size
        return MadeModel(model, size, trained.steps, experiment.costs.seconds(name))

    return make


def _by_sft(rank: int) -> str:
    """The row of the SFT adapter, which DPO starts from."""
    return f"lora{rank}-{Stage.SFT}"


def best(experiment: Experiment) -> tuple[str, TrainedStage]:
    """The row that the transfer would pack, chosen on prompts of its own, and its model."""
    found = transfers.up_to(experiment, Stage.EVALUATE)
    assert found.evaluated is not None
    chosen = found.evaluated.best
    return DPO if chosen.stage is Stage.DPO else KEEP, chosen


def _packed(
    options: Callable[[Experiment], Mapping[str, Any]],
) -> Callable[[Experiment, Path], MadeModel]:
    def make(experiment: Experiment, folder: Path) -> MadeModel:
        name, chosen = best(experiment)
        with experiment.costs.charged(f"pack {folder.name}"):
            size, state = packs.packed(experiment, chosen.tuned, options(experiment), folder)
        seconds = experiment.costs.seconds(f"pack {folder.name}")
        tuned = load_file(chosen.tuned / WEIGHTS)
        if all(torch.equal(state[tensor], tuned[tensor]) for tensor in tuned):
            return MadeModel(chosen.tuned, size, None, seconds, f"exact: {name}", name)
        model = packs.write_model(experiment, state, folder)
        return MadeModel(model, size, None, seconds, f"of {name}")

    return make


def _small_options(experiment: Experiment) -> Mapping[str, Any]:
    found = transfers.up_to(experiment, Stage.FILTER)
    return packs.small(experiment, transfers.jsonl(found, "sft.jsonl"))


def _low_rank(experiment: Experiment, folder: Path) -> MadeModel:
    small = folder.parent / cell_name(experiment, SMALL) / packs.FILE
    name, chosen = best(experiment)
    with experiment.costs.charged(f"pack {folder.name}"):
        budget = small.stat().st_size
        size, state = packs.low_rank(experiment, chosen.tuned, budget, folder)
    model = packs.write_model(experiment, state, folder)
    seconds = experiment.costs.seconds(f"pack {folder.name}")
    return MadeModel(model, size, None, seconds, f"of {name}")


def _weights(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _nothing(_experiment: Experiment) -> Mapping[str, Any]:
    return {}


def _of_source(experiment: Experiment) -> Mapping[str, Any]:
    return {"source": experiment.source_settings}


def _of_training(experiment: Experiment) -> Mapping[str, Any]:
    return {**_of_source(experiment), "recipe": asdict(experiment.recipe)}


def _of_small(experiment: Experiment) -> Mapping[str, Any]:
    return {**_of_training(experiment), "budget": experiment.budget}


ROWS: dict[str, TableRow] = {
    BASE: TableRow("base", _base, _nothing),
    "source": TableRow("source", _source, _of_source),
    PLAIN: TableRow("SFT, no keep rows", _trained(Stage.SFT, keep=False), _of_training),
    KEEP: TableRow("+ keep rows", _trained(Stage.SFT, keep=True), _of_training),
    DPO: TableRow("+ DPO", _trained(Stage.DPO, keep=True), _of_training),
    **{
        f"lora{rank}-{stage}": TableRow(
            f"LoRA r {rank}, {stage.upper()}",
            _adapter(rank, stage),
            _of_training,
            (_by_sft(rank),) if stage is Stage.DPO else (),
        )
        for rank in (8, 64)
        for stage in (Stage.SFT, Stage.DPO)
    },
    "lossless": TableRow("pack, lossless", _packed(lambda _: packs.LOSSLESS), _of_training),
    SMALL: TableRow("pack, auto, small", _packed(_small_options), _of_small),
    "graftllm": TableRow("pack, graftllm", _packed(lambda _: packs.GRAFTLLM), _of_training),
    "low-rank": TableRow("low rank, bytes of auto", _low_rank, _of_small, (SMALL,)),
}
"""By name, in the order of the table."""


def cell_name(experiment: Experiment, row: str) -> str:
    """The folder of a cell: the row and the digest of all that decides it."""
    return f"{row}-{experiment.key(row=row, **ROWS[row].settings(experiment))}"
