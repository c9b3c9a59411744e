"""The parts of `python -m benchmarks.device`, on the CPU and with tiny models."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.device.__main__ import main
from benchmarks.device.layer import LAYERS, measure_layer, shapes_of
from benchmarks.device.results import run_parts
from skillpm.delta.encoding.torch_device import CPU
from skillpm.errors import GraftError


def test_a_layer_has_the_matrices_of_an_8b_model_and_is_measured_whole() -> None:
    assert sum(rows * columns for rows, columns in shapes_of(4096).values()) == 218_103_808
    found = measure_layer(CPU, 64)
    assert found["bytes"] > 0
    assert found["layer"] == found["survey"] + found["encode"]
    assert found["layers"] == LAYERS * found["layer"]


def test_finished_parts_are_not_run_again(tmp_path: Path) -> None:
    ran: list[str] = []

    def part(name: str) -> Any:
        def run() -> dict[str, Any]:
            ran.append(name)
            return {"name": name}

        return run

    def broken() -> dict[str, Any]:
        raise RuntimeError

    path = tmp_path / "results.json"
    with pytest.raises(RuntimeError):
        run_parts(path, {"device": "cpu"}, {"first": part("first"), "second": broken})
    parts = {"first": part("first"), "second": part("second")}
    found = run_parts(path, {"device": "cpu"}, parts)
    assert ran == ["first", "second"]
    assert found == {"first": {"name": "first"}, "second": {"name": "second"}}
    run_parts(path, {"device": "cuda"}, parts)
    assert ran == ["first", "second", "first", "second"]


def test_a_missing_device_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    words = ["base", "tuned", "--device", "cuda:999", "--dir", str(tmp_path / "out")]
    with pytest.raises(GraftError, match="there is no device"):
        main(words)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_all_parts_run_on_the_cpu(
    tmp_path: Path, models: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    base, tuned = models.tuned("mlp")
    options = ("--device", "cpu", "--budget", "100%", "--width", "64", "--dir", str(tmp_path))
    words = [str(base), str(tuned), *options]
    main(words)
    found = json.loads(capsys.readouterr().out)
    assert found["packs"]["lossless"]["relative_error"] == 0
    assert found["live"]["back_to_base"] == "the same bits"
    assert found["live"]["graft"] < 1e-3
    assert found["layer"]["bytes"] > 0
