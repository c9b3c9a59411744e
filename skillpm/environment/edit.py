"""Edits of `skillpm.toml` that keep its comments, order and spacing."""

from collections.abc import Mapping
from typing import Any, cast

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from skillpm.errors import SpecError
from skillpm.spec import toml
from skillpm.spec.digests import Digest
from skillpm.spec.project import GraftTable, parse_project

_TEMPLATE = """\
[project]
base = {base}
root = {root}

[skills]
"""


def new_project_file(base: str, root: Digest) -> str:
    """The text of `skillpm.toml` for a new project."""
    return _TEMPLATE.format(base=toml.string(base), root=toml.string(str(root)))


def set_base(text: str, base: str) -> str:
    """Replace the path of the base."""
    document = _parse(text)
    cast("Table", document["project"])["base"] = base
    return _dump(document, text)


def without_credentials(text: str) -> str:
    """Remove user, password and query from the URLs of registries.

    URLs without credentials keep their spelling.
    """
    secret = {n: e for n, e in parse_project(text).registries.items() if e.url.has_credentials}
    if not secret:
        return text
    document = _parse(text)
    table = cast("Table", document["registries"])
    for name, entry in secret.items():
        if isinstance(table[name].unwrap(), str):
            _put(table, name, entry.url.public())
        else:
            table[name]["url"] = entry.url.public()
    return _dump(document, text)


def set_skills(text: str, requirements: Mapping[str, Any]) -> str:
    """Set `[skills]` to exactly these requirements; entries that do not change keep their text.

    A requirement is a version range, or a table with `version`, `weight` and other keys.
    """
    document = _parse(text)
    if "skills" not in document:
        document["skills"] = tomlkit.table()
    table = cast("Table", document["skills"])
    for name in [name for name in table if name not in requirements]:
        del table[name]
    for name, requirement in requirements.items():
        fields = _normalized(requirement)
        if name not in table:
            table[name] = _item(fields)
        elif _normalized(table[name].unwrap()) != fields:
            _update(table, name, fields)
    return _dump(document, text)


def set_graft(text: str, graft: GraftTable) -> str:
    """Set `[graft]` to these settings; keys whose value does not change keep their text."""
    before = parse_project(text).graft
    if (before.mode, before.merging, before.precedence) == (
        graft.mode,
        graft.merging,
        graft.precedence,
    ):
        return text
    document = _parse(text)
    if "graft" not in document:
        document["graft"] = tomlkit.table()
    table = cast("Table", document["graft"])
    if before.mode != graft.mode:
        _put(table, "mode", graft.mode)
    if before.method != graft.method:
        _put(table, "method", graft.method)
    if before.merging.asked != graft.merging.asked or not graft.merging.asked:
        _put_settings(table, graft.merging.asked)
    if before.precedence != graft.precedence:
        _put(table, "precedence", list(map(str, graft.precedence)))
    return _dump(document, text)


def _put_settings(table: Table, settings: Mapping[str, Any]) -> None:
    if settings:
        inline = tomlkit.inline_table()
        inline.update(settings)
        _put(table, "settings", inline)
    elif "settings" in table:
        del table["settings"]


def _put(table: Table, key: str, value: Any) -> None:
    """Set a value and keep the comment at the end of its line."""
    item = tomlkit.item(value)
    if key in table:
        item.trivia.comment_ws = table[key].trivia.comment_ws
        item.trivia.comment = table[key].trivia.comment
    table[key] = item


def _dump(document: tomlkit.TOMLDocument, before: str) -> str:
    """The document as text, with a byte order mark if the text `before` has one."""
    mark = toml.BYTE_ORDER_MARK if before.startswith(toml.BYTE_ORDER_MARK) else ""
    return mark + tomlkit.dumps(document)


def _parse(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text.removeprefix(toml.BYTE_ORDER_MARK))
    except (TOMLKitError, ValueError, RecursionError) as problem:
        raise SpecError(f"skillpm.toml is not TOML: {problem}") from problem


def _normalized(requirement: Any) -> dict[str, Any]:
    """A requirement as a table without defaults, so that equal requirements compare equal."""
    table = {"version": requirement} if isinstance(requirement, str) else dict(requirement)
    table.setdefault("version", "*")
    if table.get("weight") == 1.0:
        del table["weight"]
    return {key: value for key, value in table.items() if value is not None}


def _item(fields: dict[str, Any]) -> Any:
    if list(fields) == ["version"]:
        return fields["version"]
    inline = tomlkit.inline_table()
    inline.update(fields)
    return inline


def _update(table: Table, name: str, fields: dict[str, Any]) -> None:
    """Change a requirement; a requirement written as a table of its own stays such a table."""
    item = table[name]
    if isinstance(item, Table):
        for key in [key for key in item if key not in fields]:
            del item[key]
        item.update(fields)
    else:
        _put(table, name, _item(fields))
