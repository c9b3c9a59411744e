"""Estimates beside packs, and estimates for models of large shapes."""

from pathlib import Path

import pytest
from llm_worlds import make_walk
from peer_worlds import make_task

from benchmarks.llm import estimates, shaped
from benchmarks.llm.runs import Runs
from benchmarks.peers import Task
from skillpm.checkpoint.model import open_checkpoint


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return make_task(tmp_path_factory.mktemp("llm"))


def test_a_dry_run_is_compared_with_the_pack_once(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = make_walk(task, tmp_path / "walk")
    schemes = {"lossless, fast": estimates.SCHEMES["lossless, fast"]}
    estimates.measure(walk, Runs(tmp_path / "runs.jsonl"), "tiny", schemes, 1)
    monkeypatch.setenv("PATH", "")  # a second run starts no process
    runs = Runs(tmp_path / "runs.jsonl")
    estimates.measure(walk, runs, "tiny", schemes, 1)
    table = estimates.ratio_table(runs, "tiny", ["lossless, fast", "missing"], 1)
    (row,) = table.rows
    assert row[0] == "lossless, fast"
    assert 1 / 1.5 <= float(row[3]) <= 1.5


def test_models_of_large_shapes_repeat_the_words_of_real_tensors(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = {"self_attn.q_proj.weight": (64, 48), "input_layernorm.weight": (48,)}
    monkeypatch.setattr(shaped, "_LAYER", layer)
    monkeypatch.setattr(shaped, "_ENDS", {"lm_head.weight": (96, 48)})
    monkeypatch.setattr(estimates, "_LARGE", ("lossless", "graftllm", "auto, keep 0.99"))
    for name, folder in (("base", task.base), ("tuned", task.tuned)):
        shaped.write(folder, tmp_path / name, 2)
    base, tuned = (open_checkpoint(tmp_path / name) for name in ("base", "tuned"))
    assert base.specs.keys() == tuned.specs.keys()
    assert base.specs["model.layers.1.self_attn.q_proj.weight"].shape == (64, 48)
    source = open_checkpoint(task.base)
    name = "model.layers.0.self_attn.q_proj.weight"
    first = b"".join(source.chunks(name))
    assert b"".join(base.chunks(name)).startswith(first[:64])
    found = estimates.large_table(task.base, task.tuned, 1, 3, ends=True)
    assert [row[0] for row in found.rows] == list(estimates._LARGE)
    assert {row[1] for row in found.rows} == {f"{2 * (3 * (64 * 48 + 48) + 96 * 48) / 1e6:,.1f} MB"}
