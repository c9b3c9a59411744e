"""The files that a transfer names are read relative to its folder, with limits."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from skillpm.errors import SkillpmError, SpecError
from skillpm.spec.digests import Digest
from skillpm.transfer.config import TransferFile, transfer_of
from skillpm.transfer.inputs import read_inputs


def write(path: Path, *items: dict[str, Any]) -> None:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))


@pytest.fixture
def document(tmp_path: Path) -> TransferFile:
    write(
        tmp_path / "prompts.jsonl",
        {"id": "1", "prompt": "1+1?", "check": {"number": 2}},
        {"id": "2", "prompt": "1+2?", "check": {"number": 3}},
    )
    write(tmp_path / "general.jsonl", {"id": "1", "prompt": "Who are you?"})
    write(tmp_path / "answers.jsonl", {"id": "2", "text": "3"}, {"id": "9", "text": "x"})
    plain = {
        "target": {"base": "model", "skill": "acme/math", "version": "1.0.0"},
        "source": [
            {"name": "bought", "answers": "answers.jsonl"}, {"name": "qwen", "model": "qwen"},
        ],
        "prompts": {"file": "prompts.jsonl", "keep": "general.jsonl"},
    }  # fmt: skip
    return transfer_of(plain, "the options")


def test_files_are_read_with_their_digests(document: TransferFile, tmp_path: Path) -> None:
    found = read_inputs(document, tmp_path)
    assert [prompt.id for prompt in found.prompts] == ["1", "2"]
    assert len(found.keep) == 1
    assert found.answers["bought"]["2"] == ("3",)
    assert found.answers.keys() == {"bought"}
    assert found.unanswered("bought") == 1
    content = (tmp_path / "answers.jsonl").read_bytes()
    assert found.digests["answers.jsonl"] == Digest.of(content)
    assert len(found.digests) == 3


def test_problem_names_the_file_and_the_line(document: TransferFile, tmp_path: Path) -> None:
    write(tmp_path / "general.jsonl", {"id": "1", "prompt": "x", "check": {"number": 1}})
    with pytest.raises(SpecError, match=r"`general\.jsonl` has 1 problem:\n  line 1: check"):
        read_inputs(document, tmp_path)


def test_answers_to_no_prompt_are_refused(document: TransferFile, tmp_path: Path) -> None:
    write(tmp_path / "answers.jsonl", {"id": "7", "text": "3"})
    with pytest.raises(SpecError, match="`bought` have no id of a prompt"):
        read_inputs(document, tmp_path)


@pytest.mark.parametrize("name", ["prompts.jsonl", "general.jsonl", "answers.jsonl"])
def test_missing_files_pipes_and_folders_are_refused(
    document: TransferFile, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).unlink()
    with pytest.raises(SkillpmError, match="there is no file"):
        read_inputs(document, tmp_path)
    os.mkfifo(tmp_path / name)
    with pytest.raises(SkillpmError, match="is a named pipe"):
        read_inputs(document, tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(SkillpmError, match="is a folder"):
        read_inputs(document, tmp_path)
