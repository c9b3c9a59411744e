"""Untrusted tokenizers in a separate process: equal token ids, and no effect on this process."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hostile_tokenizers import ABORTS, HUGE, growing
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from skillpm.journal.owner import is_alive
from skillpm.running.untrusted_files import UntrustedModelFiles
from skillpm.sandbox.errors import FailureKind, ForeignWorkError

TEXTS = ("one two  three", "", "two\nzwei \u00e9\U0001f984", "three " * 40)
UNKNOWN, PAD = "[UNK]", "[PAD]"
WORDS = {UNKNOWN: 0, "one": 1, "two": 2, "three": 3, PAD: 4}


@pytest.fixture(scope="module")
def foreign() -> UntrustedModelFiles:
    return UntrustedModelFiles()


def _written(folder: Path, **changed: Any) -> Path:
    """A plain tokenizer of words, with parts of its file changed."""
    made = Tokenizer(models.WordLevel(WORDS, unk_token=UNKNOWN))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.normalizer = normalizers.Lowercase()
    plain = PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token=PAD, unk_token=UNKNOWN, model_max_length=32
    )
    plain.save_pretrained(folder)
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))
    return folder


def test_tokenizer_ids_equal_those_of_transformers(
    foreign: UntrustedModelFiles, tmp_path: Path
) -> None:
    folder = _written(tmp_path)
    mine, theirs = foreign.tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        assert mine(text, truncation=False) == {
            "input_ids": theirs(text, truncation=False)["input_ids"]
        }
        cut = theirs(text, truncation=True, max_length=5)["input_ids"]
        assert mine(text, truncation=True, max_length=5)["input_ids"] == cut
    assert (mine.pad_token_id, mine.model_max_length) == (4, 32)
    assert (mine.eos_token_id, mine.sep_token_id) == (None, None)


SLOW = {
    "type": "Split",
    "pattern": {"Regex": "(?:.|.){18}(?!.|$)"},
    "behavior": "Isolated",
    "invert": False,
}


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"normalizer": growing("o", times=1000, steps=9)}, FailureKind.MEMORY, "more memory"),
        ({"model": ABORTS}, FailureKind.CRASHED, "its tokenizer was stopped: its process"),
        ({"normalizer": HUGE}, None, r"\w"),
        ({"pre_tokenizer": SLOW}, FailureKind.TIME, "its tokenizer was stopped: it took more time"),
    ],
    ids=["grows", "aborts", "asks for memory", "takes for ever"],
)
def test_tokenizer_failure_is_an_error_and_the_next_request_works(
    tmp_path: Path,
    changed: dict[str, Any],
    kind: FailureKind | None,
    message: str,
    foreign: UntrustedModelFiles,
) -> None:
    foreign.seconds = 2 if "pre_tokenizer" in changed else 60
    hostile = _written(tmp_path / "hostile", **changed)
    with pytest.raises(ForeignWorkError, match=message) as caught:
        foreign.tokenizer(hostile)("o" * 2000, truncation=False)
    assert kind in (None, caught.value.kind)
    foreign.seconds = 60
    sound = foreign.tokenizer(_written(tmp_path / "sound"))
    assert sound("two", truncation=False)["input_ids"] == [2]


def test_modules_in_the_working_folder_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("transformers", "json", "skillpm"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    found = UntrustedModelFiles().tokenizer(_written(tmp_path / "sound"))("one", truncation=False)
    assert found["input_ids"] == [1]
    assert not (tmp_path / "ran").exists()


def test_missing_tokenizer_is_reported_with_the_message_of_the_library(
    foreign: UntrustedModelFiles, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        foreign.tokenizer(tmp_path)


ASKING = """
import sys
from pathlib import Path
from skillpm.running.untrusted_files import UntrustedModelFiles
from skillpm.sandbox.errors import FailureKind, ForeignWorkError
foreign = UntrustedModelFiles()
tokenizer = foreign.tokenizer(Path(sys.argv[1]))
print(foreign._sandbox._process.pid, flush=True)
tokenizer("o" * 8000, truncation=False)
"""


def test_killed_command_leaves_no_worker(tmp_path: Path) -> None:
    folder = _written(tmp_path, pre_tokenizer=SLOW)
    command = [sys.executable, "-c", ASKING, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        worker = int(asking.stdout.readline())
        time.sleep(0.2)
        asking.kill()
    deadline = time.monotonic() + 30
    while not _has_ended(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _has_ended(worker)


def _has_ended(pid: int) -> bool:
    """Whether a process is gone or a zombie."""
    state = Path(f"/proc/{pid}/stat")
    return not is_alive(pid) or (state.exists() and ") Z " in state.read_text())


def test_too_many_tokens_are_refused(foreign: UntrustedModelFiles, tmp_path: Path) -> None:
    split = {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False}
    tokenizer = foreign.tokenizer(
        _written(tmp_path, normalizer=growing("o", times=2, steps=10), pre_tokenizer=split)
    )
    with pytest.raises(ValueError, match="makes 307200 tokens of 300 characters"):
        tokenizer("o" * 300, truncation=False)
