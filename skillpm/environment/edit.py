"""Editing `skillpm.toml` in place: comments, order and spacing stay."""

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
    """The first `skillpm.toml` of a project."""
    return _TEMPLATE.format(base=toml.string(base), root=toml.string(str(root)))


def set_base(text: str, base: str) -> str:
    """The text with another path to the base."""
    document = _parsed(text)
    cast("Table", document["project"])["base"] = base
    return _dumped(document, text)


def without_credentials(text: str) -> str:
    """The text whose registries' URLs have no user, password or query; others are not touched."""
    secret = {n: e for n, e in parse_project(text).registries.items() if e.url.has_credentials}
    if not secret:
        return text
    document = _parsed(text)
    table = cast("Table", document["registries"])
    for name, entry in secret.items():
        if isinstance(table[name].unwrap(), str):
            _put(table, name, entry.url.public())
        else:
            table[name]["url"] = entry.url.public()
    return _dumped(document, text)


def set_skills(text: str, wishes: Mapping[str, Any]) -> str:
    """The text with `[skills]` holding exactly `wishes`; what is the same is not touched."""
    document = _parsed(text)
    if "skills" not in document:
        document["skills"] = tomlkit.table()
    table = cast("Table", document["skills"])
    for name in [name for name in table if name not in wishes]:
        del table[name]
    for name, wish in wishes.items():
        plain = _plain(wish)
        if name not in table:
            table[name] = _item(plain)
        elif _plain(table[name].unwrap()) != plain:
            _update(table, name, plain)
    return _dumped(document, text)


def set_graft(text: str, graft: GraftTable) -> str:
    """The text with a `[graft]` that asks for the same as this one; what does is not touched."""
    now = parse_project(text).graft
    if (now.mode, now.merging, now.precedence) == (graft.mode, graft.merging, graft.precedence):
        return text
    document = _parsed(text)
    if "graft" not in document:
        document["graft"] = tomlkit.table()
    table = cast("Table", document["graft"])
    if now.mode != graft.mode:
        _put(table, "mode", graft.mode)
    if now.method != graft.method:
        _put(table, "method", graft.method)
    if (
        now.merging.changed_settings != graft.merging.changed_settings
        or not graft.merging.changed_settings
    ):
        _put_settings(table, graft.merging.changed_settings)
    if now.precedence != graft.precedence:
        _put(table, "precedence", list(map(str, graft.precedence)))
    return _dumped(document, text)


def _put_settings(table: Table, settings: Mapping[str, Any]) -> None:
    if settings:
        inline = tomlkit.inline_table()
        inline.update(settings)
        _put(table, "settings", inline)
    elif "settings" in table:
        del table["settings"]


def _put(table: Table, key: str, value: Any) -> None:
    """Set a value, so that a comment behind the old one stays."""
    fresh = tomlkit.item(value)
    if key in table:
        fresh.trivia.comment_ws = table[key].trivia.comment_ws
        fresh.trivia.comment = table[key].trivia.comment
    table[key] = fresh


def _dumped(document: tomlkit.TOMLDocument, before: str) -> str:
    """The document as text; a byte order mark stays where it was."""
    mark = toml.BYTE_ORDER_MARK if before.startswith(toml.BYTE_ORDER_MARK) else ""
    return mark + tomlkit.dumps(document)


def _parsed(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text.removeprefix(toml.BYTE_ORDER_MARK))
    except (TOMLKitError, ValueError, RecursionError) as problem:
        raise SpecError(f"skillpm.toml is not TOML: {problem}") from problem


def _plain(wish: Any) -> dict[str, Any]:
    table = {"version": wish} if isinstance(wish, str) else dict(wish)
    table.setdefault("version", "*")
    if table.get("weight") == 1.0:
        del table["weight"]
    return {key: value for key, value in table.items() if value is not None}


def _item(plain: dict[str, Any]) -> Any:
    if list(plain) == ["version"]:
        return plain["version"]
    inline = tomlkit.inline_table()
    inline.update(plain)
    return inline


def _update(table: Table, name: str, plain: dict[str, Any]) -> None:
    """Change a wish within its own form, so that a comment behind it stays."""
    item = table[name]
    if isinstance(item, Table):
        for key in [key for key in item if key not in plain]:
            del item[key]
        item.update(plain)
    else:
        _put(table, name, _item(plain))
