"""Writes trained weights in the layout, the names and the dtypes of the base."""

import shutil
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from skillpm.checkpoint.folder import small_files
from skillpm.checkpoint.model import Checkpoint
from skillpm.errors import GraftError
from skillpm.journal.atomic import publish_folder
from skillpm.running.runner import checkpoint_names
from skillpm.transfer.safe_checkpoints import weight_errors


def round_to_base(
    base: Checkpoint, trained: Path, target: Path, *, interpolate: float = 1.0
) -> None:
    """Write `target`: the base's files, with trained float32 weights rounded once to its dtypes.

    `interpolate` is the share of the change that is kept: weights are base + interpolate *
    (trained - base), as WiSE-FT does (Wortsman et al. 2022, arXiv 2109.01903, section 3).
    Tensors that training did not place (buffers, tensors that are not floats) are the base's. The
    folder appears whole, by a rename. Raises `GraftError` if a trained weight is NaN or infinite,
    `StateError` if the disk is full.
    """
    assert base.folder is not None  # noqa: S101 - a base that can be trained is a folder
    loaded = AutoModelForCausalLM.from_pretrained(
        trained, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
    )
    parameters = dict(loaded.named_parameters())
    sources = {tensor: name for name, tensor in checkpoint_names(parameters, base.specs).items()}
    fresh = target.with_name(target.name + ".part")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for path in small_files(base):
        (fresh / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(base.folder / path, fresh / path)
    for name, shard in base.shards.items():
        tensors = {}
        with safe_open(shard.file.path, framework="pt") as file:
            for tensor in file.keys():  # noqa: SIM118 - no mapping
                old = file.get_tensor(tensor)
                if tensor in sources:
                    new = parameters[sources[tensor]].detach().reshape(old.shape)
                    new = old.to(new.dtype).lerp(new, interpolate)
                    tensors[tensor] = _rounded(tensor, new, old)
                else:
                    tensors[tensor] = old
        with weight_errors(fresh):
            save_file(tensors, fresh / name, metadata=dict(shard.header.metadata))
    publish_folder(fresh, target)


def _rounded(name: str, new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    if not torch.isfinite(new).all():
        raise GraftError(
            f"training made `{name}` NaN or infinite", hint="use a smaller `lr` under [train]"
        )
    return new.to(old.dtype).contiguous()
