import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from llm_worlds import TUNE, make_cache, make_walk
from peer_worlds import make_task
from safetensors.torch import load_file
from tiny_adapters import Case, make

from benchmarks.llm import adapter, codecs, costs, planes
from benchmarks.llm.__main__ import main
from benchmarks.llm.commands import COPY, GRAFT, HASH, PACK, PEERS, PLANES, VERIFY, Walk
from benchmarks.llm.repeated import layers_for, layers_of, write
from benchmarks.llm.runs import Cost, Run, Runs
from benchmarks.peers import Task
from skillpm.checkpoint.model import open_checkpoint

WEIGHTS = "model.safetensors"
STEPS = (PACK, VERIFY, GRAFT)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return make_task(tmp_path_factory.mktemp("llm"))


@pytest.fixture(scope="module")
def walk(task: Task, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    return make_walk(task, tmp_path_factory.mktemp("walk"))


def cells(markdown: str, first: str) -> list[str]:
    """The cells of the row that starts with `first`."""
    lines = [line.strip("| ").split("|") for line in markdown.splitlines()]
    return next([cell.strip() for cell in line] for line in lines if line[0].strip() == first)


@pytest.mark.slow
def test_commands_are_measured_once_and_compared_with_their_peers(
    walk: Walk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = costs.Course("tiny", STEPS, [1, 2], 1)
    costs.measure(walk, course, Runs(tmp_path / "runs.jsonl"))
    monkeypatch.setenv("PATH", "")  # a second run starts no process
    runs = Runs(tmp_path / "runs.jsonl")
    costs.measure(walk, course, runs)
    assert runs.steps("tiny") == [*PEERS, *STEPS]
    table = costs.cost_table(runs, course, "tiny").markdown()
    assert cells(table, COPY)[3] == cells(table, HASH)[4] == cells(table, PLANES)[5] == "1.00"
    packed = runs.cost("tiny", PACK, 2)
    assert packed is not None
    assert packed.size == walk.packed.stat().st_size
    scale = costs.scale_table(runs, course, course, (100, 200)).markdown()
    assert {cells(scale, step)[3] for step in STEPS} == {"0.50"}


@pytest.mark.slow
def test_the_benchmark_measures_a_tune_and_its_layers_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, tables = make_cache(tmp_path), tmp_path / "tables.md"
    asked = ("costs", "scale", "--tune", TUNE, "--steps", "pack", "--workers", "1", "--runs", "1")
    places = ("--cache", str(cache), "--bytes", "500000", "--append", str(tables))
    monkeypatch.setattr(sys, "argv", ["llm", *asked, *places])
    main()
    found = tables.read_text()
    assert found.count("**SmolLM2") == 2
    assert f"fine-tune `{TUNE}`, bf16" in found
    assert [cells(part, PACK)[0] for part in found.split("\n\n**")] == [PACK] * 3


def test_bf16_words_in_the_order_of_the_numbers_and_back() -> None:
    words = np.arange(1 << 16, dtype=np.uint16)
    assert np.array_equal(planes.unordered(planes.ordered(words)), words)
    numbers = (words.astype(np.uint32) << 16).view(np.float32)
    finite = np.isfinite(numbers)
    order = planes.ordered(words)[finite].argsort()
    assert (np.diff(numbers[finite][order]) >= 0).all()


def test_planes_give_the_same_file_back(task: Task, tmp_path: Path) -> None:
    planes.pack(task.base, task.tuned, tmp_path / "planes")
    planes.back(task.base, tmp_path / "planes", tmp_path / "out")
    assert (tmp_path / "out" / WEIGHTS).read_bytes() == (task.tuned / WEIGHTS).read_bytes()


def test_layers_repeat_up_to_the_size(task: Task, tmp_path: Path) -> None:
    source = open_checkpoint(task.base)
    size = 10 * (task.base / WEIGHTS).stat().st_size
    layers = layers_for(source, size)
    write(task.base, tmp_path / "out", layers)
    large = open_checkpoint(tmp_path / "out")
    assert layers_of(large) == layers
    assert 0.95 < (tmp_path / "out" / WEIGHTS).stat().st_size / size < 1.05
    before, after = load_file(task.base / WEIGHTS), load_file(tmp_path / "out" / WEIGHTS)
    name = "model.layers.{}.mlp.down_proj.weight"
    for layer in range(layers):
        assert torch.equal(after[name.format(layer)], before[name.format(layer % 2)])
    assert json.loads((tmp_path / "out" / "config.json").read_text())["num_hidden_layers"] == layers


def test_an_incomplete_line_is_measured_again(tmp_path: Path) -> None:
    path, one = tmp_path / "runs.jsonl", Run("m", "pack", 1, 0)
    Runs(path).add(one, Cost(1.0, 2.0, 3, 4))
    with path.open("a") as file:
        file.write('{"run": {"mod')
    runs = Runs(path)
    runs.add(Run("m", "pack", 1, 1), Cost(3.0, 4.0, 2, 4))
    found = Runs(path)
    assert one in found
    assert found.cost("m", "pack", 1) == Cost(2.0, 3.0, 3, 4)
    assert found.cost("m", "pack", 2) is None


@pytest.mark.slow
def test_a_lora_is_grafted_beside_the_merge_of_peft(task: Task, tmp_path: Path) -> None:
    made = make(tmp_path, Case({"target_modules": "all-linear", "r": 2}, dtype=torch.bfloat16))
    walk = Walk(tmp_path / "walk", made.base, made.adapter, task.calibration)
    walk.folder.mkdir()
    runs = Runs(tmp_path / "runs.jsonl")
    adapter.measure(walk, runs, times=1, mergekit=None)
    found = adapter.table(runs).markdown()
    assert cells(found, adapter.GRAFT)[2] == "1.0"
    grafted, merged = (runs.cost(adapter.MODEL, step, 1) for step in (adapter.GRAFT, adapter.PEFT))
    assert grafted is not None
    assert merged is not None
    size = (made.base / WEIGHTS).stat().st_size
    assert min(grafted.size, merged.size) >= size


@pytest.mark.slow
def test_decoders_are_timed_by_their_codec(walk: Walk) -> None:
    base, tuned = open_checkpoint(walk.base), open_checkpoint(walk.tuned)
    found = codecs.decode(base, [walk.lossless()])
    changed = sum(spec.nbytes for spec in tuned.specs.values())
    assert found.keys() == {"lossless"}
    assert found["lossless"].decode.size == changed
    assert codecs.encode_lossless(base, tuned).size == changed
