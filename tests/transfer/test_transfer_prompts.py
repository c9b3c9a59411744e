"""Files of prompts and answers: numbers of lines in errors, limits, and duplicates."""

import json
from typing import Any

import pytest

from skillpm.checks.number import NumberCheck
from skillpm.errors import SpecError
from skillpm.transfer import lines as lines_module
from skillpm.transfer.answers import RecordedAnswer, parse_answers
from skillpm.transfer.prompts import parse_keep_prompts, parse_prompts

GOOD = {"id": "1", "prompt": "What is 12 × 12?", "check": {"number": 144}, "tags": ["easy"]}


def lines(*items: Any) -> bytes:
    return "".join(json.dumps(item) + "\n" for item in items).encode()


def problems(data: bytes) -> str:
    with pytest.raises(SpecError) as caught:
        parse_prompts(data, "`p.jsonl`")
    assert caught.value.hint
    return caught.value.message


def test_prompts_are_text_or_messages() -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "12 × 12?"}]
    first, second = parse_prompts(
        lines(GOOD, {"id": "2", "messages": chat, "check": {"equals": "x"}})
    )
    assert [message.content for message in first.messages] == ["What is 12 × 12?"]
    assert [message.role for message in second.messages] == ["system", "user"]
    assert isinstance(first.check, NumberCheck)
    assert first.tags == ("easy",)


def test_every_problem_is_reported_with_its_line() -> None:
    found = problems(
        b"\xef\xbb\xbf"
        + lines(
            GOOD,
            {**GOOD, "id": "2", "check": {"nummber": 1}},
            {"id": "3", "prompt": "a"},
            {"id": "4", "check": {"number": 1}},
            {**GOOD, "id": "5", "messages": [{"role": "user", "content": "a"}]},
            {**GOOD, "id": 6},
            {**GOOD, "id": "7", "chek": 1},
            {**GOOD, "id": "8", "check": {"regex": "(?=a)"}},
            {**GOOD, "id": "9", "prompt": None, "messages": [{"role": "system", "content": "a"}]},
            {"id": "10", "messages": [], "check": {"number": 1}},
            {**GOOD, "id": "a\nb"},
        )
        + b'\n{"id": \n'
        + b'{"id": "1", "id": "2"}\n\xff\n'
    )  # fmt: skip
    expected = (
        "line 2: check: unknown kind of check 'nummber'; did you mean `number`?",
        "line 3: no `check`",
        "line 4: expected either `prompt` or `messages`",
        "line 5: expected either `prompt` or `messages`",
        "line 6: id: expected text, found the number 6",
        "line 7: chek: unknown key; did you mean `check`?",
        "line 8: check: regex: the pattern '(?=a)' cannot be matched in linear time",
        "line 9: messages: expected a last message with the role user",
        "line 10: messages: expected at least 1 entry",
        "line 11: id: expected 1 to 200 characters, none of them a control character",
        "line 13: the line is not JSON",
        "line 14: the line is not JSON: duplicate key 'id'",
        "line 15: the line is not UTF-8",
    )
    for problem in expected:
        assert problem in found
    assert "line 1:" not in found


def test_duplicate_ids_are_refused_with_both_lines() -> None:
    found = problems(lines(GOOD, {**GOOD, "id": "2"}) + b"\n" + lines(GOOD))
    assert "line 4: duplicate id '1', first in line 1" in found


def test_file_without_prompts_is_refused() -> None:
    assert "the file is empty" in problems(b"\n\n")


def test_keep_prompts_have_no_check() -> None:
    (prompt,) = parse_keep_prompts(lines({"id": "1", "prompt": "Who are you?"}))
    assert prompt.check is None
    with pytest.raises(SpecError, match="a keep prompt has no check"):
        parse_keep_prompts(lines(GOOD))


def test_deep_and_long_lines_are_refused() -> None:
    deep = b'{"id": "1", "prompt": "x", "check": ' + b"[" * 5000 + b"]" * 5000 + b"}"
    assert "line 1: the line is nested deeper than 64 levels" in problems(deep)
    long = b'{"id": "1", "prompt": "' + b"x" * (1 << 20) + b'"}'
    assert "line 1: the line has" in problems(long)
    assert "expected at most 32768 characters" in problems(lines({**GOOD, "prompt": "x" * 40_000}))


def test_size_and_count_of_a_file_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "FILE_LIMIT", 100)
    with pytest.raises(SpecError, match="the limit is 100"):
        parse_prompts(b" " * 101)
    monkeypatch.setattr(lines_module, "FILE_LIMIT", 1 << 24)
    with pytest.raises(SpecError, match="more than 200000 lines"):
        parse_prompts(b"x\n" * 200_001)


def test_answers_of_an_id_are_its_draws_in_order() -> None:
    found = parse_answers(lines(
        {"id": "b", "text": "1", "model": "x"}, {"id": "a", "text": ""}, {"id": "b", "text": "2"},
    ))  # fmt: skip
    assert found == {"b": ("1", "2"), "a": ("",)}


def test_bad_answers_are_refused_with_their_line() -> None:
    with pytest.raises(SpecError) as caught:
        parse_answers(lines({"id": "1"}, {"id": "1", "text": 3}, {"id": "1", "text": "x" * 70_000}))
    found = caught.value.message
    assert "line 1: text: missing" in found
    assert "line 2: text: expected text, found the number 3" in found
    assert "line 3: text: expected at most 65536 characters, found 70000" in found
    with pytest.raises(SpecError, match="line 65: more than 64 answers to '1'"):
        parse_answers(lines(*[{"id": "1", "text": "x"}] * 70))


def test_recorded_answers_are_a_file_of_answers_without_those_that_were_cut_off() -> None:
    recorded = [
        RecordedAnswer(key="k", id="1", draw=draw, text=text, finish=finish, tokens=1)
        for draw, (text, finish) in enumerate([("42", "stop"), ("4", "length"), ("43", "stop")])
    ]
    data = b"".join(answer.to_line() for answer in recorded)
    assert parse_answers(data) == {"1": ("42", "43")}
