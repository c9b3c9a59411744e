"""`pack --scheme auto`: budgets, fidelity, calibration, and refusals."""

from pathlib import Path
from typing import Any

import pytest
from calibration_worlds import with_tokenizer, write_texts
from skillpm_world import World


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A calibration file of JSON lines."""
    return write_texts(tmp_path / "texts.jsonl")


@pytest.mark.parametrize("share", [60, pytest.param(75, marks=pytest.mark.slow)])
def test_pack_budget_is_met_and_used_to_99_percent(world: World, models: Any, share: int) -> None:
    base, tuned = models.pair("fp32")
    found = world.ask(
        "pack", base, tuned, "--name", "a/b", "--version", "1.0.0", "--budget", f"{share}%"
    )
    size, budget = Path(found["path"]).stat().st_size, share / 100 * found["delta_bytes"]
    assert found["scheme"] == "auto"
    assert size <= budget
    assert size >= 0.99 * budget - 10_240  # a tar file is padded to whole records


def test_pack_with_a_fidelity_target_installs_grafts_and_uninstalls(
    world: World, models: Any
) -> None:
    base, tuned = models.pair("bf16")
    root = world.init(base)
    pack = world.ask("pack", base, tuned, "--name", "a/b", "--version", "1.0.0", "--keep", "0.9")
    world.ask("install", pack["path"])
    assert world.ask("verify", pack["path"], "--base", base)
    assert world.graft_root() == pack["result_root"]
    world.ask("uninstall", "a/b")
    assert world.graft_root() == root


def test_pack_keep_with_a_higher_share_is_larger_and_more_accurate(
    world: World, models: Any
) -> None:
    base, tuned = models.tuned("mlp")
    found = [
        world.ask(
            "pack", base, tuned, "--name", "a/b", "--version", f"1.{number}.0", "--keep", keep
        )
        for number, keep in enumerate(("0.5", "0.9", "0.99"))
    ]
    sizes = [one["payload_bytes"] for one in found]
    assert sizes == sorted(sizes)
    for one, keep in zip(found, (0.5, 0.9, 0.99), strict=True):
        assert (
            one["relative_error"] ** 2 <= 1.2 * (1 - keep) + 0.002
        )  # norms have a larger share than in real models


def test_pack_auto_is_deterministic(
    world: World, models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    base, tuned = models.tuned("mlp")
    digests = {
        world.ask(
            "pack", base, tuned, "--name", "a/b", "--version", "1.0.0", "--budget", "70%",
            "-o", tmp_path / f"{number}.skillpack",
        )["digest"]
        for number in range(2)
    }  # fmt: skip
    assert len(digests) == 1


def test_pack_calibration_keeps_the_divergence_below_its_limit(
    world: World, models: Any, tmp_path: Path, texts: Path
) -> None:
    base, tuned = models.pair("fp32")
    tuned = with_tokenizer(tuned, tmp_path / "calibrated")
    pack = world.ask(
        "pack", base, tuned, "--name", "a/b", "--version", "1.0.0",
        "--keep", "0.9", "--calibration", texts,
    )  # fmt: skip
    settings = world.ask("inspect", pack["path"])["manifest"]["compression"]["settings"]
    assert settings["divergence"] <= 0.1 * settings["of"]
    assert settings["tokens"] > 0
    (effect,) = pack["effects"]
    assert effect["text"] == "held-out text"
    assert effect["divergence"] == settings["divergence"]
    gain = settings["loss_base"] - settings["loss_tuned"]
    if gain > 1e-3:  # the tuned model may not gain on this text
        assert settings["loss_base"] - settings["loss"] >= 0.9 * gain - 1e-5


def test_pack_refuses_invalid_calibration_text_with_its_line(
    world: World, models: Any, tmp_path: Path
) -> None:
    base, tuned = models.tuned("mlp")
    asked = ("pack", base, tuned, "--name", "a/b", "--version", "1.0.0", "--budget", "20%")
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"text": "one"}\n{"prompt": "two"}\n')
    assert "line 2" in world.fail(*asked, "--calibration", wrong, code=1, kind="spec")
    wrong.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in world.fail(*asked, "--calibration", wrong, code=1, kind="spec")
    wrong.write_text("\n\n")
    assert "no text" in world.fail(*asked, "--calibration", wrong, code=1, kind="spec")


@pytest.mark.parametrize("asked", [("--budget", "300%"), ("--keep", "0.99999999999")])
def test_pack_budget_above_lossless_size_is_exact(
    world: World, models: Any, asked: tuple[str, str]
) -> None:
    base, tuned = models.tuned("mlp")
    found = world.ask("pack", base, tuned, "--name", "a/b", "--version", "1.0.0", *asked)
    assert found["scheme"] == "auto"
    assert found["relative_error"] == 0
    document = world.ask("inspect", found["path"])
    assert document["manifest"]["result_root"] == world.ask("identify", tuned)["root"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--scheme", "lossless", "--budget", "5%"), "needs the scheme `auto`"),
        (("--scheme", "graftllm", "--keep", "0.9"), "needs the scheme `auto`"),
        (("--budget", "5%", "--keep", "0.9"), "cannot be used together"),
        (("--budget", "5%", "--alpha", "0.1"), "needs the scheme `graftllm`"),
        (("--budget", "lots"), "like `5%`"),
        (("--budget", "0"), "expected more than 0"),
        (("--keep", "1.5"), "range"),
        (("--device", "cpu"), "needs the scheme `auto` or `graftllm`"),
        (("--device", "cuda:x"), "expected `cpu`, `cuda` or `cuda:N`"),
        (("--budget", "5%", "--device", "mps"), "expected `cpu`, `cuda` or `cuda:N`"),
    ],
)
def test_pack_refuses_contradictory_flags(
    world: World, models: Any, options: tuple[str, ...], says: str
) -> None:
    base, tuned = models.tuned("mlp")
    asked = ("pack", base, tuned, "--name", "a/b", "--version", "1.0.0", *options)
    assert says in world.fail(*asked, code=2, kind="usage")


def test_pack_budget_that_is_too_small_is_refused(world: World, models: Any) -> None:
    base, tuned = models.tuned("mlp")
    asked = ("pack", base, tuned, "--name", "a/b", "--version", "1.0.0", "--budget", "1000B")
    assert "too small" in world.fail(*asked, code=1, kind="graft")


def test_a_device_that_does_not_exist_is_refused_before_work_starts(
    world: World, models: Any
) -> None:
    base, _ = models.tuned("mlp")
    asked = ("pack", base, world.folder / "missing", "--name", "a/b", "--version", "1.0.0")
    for options in (("--budget", "50%"), ("--scheme", "graftllm")):
        said = world.fail(*asked, *options, "--device", "cuda:999", code=1, kind="graft")
        assert "there is no device `cuda:999`" in said


def test_pack_on_the_named_cpu_is_the_pack_without_a_device(
    world: World, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    base, tuned = models.tuned("mlp")
    asked = ("pack", base, tuned, "--name", "a/b", "--version", "1.0.0", "--budget", "100%")
    without = world.ask(*asked, "-o", world.folder / "a.skillpack")
    named = world.ask(*asked, "-o", world.folder / "b.skillpack", "--device", "cpu")
    assert named["digest"] == without["digest"]


@pytest.mark.cuda
def test_a_pack_made_on_cuda_verifies_and_records_the_device(world: World, models: Any) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    base, tuned = models.tuned("mlp")
    asked = ("pack", base, tuned, "--name", "a/b", "--version", "1.0.0", "--device", "cuda")
    lossy = world.ask(*asked, "--budget", "100%", "-o", world.folder / "a.skillpack")
    world.ask("verify", lossy["path"], "--base", base)
    manifest = world.ask("inspect", lossy["path"])["manifest"]
    assert manifest["compression"]["settings"]["device"] == "cuda"
    exact = world.ask(*asked, "--budget", "300%", "-o", world.folder / "b.skillpack")
    exact_root = world.ask("inspect", exact["path"])["manifest"]["result_root"]
    assert exact_root == world.ask("identify", tuned)["root"]


@pytest.mark.parametrize("options", [("--budget", "60%"), ("--scheme", "graftllm")])
def test_packing_leaves_the_number_of_threads_of_torch(
    world: World, models: Any, options: tuple[str, str]
) -> None:
    import torch

    base, tuned = models.tuned("mlp")
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        world.ask("pack", base, tuned, "--name", "a/b", "--version", "1.0.0", *options)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_calibration_text_that_cannot_be_split_is_refused(
    world: World, models: Any, tmp_path: Path
) -> None:
    base, tuned = models.pair("fp32")
    tuned = with_tokenizer(tuned, tmp_path / "calibrated")
    short = tmp_path / "short.txt"
    short.write_text("a")
    asked = ("pack", base, tuned, "--name", "a/b", "--version", "1.0.0", "--budget", "60%")
    said = world.fail(*asked, "--calibration", short, code=1, kind="graft")
    assert "the calibration text is too short" in said


def test_an_exact_calibrated_pack_states_no_effect(
    world: World, models: Any, tmp_path: Path, texts: Path
) -> None:
    base, tuned = models.pair("fp32")
    tuned = with_tokenizer(tuned, tmp_path / "calibrated")
    asked = ("pack", base, tuned, "--name", "a/b", "--version", "1.0.0", "--calibration", texts)
    found = world.ask(*asked, "--budget", "300%")
    assert (found["relative_error"], found["effects"]) == (0, [])
