"""Tokens become text as soon as later tokens cannot change it."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from skillpm.running.streamed_text import StreamedText

END = 256


def of_bytes(ids: Sequence[int]) -> str:
    return bytes(ids).decode(errors="replace")


def of_words(ids: Sequence[int]) -> str:
    """A decoder that writes a space before every word but the first."""
    return " ".join(f"w{token}" for token in ids)


def parts_of(ids: Sequence[int], decode: object = of_bytes) -> list[str]:
    parts: list[str] = []
    text = StreamedText(decode, frozenset({END}), parts.append)  # type: ignore[arg-type]
    for token in ids:
        text.add(token)
    text.end()
    assert text.text == "".join(parts)
    return parts


@given(st.text(max_size=40))
def test_parts_are_the_text_and_no_character_is_split(text: str) -> None:
    parts = parts_of([*text.encode()])
    assert "".join(parts) == text
    assert "\ufffd" in text or not any("\ufffd" in part for part in parts)


@given(st.lists(st.integers(0, 255), max_size=40))
def test_bytes_that_are_no_text_are_passed_on_too(ids: list[int]) -> None:
    assert "".join(parts_of(ids)).replace("\ufffd", "") == of_bytes(ids).replace("\ufffd", "")


def test_words_keep_the_spaces_between_them() -> None:
    assert parts_of([1, 2, 3], of_words) == ["w1", " w2", " w3"]


def test_nothing_after_an_end_token_is_text() -> None:
    assert parts_of([*b"ab", END, *b"cd"]) == ["a", "b"]


def test_each_part_comes_with_its_token() -> None:
    seen: list[str] = []
    text = StreamedText(of_bytes, frozenset(), seen.append)
    text.add(ord("a"))
    assert seen == ["a"]
    for byte in "é".encode():
        text.add(byte)
    assert seen == ["a", "é"]
