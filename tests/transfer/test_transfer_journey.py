"""A transfer from a source with a foreign tokenizer, up to the installed pack."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from transfer_world import TransferWorld


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_transfer_makes_a_pack_whose_probes_pass_after_install(transfer: "TransferWorld") -> None:
    transfer.write()
    with transfer.file.open("a") as file:
        file.write('[pack]\nprobes = "held-out"\n')
    report = transfer.run()
    assert [stage["name"] for stage in report["stages"]] == [
        "rehearse", "sample", "filter", "sft", "dpo", "evaluate", "pack",
    ]  # fmt: skip
    assert report["before"]["skill"] == 0
    assert report["after"]["skill"] > 0.5
    assert report["after"]["general"] >= 0.98
    assert report["pack"]["path"] == transfer.pack.name
    saved = json.loads((transfer.workspace / "report.json").read_text())
    assert saved == {key: value for key, value in report.items() if key != "schema_version"}

    manifest = transfer.world.ask("inspect", transfer.pack)
    provenance = manifest["manifest"]["provenance"]
    assert provenance["method"] in ("transfer/sft", "transfer/sft+dpo")
    (source,) = provenance["sources"]
    assert source.startswith("model sha256:")
    assert [text.split(" sha256:")[0] for text in provenance["data"]] == ["prompts", "keep"]
    assert provenance["flops"] > 0

    transfer.world.init(transfer.models.base)
    transfer.world.ask("install", transfer.pack)
    probes = transfer.world.ask("probe")
    assert {result["metric"] for result in probes["results"]} == {"judged", "token_loss"}
    assert probes["passed"]
    codes = {finding["code"] for finding in transfer.world.ask("audit")["findings"]}
    assert "source-terms-unknown" in codes


def test_second_run_asks_and_trains_nothing_and_gives_the_same_pack(
    transfer: "TransferWorld", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    transfer.write()
    first = transfer.run()
    answers = (transfer.workspace / "answers" / "gpt.jsonl").read_bytes()
    model = (transfer.workspace / "sft" / "model" / "model.safetensors").stat().st_mtime_ns
    transfer.pack.unlink()
    second = transfer.run()
    assert second["pack"]["digest"] == first["pack"]["digest"]
    assert (transfer.workspace / "answers" / "gpt.jsonl").read_bytes() == answers
    after = (transfer.workspace / "sft" / "model" / "model.safetensors").stat().st_mtime_ns
    assert after == model


def test_workspace_has_no_pickle_and_is_private(transfer: "TransferWorld") -> None:
    transfer.write()
    transfer.run("--until", "dpo")
    files = [path for path in transfer.workspace.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".bin", ".pt", ".pkl", ".pth")]
    assert not [path for path in files if path.name == "README.md"], "trl's card names paths"
    assert transfer.workspace.stat().st_mode & 0o077 == 0


def test_workspace_is_private_in_a_home_that_a_group_shares(tmp_path: Path) -> None:
    from skillpm.transfer.workspace import TransferWorkspace

    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o2770)
    with TransferWorkspace.open(home, "a" * 32, timeout=0, say=print) as workspace:
        workspace.write("sft.jsonl", b"secret")
        assert workspace.path.stat().st_mode & 0o7777 == 0o700
        assert (workspace.path / "sft.jsonl").stat().st_mode & 0o777 == 0o600
    assert (home / "transfer").stat().st_mode & 0o7777 == 0o2770


def test_held_out_prompts_are_in_no_training_row(transfer: "TransferWorld") -> None:
    transfer.write()
    transfer.run("--until", "filter")
    asked = {line["id"] for line in lines(transfer.workspace / "answers" / "gpt.jsonl")}
    held_out = {line["id"] for line in lines(transfer.workspace / "items" / "gpt.jsonl")}
    assert len(held_out) == 12
    assert not asked & held_out
    prompts = {line["id"]: line["prompt"] for line in lines(transfer.folder / "prompts.jsonl")}
    trained = (transfer.workspace / "sft.jsonl").read_text()
    trained += (transfer.workspace / "pairs.jsonl").read_text()
    assert not [name for name in held_out if f'"{prompts[name]}"' in trained]


def test_keep_rows_have_the_share_that_was_asked_for(transfer: "TransferWorld") -> None:
    transfer.write(keep_share=0.2)
    rows = transfer.run("--until", "filter")["rows"]
    assert rows["keep"] == round(0.25 * rows["sft"])


def test_recorded_answers_of_a_folder_give_the_same_rows(transfer: "TransferWorld") -> None:
    transfer.write(temperature=0, batch=1)
    transfer.run("--until", "filter")
    sft = (transfer.workspace / "sft.jsonl").read_bytes()
    recorded = [
        {"id": line["id"], "text": line["text"]}
        for folder in ("answers", "items")
        for line in lines(transfer.workspace / folder / "gpt.jsonl")
        if line["finish"] == "stop"
    ]
    (transfer.folder / "answers.jsonl").write_text("".join(json.dumps(x) + "\n" for x in recorded))
    old = transfer.workspace
    transfer.write(source='answers = "answers.jsonl"', temperature=0, batch=1)
    transfer.run("--until", "filter")
    (new,) = set((transfer.world.home / "transfer").iterdir()) - {old}
    assert (new / "sft.jsonl").read_bytes() == sft


def test_dry_run_estimates_every_stage_and_stops(transfer: "TransferWorld") -> None:
    transfer.write()
    report = transfer.run("--dry-run")
    assert report["stages"] == []
    assert set(report["estimates"]) == {"sample", "filter", "sft", "dpo", "evaluate", "pack"}
    assert report["estimates"]["sft"] > 0
    assert report["memory"] > 0
    shown = transfer.world.run("transfer", transfer.file, "--dry-run")
    assert "of memory for the training; 0 requests to endpoints" in shown.out
    assert not (transfer.workspace / "verdicts.jsonl").exists()
    assert not transfer.pack.exists()


def test_budget_makes_a_smaller_pack(transfer: "TransferWorld") -> None:
    transfer.write()
    with transfer.file.open("a") as file:
        file.write('[pack]\nbudget = "60%"\n')
    report = transfer.run()
    assert report["pack"]["scheme"] == "auto"
    assert transfer.pack.stat().st_size < 0.6 * 95_000


def test_transfer_from_options_equals_the_one_from_a_file(transfer: "TransferWorld") -> None:
    transfer.write()
    report = transfer.world.ask(
        "transfer", "--base", transfer.models.base, "--source", transfer.models.source,
        "--terms", "CC-BY-4.0", "--prompts", "prompts.jsonl", "--keep", "keep.jsonl",
        "--name", "acme/count", "--version", "1.0.0", "--until", "filter",
    )  # fmt: skip
    (source,) = report["sources"]
    assert (source["name"], source["terms"]) == ("source", "CC-BY-4.0")


def test_plot_shows_the_models_and_is_refused_where_none_is_evaluated(
    transfer: "TransferWorld",
) -> None:
    transfer.write()
    message = transfer.fail("--plot", "a.png", "--until", "sft", code=2, kind="usage")
    assert "would end before that" in message
    transfer.run("--until", "evaluate", "--plot", "a.png")
    assert (transfer.folder / "a.png").read_bytes().startswith(b"\x89PNG")
    shown = transfer.world.run("transfer", transfer.file, "--until", "evaluate")
    assert "base" in shown.out
    assert "(kept)" in shown.out
    assert "terms" in shown.out


def test_fresh_run_forgets_what_was_recorded(transfer: "TransferWorld") -> None:
    transfer.write()
    transfer.run("--until", "filter")
    earlier = transfer.workspace / "answers" / "earlier.jsonl"
    earlier.write_bytes((transfer.workspace / "answers" / "gpt.jsonl").read_bytes())
    transfer.run("--until", "filter", "--fresh")
    assert not earlier.exists()
