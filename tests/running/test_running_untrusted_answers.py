"""Answers of a worker are checked before use, because they may be anything."""

import os
from pathlib import Path

import pytest

from skillpm.running import untrusted_files as module
from skillpm.running.untrusted_files import UntrustedModelFiles, small_files
from skillpm.sandbox.errors import FailureKind, ForeignWorkError
from skillpm.sandbox.policy import SandboxPolicy
from skillpm.sandbox.process import Sandbox

HERE = Path(__file__).parent


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> UntrustedModelFiles:
    monkeypatch.setenv("PYTHONPATH", f"{HERE.parents[1]}{os.pathsep}{HERE}")
    return UntrustedModelFiles(30.0, Sandbox(SandboxPolicy("malformed_answers_worker")))


@pytest.mark.parametrize(
    "answer",
    [
        "{}", "{'ids': 1}", "{'ids': [-1]}", "{'ids': [True]}", "{'ids': ['1']}",
        "{'ids': [1.0]}", "{'ids': [2**31]}", "{'ids': [[1]]}", "{'ids': [1] * (2**18 + 1)}",
    ],
)  # fmt: skip
def test_malformed_token_ids_are_refused(
    foreign: UntrustedModelFiles, tmp_path: Path, answer: str
) -> None:
    (tmp_path / "answer.txt").write_text(answer)
    tokenizer = foreign.tokenizer(tmp_path)
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (None, None)
    assert tokenizer.model_max_length is None
    with pytest.raises(ForeignWorkError, match="is malformed"):
        tokenizer("a", truncation=False)


def test_malformed_changed_settings_are_refused(foreign: UntrustedModelFiles) -> None:
    with pytest.raises(ForeignWorkError, match="is malformed"):
        foreign.changed_settings(b"{}", b"{}", ["a"])


def test_small_files_include_only_tokenizer_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("tokenizer.json", "model.safetensors", "model.safetensors.index.json", "a.py", "x")
    for name in names:
        (tmp_path / name).write_text(name)
    (tmp_path / "folder.json").mkdir()
    assert small_files(tmp_path) == {"tokenizer.json": b"tokenizer.json"}
    monkeypatch.setattr(module, "_LARGEST", 5)
    with pytest.raises(ForeignWorkError, match=r"its `tokenizer\.json` has more than 5") as caught:
        small_files(tmp_path)
    assert caught.value.kind is FailureKind.OUTPUT
