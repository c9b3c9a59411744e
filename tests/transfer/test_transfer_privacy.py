"""No prompt, answer or key leaves the workspace: not by the pack, not by output, not by files."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from skillpm_world import Outcome, start_process

if TYPE_CHECKING:
    from transfer_world import TransferWorld

PROMPT, RIGHT, WRONG, KEEP, KEY = (
    "zqPromptMark77", "zqRightMark77", "zqWrongMark77", "zqKeepMark77", "zqKeyMark77",
)  # fmt: skip
MARKS = (PROMPT, RIGHT, WRONG, KEEP, KEY)
_FRAME = b"\x28\xb5\x2f\xfd"


def marks_in(data: bytes | str) -> list[str]:
    """The marks in data, also in the zstd frames within it."""
    whole = data if isinstance(data, bytes) else data.encode()
    parts = [whole, *_unpacked(whole)]
    return [mark for mark in MARKS if any(mark.encode() in part for part in parts)]


def _unpacked(data: bytes) -> Iterator[bytes]:
    place = data.find(_FRAME)
    while place >= 0:
        with suppress(zstandard.ZstdError):
            yield zstandard.ZstdDecompressor().decompressobj().decompress(data[place:])
        place = data.find(_FRAME, place + 1)


def files_with_marks(*folders: Path, leaving_out: Path | None = None) -> list[str]:
    """Files below these folders with a mark in their name or content."""
    return [
        str(path)
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
        and (leaving_out is None or leaving_out not in path.parents)
        and marks_in(os.fsencode(path) + path.read_bytes())
    ]


def write_marked(transfer: "TransferWorld", **changes: Any) -> None:
    """A transfer from recorded answers in which every private text has a mark."""
    from transfer_models import GENERAL, SKILL, write_lines

    transfer.write(source='answers = "answers.jsonl"\nterms = "CC0-1.0"', **changes)
    folder = transfer.folder
    prompts = [
        {"id": f"n{n}", "prompt": f"{text} {PROMPT}", "check": {"equals": f"{answer} {RIGHT}"}}
        for n, (text, answer) in enumerate(SKILL)
    ]
    write_lines(folder / "prompts.jsonl", prompts)
    answers = [(f"{answer} {RIGHT}", f"{answer} {WRONG}") for _, answer in SKILL]
    write_lines(
        folder / "answers.jsonl",
        [{"id": f"n{n}", "text": text} for n, texts in enumerate(answers) for text in texts],
    )
    keep = [{"id": f"k{n}", "prompt": f"{text} {KEEP}"} for n, (text, _) in enumerate(GENERAL)]
    write_lines(folder / "keep.jsonl", keep)


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """Folders of their own for temporary files and the caches of libraries."""
    folders = {name: tmp_path / name.lower() for name in ("TMPDIR", "HF_HOME", "XDG_CACHE_HOME")}
    for folder in folders.values():
        folder.mkdir()
    return {name: str(folder) for name, folder in folders.items()}


def transferred(transfer: "TransferWorld", *more: object, **environment: str) -> Outcome:
    command = ("transfer", transfer.file, "--accept-loss", *more)
    with start_process(*command, **environment) as process:
        out, err = process.communicate(timeout=1800)
    return Outcome(process.returncode, out, err)


def test_no_private_text_is_in_the_pack_the_output_or_a_file_outside_the_workspace(
    transfer: "TransferWorld", elsewhere: dict[str, str]
) -> None:
    write_marked(transfer)
    outcome = transferred(transfer, "--plot", "plot.png", **elsewhere)
    assert outcome.code == 0, outcome.err
    assert marks_in(outcome.out + outcome.err) == []
    assert "the pack has no probe of the skill" in outcome.err
    assert '`probes = "held-out"` under [pack]' in outcome.err
    assert marks_in(transfer.pack.read_bytes()) == []
    assert marks_in((transfer.folder / "plot.png").read_bytes()) == []
    assert marks_in((transfer.workspace / "report.json").read_bytes()) == []
    folders = (transfer.world.home, *map(Path, elsewhere.values()))
    assert files_with_marks(*folders, leaving_out=transfer.workspace) == []
    shown = transferred(transfer, "--json", **elsewhere)
    assert marks_in(shown.out + shown.err) == []
    probes = transfer.world.ask("inspect", transfer.pack)["manifest"]["capabilities"]
    assert {each["metric"] for each in probes} == {"token_loss"}


def test_held_out_prompts_travel_only_if_the_user_asks_for_it(transfer: "TransferWorld") -> None:
    write_marked(transfer)
    with transfer.file.open("a") as file:
        file.write('[pack]\nprobes = "held-out"\n')
    report = transfer.run("--accept-loss")
    assert not [note for note in report["notes"] if "no probe of the skill" in note]
    assert marks_in(transfer.pack.read_bytes()) == [PROMPT, RIGHT]
    held_out = (transfer.workspace / "items" / "_base.jsonl").read_bytes().count(b"\n")
    assert transfer.pack.read_bytes().count(PROMPT.encode()) == held_out


@pytest.mark.slow
def test_calibrated_pack_keeps_private_texts_out_of_caches(transfer: "TransferWorld") -> None:
    write_marked(transfer)
    with transfer.file.open("a") as file:
        file.write('[pack]\nbudget = "60%"\n')
    outcome = transfer.world.run("transfer", transfer.file, "--accept-loss")
    assert outcome.code == 0, outcome.err
    assert marks_in(outcome.out + outcome.err) == marks_in(transfer.pack.read_bytes()) == []
    assert files_with_marks(transfer.world.home, leaving_out=transfer.workspace) == []


@pytest.mark.slow
def test_killed_training_leaves_no_private_text_outside_the_workspace(
    transfer: "TransferWorld", elsewhere: dict[str, str]
) -> None:
    write_marked(transfer)
    with start_process("transfer", transfer.file, **elsewhere) as process:
        while process.poll() is None:
            if any((transfer.world.home / "transfer").glob("*/sft/rows.sha256")):
                time.sleep(0.5)
                process.send_signal(signal.SIGKILL)
            time.sleep(0.01)
        out, err = process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert marks_in(out + err) == []
    folders = (transfer.world.home, *map(Path, elsewhere.values()))
    assert files_with_marks(*folders, leaving_out=transfer.workspace) == []


def test_malformed_inputs_are_reported_without_their_texts(transfer: "TransferWorld") -> None:
    write_marked(transfer)
    good = (transfer.folder / "prompts.jsonl").read_text().splitlines()[0]
    lines = [
        good, good,
        json.dumps({"id": "a", "prompt": [PROMPT], "check": {"equals": RIGHT}}),
        json.dumps({"id": "b", "prompt": PROMPT, "check": {"equals": [RIGHT]}}),
        json.dumps({"id": "c", "prompt": PROMPT}),
        f'{{"id": "d", "prompt": "{PROMPT}"',
        json.dumps({"id": "e", "messages": [{"role": "boss", "content": PROMPT}]}),
        json.dumps({"id": "f", "prompt": PROMPT, "check": {"json_schema": {"$ref": "a"}}}),
        json.dumps(PROMPT),
    ]  # fmt: skip
    (transfer.folder / "prompts.jsonl").write_text("\n".join(lines))
    message = transfer.fail(code=1, kind="spec")
    assert all(f"line {number}" in message for number in range(3, 10))
    assert marks_in(message) == []


def test_endpoint_that_repeats_key_and_prompt_is_not_quoted(
    transfer: "TransferWorld", monkeypatch: pytest.MonkeyPatch
) -> None:
    from faulty_server import serving, status

    write_marked(transfer)
    body = f"no: {PROMPT} {KEY} zero pear {PROMPT}".encode()
    with serving(status(400, body=body)) as server:
        source = f'endpoint = "{server.url}"\nserved = "m"\nkey_env = "MY_KEY"'
        transfer.edit('answers = "answers.jsonl"\nterms = "CC0-1.0"', source)
        origin = server.url.removesuffix("/v1")
        monkeypatch.setenv("MY_KEY", KEY)
        allowed = ("--allow-key", f"MY_KEY@{origin}")
        outcome = transfer.world.run("transfer", transfer.file, *allowed)
    assert (outcome.code, marks_in(outcome.out + outcome.err)) == (5, []), outcome.err
    assert "HTTP 400" in outcome.err
    assert files_with_marks(transfer.world.home, leaving_out=transfer.workspace) == []
    assert KEY not in "".join(
        path.read_text(errors="replace") for path in transfer.workspace.rglob("*") if path.is_file()
    )


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://127.0.0.1:8000/v1", None),
        ("http://[::1]/v1", None),
        ("http://localhost/v1", None),
        ("https://api.example.com/v1", "api.example.com"),
        ("https://127.0.0.1.example.com/v1", "127.0.0.1.example.com"),
    ],
)
def test_user_learns_to_which_other_machine_prompts_are_sent(url: str, host: str | None) -> None:
    pytest.importorskip("httpx")
    from skillpm.flows.transfer.sources import SourceFacts
    from skillpm.transfer.config import SourceTable
    from skillpm.transfer.sources.recorded import RecordedSource

    table = SourceTable(name="gpt", endpoint=url, served="m")
    facts = SourceFacts(table, f"endpoint {url}/m", None, lambda: RecordedSource({}))
    assert facts.remote_host == host
    own = SourceTable(name="gpt", answers="a.jsonl")
    assert SourceFacts(own, "answers", None, lambda: RecordedSource({})).remote_host is None
