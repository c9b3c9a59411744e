"""The page docs/how-to/transfer.md names every key of a transfer file, with its default."""

import re
from pathlib import Path

from skillpm.spec import toml
from skillpm.transfer import config
from skillpm.transfer.config import TransferFile, parse_transfer

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "transfer.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (?:`\[+(\w+)\]+`)? *\| (`\w+`[^|]*) \| ([^|]*)\|", re.MULTILINE)
WORDS = {"none": None, "lossless": None}
"""How the page writes a default of None."""


def rows() -> dict[str, dict[str, str]]:
    """The default of each key, as it is written, by table."""
    found: dict[str, dict[str, str]] = {}
    table = ""
    for name, keys, default in ROW.findall(PAGE):
        table = name or table
        found.setdefault(table, {}).update(
            dict.fromkeys(re.findall(r"`(\w+)`", keys), default.strip())
        )
    return found


def test_page_has_every_key_of_every_table() -> None:
    tables = {name: field.annotation for name, field in TransferFile.model_fields.items()} | {
        "source": config.SourceTable
    }
    expected = {name: set(getattr(kind, "model_fields")) for name, kind in tables.items()}  # noqa: B009 - typed loosely
    assert {name: set(keys) for name, keys in rows().items()} == expected


def test_page_has_the_defaults() -> None:
    for name, keys in rows().items():
        if name in ("target", "source", "prompts"):
            continue
        document = TransferFile.model_fields[name].default
        for key, text in keys.items():
            written = text.strip("`")
            value = getattr(document, key)
            if written in WORDS:
                assert value is None, (name, key)
            elif written.startswith("{"):
                assert toml.parse(f"x = {written}", "the default")["x"] == value.to_dict()
            else:
                assert str(value) == written, (name, key)


def test_example_of_a_transfer_file_is_valid() -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert parse_transfer(text).source[0].origin == "https://models.example:443"
