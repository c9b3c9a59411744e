"""Untrusted configs are read in the sandbox first, so that none exhausts this process's memory."""

import json
import resource
from pathlib import Path
from typing import Any

import pytest
from tiny_models import llama, save

from skillpm.flows.packs.config_diff import changed_settings
from skillpm.running.untrusted_files import UntrustedModelFiles
from skillpm.sandbox.errors import ForeignWorkError


@pytest.fixture(scope="module")
def foreign() -> UntrustedModelFiles:
    return UntrustedModelFiles()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(llama(), tmp_path / "model")


def _changed(folder: Path, **keys: Any) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))
    return folder


def test_check_config_accepts_a_config_that_fits_the_tensors(
    model: Path, foreign: UntrustedModelFiles
) -> None:
    foreign.check_config(model)


@pytest.mark.parametrize(
    "keys",
    [
        {"intermediate_size": 1 << 22},
        {"num_hidden_layers": 1 << 30},
        {"num_labels": 1 << 30},
        {"model_type": "no-such-model"},
        {"vocab_size": -1},
        {"hidden_act": "os.system"},
    ],
)
def test_check_config_refuses_a_config_of_other_tensors_before_allocation(
    model: Path, keys: dict[str, Any], foreign: UntrustedModelFiles
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ForeignWorkError, match=r"\w"):
        foreign.check_config(_changed(model, **keys))
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert taken < 50_000, "kB"


LLAMA = {"model_type": "llama", "hidden_size": 64, "rms_norm_eps": 1e-6}


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (LLAMA, set()),
        (LLAMA | {"attention_bias": False}, set()),
        (LLAMA | {"attention_bias": True}, {"attention_bias"}),
        (LLAMA | {"hidden_size": 128, "eos_token_id": 9}, {"hidden_size"}),
        (LLAMA | {"rope_theta": 10000.0}, set()),
        (LLAMA | {"rope_theta": 1e6}, {"rope_theta"}),
        (LLAMA | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, set()),
        (
            LLAMA | {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}},
            {"rope_parameters"},
        ),
        (LLAMA | {"model_type": "gpt2"}, {"model_type"}),
        (LLAMA | {"num_labels": 1 << 40}, {"num_labels"}),
        (LLAMA | {"rms_norm_eps": float("inf")}, {"rms_norm_eps"}),
    ],
)
def test_changed_settings_compares_as_transformers_reads_them(
    new: dict[str, Any], expected: set[str], foreign: UntrustedModelFiles
) -> None:
    old, data = (json.dumps(one).encode() for one in (LLAMA, new))
    ignored = frozenset({"eos_token_id"})
    assert changed_settings(foreign, old, data, ignored=ignored) == expected
