"""TOML with a byte order mark."""

from skillpm.environment.edit import set_base, set_skills
from skillpm.spec import toml

MARK = "\ufeff"
TEXT = f'{MARK}# ours\n[project]\nbase = "b"\nroot = "sha256:{"0" * 64}"\n\n[skills]\n'


def test_byte_order_mark_is_skipped() -> None:
    assert toml.parse(f"{MARK}a = 1", "the file") == {"a": 1}


def test_edit_keeps_the_byte_order_mark_and_the_comments() -> None:
    edited = set_skills(TEXT, {"acme/math": {"version": "^1"}})
    assert edited.startswith(f"{MARK}# ours\n[project]")
    assert edited.count(MARK) == 1
    assert 'acme/math" = "^1"' in edited
    assert set_base(TEXT, "c") == TEXT.replace('"b"', '"c"')
