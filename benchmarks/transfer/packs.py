"""The best tuned model, compressed: by the product's schemes, and by low rank at equal bytes."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from safetensors.torch import save_file

from benchmarks.peers.auto import WEIGHTS
from benchmarks.peers.files import read_skillpack
from benchmarks.peers.methods import METHODS
from benchmarks.peers.task import Task
from examples.transfer.items import write_lines
from skillpm.api.client import Client
from skillpm.api.options import Options
from skillpm.api.packing import build_pack, parse_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    import torch

    from benchmarks.transfer.experiment import Experiment

FILE = "one.skillpack"
LOSSLESS: Mapping[str, Any] = {}
GRAFTLLM: Mapping[str, Any] = {"scheme": "graftllm"}


def small(experiment: Experiment, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The options of a pack of the budget, calibrated on the SFT rows as that of `transfer`."""
    texts = (
        "\n\n".join(message["content"] for message in (*row["prompt"], *row["completion"]))
        for row in rows
    )
    path = write_lines(experiment.work / "calibration.jsonl", ({"text": text} for text in texts))
    return {"budget": experiment.budget, "calibration": path}


def packed(
    experiment: Experiment, tuned: Path, options: Mapping[str, Any], folder: Path
) -> tuple[int, dict[str, torch.Tensor]]:
    """Pack a tuned model; return the bytes of the file, and base + pack."""
    file = folder / FILE
    file.unlink(missing_ok=True)
    asked = parse_options(
        {
            "base": experiment.base,
            "tuned": tuned,
            "skill": "acme/bench",
            "version": "1.0.0",
            "output": file,
            **options,
        }
    )
    with Client(Options(experiment.work, home=experiment.home, workers=1)) as client:
        build_pack(client, asked)
    return file.stat().st_size, read_skillpack(file, experiment.base)


def low_rank(
    experiment: Experiment, tuned: Path, budget: int, folder: Path
) -> tuple[int, dict[str, torch.Tensor]]:
    """The largest uniform rank of truncated SVDs whose file has at most `budget` bytes."""
    task = Task(experiment.base, tuned, folder / "none", "causal", folder, seed=experiment.seed)
    found = METHODS["lora"](task, budget)
    return found.bytes, found.state


def write_model(experiment: Experiment, state: Mapping[str, torch.Tensor], folder: Path) -> Path:
    """A model folder with the base's small files and other weights."""
    model = folder / "model"
    shutil.rmtree(model, ignore_errors=True)
    ignored = shutil.ignore_patterns("*.safetensors", "*.safetensors.index.json")
    shutil.copytree(experiment.base, model, ignore=ignored)
    save_file(dict(state), model / WEIGHTS, metadata={"format": "pt"})
    return model
