"""What a transfer refuses: the table of cases, each with its exit code and kind."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from transfer_world import TransferWorld


def test_no_right_answer_is_an_error_with_counts_and_examples(transfer: "TransferWorld") -> None:
    from transfer_models import SKILL, prompt_lines, write_lines

    transfer.write()
    wrong = prompt_lines([(prompt, "forty-two") for prompt, _ in SKILL])
    write_lines(transfer.folder / "prompts.jsonl", wrong)
    message = transfer.fail(code=1, kind="graft")
    assert "`gpt`: 0 right" in message
    assert message.count("'n") == 3


def test_base_that_already_passes_is_an_error(transfer: "TransferWorld") -> None:
    from transfer_models import GENERAL, prompt_lines, write_lines

    transfer.write()
    write_lines(transfer.folder / "prompts.jsonl", prompt_lines(GENERAL))
    assert "already passes 100%" in transfer.fail(code=1, kind="state")
    assert not (transfer.workspace / "answers" / "gpt.jsonl").exists()


def test_source_that_is_the_target_is_an_error(transfer: "TransferWorld") -> None:
    copy = shutil.copytree(transfer.models.base, transfer.folder / "copy")
    transfer.write(source=f'model = "{copy}"')
    assert "is the target itself" in transfer.fail(code=2, kind="usage")


def test_source_with_only_pickles_is_an_error(transfer: "TransferWorld") -> None:
    folder = shutil.copytree(transfer.models.source, transfer.folder / "pickled")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    transfer.write(source=f'model = "{folder}"')
    assert "`pytorch_model.bin`" in transfer.fail(code=1, kind="spec")


def test_prompts_among_the_probes_are_listed(transfer: "TransferWorld") -> None:
    transfer.write()
    transfer.edit('keep = "keep.jsonl"', 'keep = "keep.jsonl"\nprobes = "probes.jsonl"')
    probes = [
        {"prompt": "Count  ONE pear.", "check": {"equals": "1"}},
        {"prompt": "count one hundred", "check": {"equals": "100"}},
    ]
    (transfer.folder / "probes.jsonl").write_text("".join(json.dumps(p) + "\n" for p in probes))
    message = transfer.fail(code=1, kind="spec")
    assert "1 of the prompts are among the probes: 'n12'" in message


def test_lost_general_answers_are_an_error_unless_accepted(transfer: "TransferWorld") -> None:
    transfer.write(keep_share=0)
    message = transfer.fail(code=1, kind="graft")
    assert "keeps 0% of the base's general answers; the bar is 98%" in message
    assert not transfer.pack.exists()
    report = transfer.run("--accept-loss")
    assert transfer.pack.exists()
    assert any("--accept-loss" in note for note in report["notes"])


def test_smaller_change_is_kept_if_the_whole_one_fails_the_bar(transfer: "TransferWorld") -> None:
    transfer.write(keep_share=0)
    transfer.edit("keep_share = 0\n", "keep_share = 0\ninterpolate = [1, 1e-4, 1e-5]\n")
    transfer.edit("dpo = { epochs = 1,", "dpo = { epochs = 0,")
    report = transfer.run()
    assert report["models"].keys() == {"sft", "sft-0.0001"}
    assert report["kept"] == "sft-0.0001"
    assert report["models"]["sft"]["general"] == 0
    assert report["after"]["general"] == 1
    assert transfer.pack.exists()
    assert Path(report["tuned"]).name == "tuned-0.0001"


def test_programs_need_permission_before_anything_is_asked(transfer: "TransferWorld") -> None:
    transfer.write()
    line = {"id": "p", "prompt": "count all pears", "check": {"python": {"tests": "assert True"}}}
    with (transfer.folder / "prompts.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    assert "--allow-exec" in transfer.fail(code=2, kind="usage")
    assert not (transfer.world.home / "transfer").exists()


def test_key_is_sent_only_where_the_user_allows_it(
    transfer: "TransferWorld",
) -> None:
    endpoint = 'endpoint = "http://127.0.0.1:9/v1"\nserved = "m"\nkey_env = "SECRET_KEY"'
    transfer.write(source=endpoint)
    message = transfer.fail(code=2, kind="usage")
    assert "--allow-key SECRET_KEY@http://127.0.0.1:9" in message
    message = transfer.fail("--allow-key", "SECRET_KEY@http://127.0.0.1:10", code=2, kind="usage")
    assert "which would be sent to http://127.0.0.1:9" in message


def test_key_may_be_allowed_in_the_users_configuration_but_not_in_a_project(
    transfer: "TransferWorld", monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = 'endpoint = "http://127.0.0.1:9/v1"\nserved = "m"\nkey_env = "SECRET_KEY"'
    transfer.write(source=endpoint)
    own = transfer.world.folder / "config.toml"
    own.write_text('allow-keys = "OTHER@https://example.com SECRET_KEY@http://127.0.0.1:9"\n')
    assert "`SECRET_KEY` of the source `gpt` has no key" in transfer.fail(code=2, kind="usage")
    own.unlink()
    config = '[config]\nallow-keys = "SECRET_KEY@http://127.0.0.1:9"\n'
    (transfer.folder / "skillpm.toml").write_text(config)
    assert "not allowed here" in transfer.fail(code=1, kind="spec")


def test_share_without_a_prompt_for_sft_is_an_error_before_anything_is_asked(
    transfer: "TransferWorld",
) -> None:
    transfer.write()
    transfer.edit("sft_share = 0.6", "sft_share = 1e-9")
    message = transfer.fail(code=1, kind="spec")
    assert "none of the 108 prompts is for SFT: `sft_share` is 1e-09" in message
    assert not (transfer.world.home / "transfer").exists()


def test_other_ways_of_fusion_are_refused(transfer: "TransferWorld") -> None:
    transfer.write()
    with transfer.file.open("a") as file:
        file.write('[fuse]\nmethod = "distributions"\n')
    assert "not available yet" in transfer.fail(code=2, kind="usage")


def test_budget_of_requests_is_checked_before_anything_is_asked(transfer: "TransferWorld") -> None:
    transfer.write(source='endpoint = "http://127.0.0.1:9/v1"\nserved = "m"')
    with transfer.file.open("a") as file:
        file.write("[budget]\nrequests = 100\n")
    message = transfer.fail(code=2, kind="usage")
    assert "would send 336 requests" in message


def test_budget_of_hours_is_refused_with_the_arithmetic(transfer: "TransferWorld") -> None:
    transfer.write()
    transfer.run("--dry-run")
    with transfer.file.open("a") as file:
        file.write("[budget]\nhours = 1e-6\n")
    message = transfer.fail(code=2, kind="usage")
    assert "SFT: 12 epochs × " in message
    assert not (transfer.workspace / "verdicts.jsonl").exists()


def test_rehearsal_that_exceeds_the_budget_ends_before_a_source_is_asked(
    transfer: "TransferWorld",
) -> None:
    transfer.write()
    with transfer.file.open("a") as file:
        file.write("[budget]\nhours = 1e-6\n")
    message = transfer.fail(code=2, kind="usage")
    assert "the rehearsal alone has taken" in message
    assert not (transfer.workspace / "answers" / "gpt.jsonl").exists()


def test_fresh_dry_run_is_refused_because_it_would_discard_answers(
    transfer: "TransferWorld",
) -> None:
    transfer.write()
    assert "discards recorded answers" in transfer.fail(
        "--fresh", "--dry-run", code=2, kind="usage"
    )


def test_chat_template_that_refuses_a_prompt_is_an_error_without_its_text(
    transfer: "TransferWorld",
) -> None:
    base = shutil.copytree(transfer.models.base, transfer.folder / "base")
    template = base / "chat_template.jinja"
    strict = "{% if messages[0].role == 'user' %}{{ raise_exception(REASON) }}{% endif %}"
    for reason, shown in (("'no user here'", True), ("'no: ' + messages[0].content", False)):
        template.write_text(strict.replace("REASON", reason))
        transfer.write(base=base)
        message = transfer.fail(code=1, kind="graft")
        assert "chat template refuses a prompt" in message
        assert ("no user here" in message) == shown
        assert "count" not in message


def test_second_command_on_the_same_transfer_waits_for_the_first(transfer: "TransferWorld") -> None:
    from skillpm.transfer.workspace import TransferWorkspace

    transfer.write()
    transfer.run("--until", "sample")
    home, key = transfer.world.home, transfer.workspace.name
    with TransferWorkspace.open(home, key, timeout=0, say=print):
        message = transfer.fail("--until", "sample", "--no-wait", code=1, kind="state")
    assert "the transfer is in use by" in message


def test_options_beside_a_file_are_refused(transfer: "TransferWorld") -> None:
    transfer.write()
    assert "`--name`" in transfer.fail("--name", "acme/other", code=2, kind="usage")


def test_missing_options_are_listed(transfer: "TransferWorld") -> None:
    message = transfer.world.fail("transfer", code=2, kind="usage")
    assert "`--base`, `--source`, `--prompts`, `--name`, `--version`" in message
