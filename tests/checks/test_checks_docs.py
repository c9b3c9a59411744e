"""The examples in docs/reference/checks.md are read by the parsers that they document."""

import re
from pathlib import Path

import pytest

from skillpm.checks.kinds import KINDS, parse_check
from skillpm.spec import json
from skillpm.transfer.answers import parse_answers
from skillpm.transfer.prompts import parse_prompts

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "checks.md").read_text(encoding="utf-8")
CHECKS = re.findall(r"^\| `(\{.*?\})` \|", PAGE, re.MULTILINE)
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("text", CHECKS)
def test_example_of_a_check_is_valid(text: str) -> None:
    parse_check(json.parse(text.encode(), "the example"))


def test_page_has_an_example_of_every_kind() -> None:
    kinds = {parse_check(json.parse(text.encode(), "the example")).kind for text in CHECKS}
    assert kinds == KINDS.keys()


def test_examples_of_files_are_valid() -> None:
    texts = [text for kind, text in BLOCKS if kind == "json"]
    assert parse_prompts(texts[1].encode())[0].id == "7"
    assert parse_answers(texts[2].encode()).keys() == {"7"}
