"""The log of recorded answers: a torn end is left out, any other damage is an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillpm.errors import IntegrityError
from skillpm.transfer.answers import RecordedAnswer, read_answer_log


def answer(prompt: str = "1", draw: int = 0, text: str = "144", key: str = "k") -> RecordedAnswer:
    return RecordedAnswer(key=key, id=prompt, draw=draw, text=text, finish="stop", tokens=3)


LOG = [answer("1"), answer("1", 1), answer("2", text="a\u2028b\n\x85\U0001f600"), answer(key="l")]
DATA = b"".join(entry.to_line() for entry in LOG)


def test_log_is_read_as_it_was_written() -> None:
    found = read_answer_log(DATA, "the log")
    assert list(found.answers) == LOG
    assert found.length == len(DATA)
    assert read_answer_log(b"", "the log").answers == ()


def test_log_that_is_cut_anywhere_loses_only_the_torn_line() -> None:
    for cut in range(len(DATA)):
        found = read_answer_log(DATA[:cut], "the log")
        complete = DATA[:cut].count(b"\n")
        assert list(found.answers) == LOG[:complete]
        assert DATA[: found.length] == b"".join(entry.to_line() for entry in LOG[:complete])


def test_zeros_that_a_crash_leaves_at_the_end_are_torn() -> None:
    found = read_answer_log(DATA + bytes(4096), "the log")
    assert list(found.answers) == LOG
    assert found.length == len(DATA)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (DATA + b'{"key": "k", "i\n', "line 5: the line is not JSON"),
        (b"\n" + DATA, "line 1"),
        (b"[]\n", "line 1: the line: expected a JSON object"),
        (DATA + LOG[0].to_line(), "line 5: a second answer to '1', draw 0"),
        (b'{"id":"1"}\n', "line 1: key: missing"),
        (answer().to_line().replace(b'"draw":0', b'"draw":-1'), "draw: expected at least 0"),
        (
            answer().to_line().replace(b'"stop"', b'"\\u001b[2J"'),
            "finish: expected text of the form",
        ),
    ],
)
def test_other_damage_is_an_error(data: bytes, problem: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        read_answer_log(data, "the log")
    assert problem in caught.value.message
    assert "--fresh" in str(caught.value.hint)


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_any_text_survives_the_log(text: str) -> None:
    found = read_answer_log(answer(text=text).to_line(), "the log")
    assert found.answers[0].text == text
