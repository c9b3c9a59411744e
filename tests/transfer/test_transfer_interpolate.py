"""`interpolate`: the share of the change of weights that a tuned model keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file
from transfer_models import make_base

from skillpm.checkpoint.model import open_checkpoint
from skillpm.transfer.rounding import round_to_base

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base, and a model of which every weight is changed by 0.5."""
    folder = tmp_path_factory.mktemp("interpolate")
    base, trained = make_base(folder / "base"), make_base(folder / "trained")
    changed = {name: tensor + 0.5 for name, tensor in load_file(base / WEIGHTS).items()}
    save_file(changed, trained / WEIGHTS, metadata={"format": "pt"})
    return base, trained


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_tuned_weights_are_a_share_of_the_way_to_the_trained_ones(
    models: tuple[Path, Path], tmp_path: Path, share: float
) -> None:
    base, trained = models
    round_to_base(open_checkpoint(base), trained, tmp_path / "tuned", interpolate=share)
    before, after = load_file(base / WEIGHTS), load_file(tmp_path / "tuned" / WEIGHTS)
    assert before.keys() == after.keys()
    for name in before:
        torch.testing.assert_close(after[name], before[name] + share * 0.5)


def test_the_whole_change_is_kept_bit_for_bit_by_default(
    models: tuple[Path, Path], tmp_path: Path
) -> None:
    base, trained = models
    round_to_base(open_checkpoint(base), trained, tmp_path / "tuned")
    expected, after = load_file(trained / WEIGHTS), load_file(tmp_path / "tuned" / WEIGHTS)
    assert all(torch.equal(after[name], expected[name]) for name in expected)
