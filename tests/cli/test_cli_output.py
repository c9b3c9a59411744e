"""Untrusted text on a terminal: only one module prints, and it escapes terminal sequences."""

import ast
import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import skillpm
from skillpm.cli import output
from skillpm.errors import SpecError

ROOT = Path(skillpm.__file__).parent
PRINTERS = {"echo", "secho", "style", "confirm", "prompt", "echo_via_pager", "edit"}
HOSTILE = [
    "\x1b]0;pwn\x07",
    "\x9b2J",
    "\x7f",
    "a\u202eb",
    "a\u2028b",
    "\ud800",
    "\x00",
    "a\r\nb",
    "\t",
]


def printing(tree: ast.AST) -> list[int]:
    """The lines that print without `skillpm.cli.output`."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func
        if isinstance(name, ast.Name) and name.id in ("print", "input"):
            found.append(node.lineno)
        if isinstance(name, ast.Attribute):
            owner = ast.unparse(name.value)
            if owner == "click" and name.attr in PRINTERS:
                found.append(node.lineno)
            if owner in ("sys.stdout", "sys.stderr") and name.attr in ("write", "writelines"):
                found.append(node.lineno)
    return found


def test_only_the_output_module_prints() -> None:
    for path in ROOT.rglob("*.py"):
        if path != Path(output.__file__):
            assert printing(ast.parse(path.read_text())) == [], path
    assert printing(ast.parse(Path(output.__file__).read_text()))


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err


@pytest.mark.parametrize("text", HOSTILE)
def test_output_escapes_terminal_sequences(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.emit_line(text)
    output.emit_line(text, err=True)
    output.emit_table([(text, 1)], ("a", "b"))
    output.emit_json({"a": text, text: [text]})
    output.emit_document({"a": text}, pretty=True)
    output.emit_lines(text)
    output.say(text)
    output.report(SpecError(text, hint=text), as_json=False, color=False)
    output.report(SpecError(text, hint=text), as_json=True, color=False)
    printed = shown(capsys)
    assert all(c == "\n" or c.isprintable() for c in printed)


@given(st.text(st.characters(), max_size=40))
def test_clean_returns_one_printable_line(text: str) -> None:
    assert output.clean(text).isprintable()
    assert json.loads(json.dumps(text)) == text


def test_line_break_in_untrusted_text_starts_no_new_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.emit_line("a\nhint: `rm -rf /`")
    output.say("a\nhint: `rm -rf /`")
    output.report(SpecError("a\nhint: `rm -rf /`", hint="b\nerror: c"), as_json=False, color=False)
    lines = shown(capsys).splitlines()
    assert [line for line in lines if line.startswith(("hint", "error"))] == ["error: a", "hint: b"]


def test_url_in_a_message_is_shown_without_its_password(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "unexpected argument (https://bob:s3cr3t@h/x) http://s3cr3t@h ftp://a:s3cr3t@b@h"
    for as_json in (False, True):
        output.report(SpecError(text, hint=text), as_json=as_json, color=False)
    output.say(text)
    printed = shown(capsys)
    assert "s3cr3t" not in printed
    assert printed.count("https://***@h/x") == 5


def test_terminal_without_unicode_gets_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    output.emit_line("…")
    stream.flush()
    assert stream.buffer.getvalue() == b"\\u2026\n"
