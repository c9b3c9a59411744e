"""The benchmark of transfers, on models of a few thousand weights."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="needs the extra `transfer`")

from benchmarks.transfer import kills
from benchmarks.transfer.cells import finish_cell, read_cell
from benchmarks.transfer.experiment import Experiment
from benchmarks.transfer.general import keep_prompts, measuring_questions
from benchmarks.transfer.rows import ROWS, cell_name
from benchmarks.transfer.settings import Recipe, Sizes
from benchmarks.transfer.skills.catalogue import SKILLS, Skill
from benchmarks.transfer.skills.drawing import Exercise, ItemGenerator
from benchmarks.transfer.skills.numbers import words_of
from benchmarks.transfer.table import NOT_YET, table_of
from examples.transfer.source import SourceSettings
from skillpm.checks.judge import Judge
from skillpm.checks.kinds import parse_check

SIZES = Sizes(prompts=180, keep=24, items=12, general=6, tokens=8, batch=16)
RECIPE = Recipe(
    temperature=2.0,
    answer_tokens=6,
    sft_epochs=2,
    sft_rate=4e-3,
    dpo_rate=1e-4,
    beta=1.0,
    chosen_on=(8, 4),
)


def counting(subject: tuple[str, str], wording: int, _draw: random.Random) -> Exercise:
    """An exercise in the words of the tiny base."""
    number, noun = subject
    answer = str(kills.NUMBERS.index(number))
    prompt = (f"count {number} {noun}", f"{noun} count {number}", f"count {noun} {number}")
    return Exercise(prompt[wording], answer, {"equals": answer}, "count")


COUNTING = Skill(
    "counting",
    ItemGenerator(
        "counting",
        [(number, noun) for number in kills.NUMBERS for noun in kills.NOUNS],
        3,
        counting,
    ),
    SourceSettings("gpt2", 300, width=64, steps=200, batch=32),
    6,
)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    folder = tmp_path_factory.mktemp("table")
    base = kills.make_base(folder / "base")
    return Experiment(base, folder / "cache", COUNTING, sizes=SIZES, recipe=RECIPE, budget="40%")


@pytest.mark.parametrize("skill", SKILLS.values(), ids=SKILLS)
def test_right_answers_pass_and_held_out_items_are_new(skill: Skill) -> None:
    learnt, held_out = skill.items.learnt(60, seed=3), skill.items.held_out(20, seed=3)
    assert skill.items.held_out(20, seed=3) == held_out, "the same seed gives the same items"
    assert not {item.prompt for item in learnt} & {item.prompt for item in held_out}
    first = {item.template for item in held_out[:10]}
    assert not first & {item.template for item in learnt}, "whole wordings are held out"
    chosen = [*learnt[:3], *held_out[:3]]
    with Judge(allow_exec=True) as judge:
        right = judge.verdicts([(parse_check(item.check), item.answer) for item in chosen])
        wrong = judge.verdicts([(parse_check(item.check), "Paris.") for item in chosen])
    assert all(verdict.passed for verdict in right), right
    assert not any(verdict.passed for verdict in wrong)


def test_number_words_are_those_of_english() -> None:
    names = {0: "zero", 15: "fifteen", 40: "forty", 300: "three hundred"}
    names |= {742: "seven hundred forty-two", 905: "nine hundred five"}
    assert {number: words_of(number) for number in names} == names


def test_no_question_that_measures_is_a_keep_prompt() -> None:
    measuring = measuring_questions(100)
    assert len(set(measuring)) == 100
    assert not set(measuring) & set(keep_prompts(80))


@pytest.mark.slow
def test_rows_are_made_measured_and_kept(experiment: Experiment) -> None:
    rows = [
        "base",
        "source",
        "sft",
        "keep",
        "dpo",
        "lora8-sft",
        "lora8-dpo",
        "lossless",
        "auto",
        "low-rank",
    ]
    assert table_of([experiment], rows).rows[0][2] == NOT_YET
    results = {row: finish_cell(experiment, row) for row in rows}
    made = {row: result.made for row, result in results.items()}
    measured = {row: result.measured for row, result in results.items()}
    assert measured["base"] is not None
    assert measured["base"].general == SIZES.general, "the base keeps all of its answers"
    assert measured["source"] is not None
    assert measured["source"].general is None
    assert made["lossless"].bytes
    assert measured["lossless"] == measured[made["lossless"].same_as or ""]
    assert made["auto"].bytes
    assert made["low-rank"].bytes
    assert made["low-rank"].bytes <= made["auto"].bytes
    assert made["keep"].steps
    assert made["sft"].steps
    assert made["keep"].steps > made["sft"].steps, "keep rows are more rows"
    assert NOT_YET not in table_of([experiment], rows).markdown()


def test_finished_cell_is_read_and_another_setting_is_another_cell(experiment: Experiment) -> None:
    first = finish_cell(experiment, "base")
    result = experiment.folder / cell_name(experiment, "base") / "result.json"
    document = json.loads(result.read_text())
    document["measured"]["items"] = 11
    result.write_text(json.dumps(document))
    again = finish_cell(experiment, "base")
    assert again.measured is not None
    assert again.measured.items == 11, "a finished cell is not measured again"
    assert again.made == first.made
    for other in (replace(experiment, seed=1), replace(experiment, sizes=replace(SIZES, items=8))):
        assert read_cell(other, "base") is None
    trained = replace(experiment, recipe=replace(RECIPE, beta=2.0))
    assert cell_name(trained, "base") == cell_name(experiment, "base")
    assert cell_name(trained, "dpo") != cell_name(experiment, "dpo")
    assert set(ROWS) >= {"lora64-dpo", "graftllm"}


def test_lost_and_repeated_answers_are_found(tmp_path: Path) -> None:
    lines = [
        json.dumps({"key": "k", "id": f"n{number}", "draw": 0}).encode() for number in range(40)
    ]
    log = tmp_path / "transfer" / "key" / "answers" / "gpt.jsonl"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"\n".join(lines) + b"\ntorn")
    before = kills.recorded_answers(tmp_path)
    assert before == {"answers/gpt.jsonl": lines}
    assert not list(kills.lost_answers(before, {"answers/gpt.jsonl": lines[:32]}))
    assert list(kills.lost_answers(before, {"answers/gpt.jsonl": lines[:31]}))
    assert list(kills.lost_answers(before, {}))
    assert not list(kills.repeated_answers(before))
    assert list(kills.repeated_answers({"answers/gpt.jsonl": [*lines, lines[3]]}))
