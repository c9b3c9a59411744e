"""`pack --dry-run` estimates the file and writes nothing; it refuses what `pack` refuses."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from calibration_worlds import with_tokenizer, write_texts
from plain_models import nudged, plain_tensors, write_plain, write_tuned
from skillpm_world import World, run_here

import skillpm
from skillpm.delta.kernels.choice import SETTINGS

WITHIN = 1.5
NAMED = ("--name", "a/b", "--version", "1.0.0")
STAGES = {"starting", "hashing base", "encoding", "checking", "writing"}


def entries(folder: Path) -> Mapping[str, object]:
    """Every file and folder below a folder, with contents and times of change."""
    found: dict[str, object] = {}
    for place, _, files in os.walk(folder):
        found[place] = Path(place).stat().st_mtime_ns
        for name in files:
            path = Path(place) / name
            found[str(path)] = (path.lstat().st_mtime_ns, path.read_bytes())
    return found


def estimated(world: World, *arguments: object) -> dict[str, Any]:
    """The estimate, after a check that nothing in the world has changed."""
    before = entries(world.folder)
    document = world.ask("pack", *arguments, *NAMED, "--dry-run")
    assert entries(world.folder) == before
    assert document["dry_run"] is True
    assert {stage["stage"] for stage in document["stages"]} >= STAGES
    assert document["processor_seconds"] > 0
    assert document["memory_bytes"] > 0
    return document


def check_size(world: World, *arguments: object) -> dict[str, Any]:
    """Estimate, pack, and compare the sizes of the files."""
    document = estimated(world, *arguments)
    packed = world.ask("pack", *arguments, *NAMED)
    assert document["scheme"] == packed["scheme"]
    assert document["delta_bytes"] == packed["delta_bytes"]
    ratio = document["file_bytes"] / packed["file_bytes"]
    assert 1 / WITHIN <= ratio <= WITHIN
    return document


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--effort", "fast"),
        ("--effort", "best"),
        ("--scheme", "graftllm"),
        ("--keep", "0.9"),
        pytest.param(("--keep", "0.5"), marks=pytest.mark.slow),
        ("--budget", "60%"),
        pytest.param(("--budget", "10MB"), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_size_is_estimated_for_every_scheme(
    world: World, models: Any, options: tuple[str, ...]
) -> None:
    document = check_size(world, *models.pair("bf16"), *options)
    assert document["model_bytes"] is None
    assert document["sampled_bytes"] <= document["delta_bytes"]


@pytest.mark.parametrize("kind", ["sharded", "tied", "grown", "head", "mixed"])
def test_size_is_estimated_for_models_of_every_form(world: World, models: Any, kind: str) -> None:
    options = ("--cast",) if kind == "mixed" else ()
    check_size(world, *models.pair(kind), *options)


@pytest.mark.parametrize("options", [("--budget", "60%"), ("--keep", "0.9")], ids=" ".join)
def test_calibration_adds_the_memory_and_the_time_of_the_model(
    world: World, models: Any, tmp_path: Path, options: tuple[str, ...]
) -> None:
    base, tuned = models.tuned("mlp")
    texts = write_texts(tmp_path / "texts.jsonl")
    pair = with_tokenizer(base, tmp_path / "base"), with_tokenizer(tuned, tmp_path / "tuned")
    document = estimated(world, *pair, *options, "--calibration", texts)
    assert document["model_bytes"] > 0
    assert "calibrating" in {stage["stage"] for stage in document["stages"]}


def test_size_is_estimated_for_a_layered_pack(world: World) -> None:
    base = write_plain(world.folder / "base", plain_tensors())
    below = world.pack((base, write_tuned(world.folder / "below", "mlp")), "a/below", "1.0.0")
    both = nudged(nudged(plain_tensors(), "mlp", 1), "attn", 2)
    check_size(world, base, write_plain(world.folder / "both", both), "--over", below)


def test_a_layer_below_for_another_base_is_refused(world: World) -> None:
    base = write_plain(world.folder / "base", plain_tensors())
    below = world.pack((base, write_tuned(world.folder / "below", "mlp")), "a/below", "1.0.0")
    other = write_plain(world.folder / "other", plain_tensors(seed=5))
    tuned = write_tuned(world.folder / "tuned", "attn")
    message = world.fail(
        "pack", other, tuned, *NAMED, "--over", below, "--dry-run", code=3, kind="integrity"
    )
    assert "was built for base" in message


def test_errors_are_those_of_pack(world: World, models: Any) -> None:
    base, tuned = models.pair("bf16")
    empty = world.folder / "empty"
    empty.mkdir()
    wrong: tuple[tuple[object, ...], ...] = (
        (base, base),
        (base, empty),
        (base, world.folder / "missing"),
        (base, tuned, "--budget", "5%", "--keep", "0.9"),
        (base, tuned, "--alpha", "0.5"),
        (base, tuned, "--budget", "100B"),
        (base, tuned, "--output", world.folder / "missing" / "x.skillpack"),
        (base, tuned, "--calibration", world.folder / "missing"),
        (base, models.pair("fp32")[1]),
    )
    for arguments in wrong:
        expected = run_here("pack", *arguments, *NAMED, "--json")
        outcome = run_here("pack", *arguments, *NAMED, "--dry-run", "--json")
        assert expected.code > 0, arguments
        assert outcome.code == expected.code, arguments
        if "100B" not in arguments:
            assert outcome.error == expected.error
        assert outcome.error["kind"] == expected.error["kind"]


def test_text_names_time_memory_and_size(world: World, models: Any) -> None:
    outcome = world.run("pack", *models.pair("bf16"), *NAMED, "--dry-run")
    assert outcome.code == 0
    assert "would pack a/b 1.0.0 into a-b-1.0.0.skillpack" in outcome.out
    for words in ("of wall time on", "of processor time", "of memory", "a file of about"):
        assert words in outcome.out


def test_an_existing_pack_is_not_touched(world: World, models: Any) -> None:
    base, tuned = models.pair("bf16")
    packed = world.ask("pack", base, tuned, *NAMED)
    estimated(world, base, tuned)
    assert Path(packed["path"]).exists()


def test_python_gives_the_estimate_of_the_command(world: World, models: Any) -> None:
    base, tuned = models.pair("bf16")
    document = estimated(world, base, tuned, "--keep", "0.9")
    estimate = skillpm.estimate_pack(base, tuned, name="a/b", version="1.0.0", keep=0.9)
    assert estimate.file_bytes == document["file_bytes"]
    assert estimate.seconds == pytest.approx(sum(stage.seconds for stage in estimate.stages))


def test_compiled_code_is_written_again_after_an_estimate(world: World, models: Any) -> None:
    estimated(world, *models.pair("bf16"))
    assert SETTINGS.saves
