"""The measured skill of a source: of the held-out items that it answers, and of no others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from skillpm.errors import SpecError
from skillpm.transfer.config import transfer_of
from skillpm.transfer.inputs import read_inputs

if TYPE_CHECKING:
    from transfer_world import TransferWorld


def write_answers(transfer: "TransferWorld", choose: Callable[[str], bool]) -> None:
    """Write right answers to the chosen ids; the prompt `n4` has a wrong one."""
    from transfer_models import prompt_lines

    lines = [
        {"id": line["id"], "text": line["check"]["equals"] if line["id"] != "n4" else "wrong"}
        for line in prompt_lines()
        if choose(line["id"])
    ]
    path = transfer.folder / "answers.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def held_out_ids(transfer: "TransferWorld") -> list[str]:
    """The ids of the prompts that are held out."""
    from skillpm.transfer.inputs import TransferInputs
    from skillpm.transfer.prompts import parse_keep_prompts, parse_prompts
    from skillpm.transfer.split import split_prompts

    inputs = TransferInputs(
        parse_prompts((transfer.folder / "prompts.jsonl").read_bytes()),
        parse_keep_prompts((transfer.folder / "keep.jsonl").read_bytes()),
        {},
        {},
    )
    return [prompt.id for prompt in split_prompts(inputs, skill=100, general=12).held_out]


def test_file_without_held_out_answers_has_no_measured_skill(transfer: "TransferWorld") -> None:
    transfer.write(source='answers = "answers.jsonl"')
    held_out = held_out_ids(transfer)
    write_answers(transfer, lambda name: name not in held_out)
    report = transfer.run("--until", "filter")
    (source,) = report["sources"]
    assert source["skill"] is None
    assert any(f"`gpt` has answers to 0 of {len(held_out)}" in note for note in report["notes"])
    shown = transfer.world.run("transfer", transfer.file, "--until", "filter").out
    (row,) = [line for line in shown.splitlines() if line.startswith("gpt ")]
    assert row.split()[3] == "-"


def test_file_is_measured_on_the_held_out_items_that_it_answers(transfer: "TransferWorld") -> None:
    transfer.write(source='answers = "answers.jsonl"')
    held_out = held_out_ids(transfer)
    write_answers(transfer, lambda name: name not in held_out[3:])
    (source,) = transfer.run("--until", "filter")["sources"]
    assert source["skill"] == 1.0 - ("n4" in held_out[:3]) / 3


def test_plot_has_a_place_for_a_source_that_was_not_measured() -> None:
    pictures = pytest.importorskip("skillpm.pictures.abilities", reason="needs the extra `plot`")
    bars = [pictures.AbilityBar("base", 0.0, 1.0), pictures.AbilityBar("file", None)]
    (axes,) = pictures.draw_abilities("t", bars, 0.98).axes
    assert [text.get_text() for text in axes.texts] == ["0", "–", "100", "–"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["base", "file"]
    measured = [bars[0], pictures.AbilityBar("file", 0.0)]
    (axes,) = pictures.draw_abilities("t", measured, 0.98).axes
    assert [text.get_text() for text in axes.texts] == ["0", "0", "100", "–"]


def test_id_of_a_prompt_and_of_a_held_out_prompt_makes_an_answer_ambiguous(tmp_path: Path) -> None:
    line = '{{"id": "1", "prompt": "{}?", "check": {{"number": 1}}}}\n'
    (tmp_path / "prompts.jsonl").write_text(line.format("6 × 7"))
    (tmp_path / "held.jsonl").write_text(line.format("1 × 1"))
    (tmp_path / "answers.jsonl").write_text('{"id": "1", "text": "42"}\n')
    tables = {
        "target": {"base": "b", "skill": "acme/math", "version": "1.0.0"},
        "source": [{"name": "bought", "answers": "answers.jsonl"}],
        "prompts": {"file": "prompts.jsonl", "held_out": "held.jsonl"},
    }
    with pytest.raises(SpecError, match="an id that both a prompt and a held-out prompt have"):
        read_inputs(transfer_of(tables, "the options"), tmp_path)
