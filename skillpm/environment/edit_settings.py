"""Edits of single values in TOML files, which keep comments, order and spacing."""

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import tomlkit
from tomlkit.items import InlineTable

from skillpm.environment.edit import dump_document, parse_document, put_value
from skillpm.errors import SpecError

TomlPath = tuple[str, ...]
"""The names of the tables of a value, and its key."""


def edit_values(
    text: str, values: Mapping[TomlPath, Any], removed: Sequence[TomlPath], what: str
) -> str:
    """The text with these values, and without those that are removed.

    `what` names the file in messages. A table that a value needs is added. A registry that has a
    table of its own gets its `url` replaced. Raises `SpecError` if the text is not TOML, or has
    another value in place of a table.
    """
    document = parse_document(text, what)
    for path in removed:
        _remove(document, path)
    for place, value in values.items():
        has_table = isinstance(_table(document, place[:-1], what).get(place[-1]), MutableMapping)
        path = (*place, "url") if has_table else place
        table = _table(document, path[:-1], what)
        if isinstance(table, InlineTable):
            put_value(_table(document, path[:-2], what), path[-2], _with(table, path[-1], value))
        else:
            put_value(table, path[-1], value)
    return dump_document(document, text)


def _table(document: tomlkit.TOMLDocument, names: TomlPath, what: str) -> Any:
    """The table with these names; missing ones are added, the second level inline."""
    table: Any = document
    for depth, name in enumerate(names):
        if name not in table:
            table[name] = tomlkit.inline_table() if depth else tomlkit.table()
        table = table[name]
        if not isinstance(table, MutableMapping):
            raise SpecError(f"{what} has a value in place of the table `[{'.'.join(names)}]`")
    return table


def _with(table: InlineTable, key: str, value: Any) -> InlineTable:
    """A copy of an inline table with a value. tomlkit writes no space before an added value."""
    copy = tomlkit.inline_table()
    copy.update({**table.unwrap(), key: value})
    return copy


def _remove(document: tomlkit.TOMLDocument, path: TomlPath) -> None:
    """Remove a value, and an inline table that becomes empty. A missing value is ignored."""
    above: list[Any] = [document]
    for name in path[:-1]:
        inner = above[-1].get(name)
        if not isinstance(inner, MutableMapping):
            return
        above.append(inner)
    above[-1].pop(path[-1], None)
    if isinstance(above[-1], InlineTable) and not above[-1]:
        del above[-2][path[-2]]
