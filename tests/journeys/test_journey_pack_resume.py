"""A `pack` that was killed continues where it was, and writes the bytes of an uninterrupted one."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from calibration_worlds import with_tokenizer, write_texts
from plain_models import nudged, write_plain
from skillpm_world import PACKAGES, World

from skillpm.spec.sealed import unseal


@pytest.fixture(autouse=True)
def one_thread_and_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same number of threads in this process and in others, and one time for all packs."""
    assert world.project.is_dir()  # the fixture `world` resets the time, so it comes first
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


def run_killed(*arguments: object) -> None:
    """Run a command in a process that dies by SIGKILL; see `killed_command.py`."""
    script = Path(__file__).parents[1] / "killed_command.py"
    done = subprocess.run(
        [sys.executable, script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": PACKAGES},
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == -signal.SIGKILL, done


def packed_in_a_new_home(
    world: World, monkeypatch: pytest.MonkeyPatch, asked: tuple[object, ...]
) -> bytes:
    """The bytes of the pack that a home without any cache writes."""
    path = world.folder / "uninterrupted.skillpack"
    with monkeypatch.context() as patch:
        patch.setenv("SKILLPM_HOME", str(world.folder / "new-home"))
        world.ask(*asked, "-o", path)
    return path.read_bytes()


@pytest.mark.slow
def test_a_killed_calibration_continues_and_gives_the_same_pack(
    world: World, models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, tuned = models.pair("fp32")
    tuned = with_tokenizer(tuned, tmp_path / "calibrated")
    texts = write_texts(tmp_path / "texts.jsonl")
    request = ("--name", "a/b", "--version", "1.0.0", "--budget", "60%", "--calibration", texts)
    asked = ("pack", base, tuned, *request)
    path = tmp_path / "resumed.skillpack"
    run_killed("rename", "index.json", 2, "before", *asked, "-o", path)
    (entry,) = (world.home / "cache" / "fisher").iterdir()
    first = unseal((entry / "index.json").read_bytes(), "the index")
    assert not path.exists()
    assert len(list(entry.glob("*/"))) == 2  # one is named by the index, one was not finished
    world.ask(*asked, "-o", path)
    last = unseal((entry / "index.json").read_bytes(), "the index")
    assert last["batches"] > first["batches"]
    assert path.read_bytes() == packed_in_a_new_home(world, monkeypatch, asked)


def test_a_killed_pack_keeps_its_finished_layers_and_gives_the_same_pack(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = np.random.default_rng(0)
    tensors = {
        f"model.layers.{layer}.mlp.up_proj.weight": chance.standard_normal((512, 600), np.float32)
        for layer in range(3)
    }
    base = write_plain(tmp_path / "base", tensors)
    tuned = write_plain(tmp_path / "tuned", nudged(tensors, "mlp", 1))
    asked = ("pack", base, tuned, "--name", "a/b", "--version", "1.0.0")
    path = tmp_path / "resumed.skillpack"
    run_killed("link", "[0-9a-f]{64}", 2, "after", *asked, "-o", path)
    layers = world.home / "cache" / "layers"
    (entry,) = layers.iterdir()
    assert len(list(entry.iterdir())) == 3  # two layers; the second has no note yet
    assert world.ask("cache", "info")["sizes"]["layers"] > 0
    world.ask(*asked, "-o", path)
    assert list(layers.iterdir()) == []  # the pack is written
    assert path.read_bytes() == packed_in_a_new_home(world, monkeypatch, asked)
