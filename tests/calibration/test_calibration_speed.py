"""Estimates of a calibration read what strangers wrote: configs, tokenizers and texts."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from calibration_worlds import LETTERS, causal_model, with_tokenizer

from skillpm.calibration.speed import MachineSpeed, TextLength
from skillpm.errors import GraftError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    causal_model().save_pretrained(tmp_path / "plain")
    return with_tokenizer(tmp_path / "plain", tmp_path / "model")


def changed(folder: Path, name: str, **keys: Any) -> Path:
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))
    return folder


def test_the_tokens_of_a_long_text_are_counted_in_its_first_part(model: Path) -> None:
    length = TextLength.of(model, ["a b " * 100_000, "c"], "cpu")
    assert length.tokens == 400_001
    assert (length.vocabulary, length.layers, length.causal) == (LETTERS, 2, True)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("config.json", {"num_hidden_layers": 1 << 30}),
        ("config.json", {"model_type": "no-such-model"}),
        ("tokenizer.json", {"model": {"type": "BPE", "vocab": [], "merges": 7}}),
        ("tokenizer.json", {"normalizer": {"type": "no-such-normalizer"}}),
        ("tokenizer.json", {"added_tokens": 7}),
    ],
)
def test_a_folder_that_cannot_be_read_is_refused_as_by_pack(
    model: Path, name: str, keys: dict[str, Any]
) -> None:
    with pytest.raises(GraftError, match="cannot be run by transformers"):
        TextLength.of(changed(model, name, **keys), ["a"], "cpu")


def test_an_adapter_beside_the_model_is_refused(model: Path) -> None:
    (model / "adapter_config.json").write_text("{}")
    with pytest.raises(GraftError, match="contains an adapter"):
        TextLength.of(model, ["a"], "cpu")


def test_a_vocabulary_of_billions_allocates_little() -> None:
    threads = torch.get_num_threads()
    speed = MachineSpeed.measure(1 << 40)
    assert speed.operations > 0
    assert 0 < speed.forward_word < 1
    assert torch.get_num_threads() == threads
