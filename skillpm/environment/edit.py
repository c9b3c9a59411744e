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


def set_skills(text: str, skills: Mapping[str, Any]) -> str:
    """The text with `[skills]` holding exactly these; what is the same is not touched."""
    document = _parsed(text)
    _edit_skills(document, skills)
    return _dumped(document, text)


def edit_project(
    text: str, skills: Mapping[str, Any], *, before: GraftTable, after: GraftTable
) -> str:
    """The text with these `[skills]`, and a `[graft]` that asks for `after`.

    `before` is `[graft]` as the text has it. Costs one parse; what is the same is not touched.
    """
    document = _parsed(text)
    _edit_skills(document, skills)
    _edit_graft(document, before, after)
    return _dumped(document, text)


def _edit_skills(document: tomlkit.TOMLDocument, skills: Mapping[str, Any]) -> None:
    if "skills" not in document:
        document["skills"] = tomlkit.table()
    table = cast("Table", document["skills"])
    for name in [name for name in table if name not in skills]:
        del table[name]
    for name, requirement in skills.items():
        plain = _plain(requirement)
        if name not in table:
            table[name] = _item(plain)
        elif _plain(table[name].unwrap()) != plain:
            _update(table, name, plain)


def _edit_graft(document: tomlkit.TOMLDocument, before: GraftTable, after: GraftTable) -> None:
    settled = (after.mode, after.merging, after.precedence)
    if (before.mode, before.merging, before.precedence) == settled:
        return
    if "graft" not in document:
        document["graft"] = tomlkit.table()
    table = cast("Table", document["graft"])
    if before.mode != after.mode:
        _put(table, "mode", after.mode)
    if before.method != after.method:
        _put(table, "method", after.method)
    if (
        before.merging.changed_settings != after.merging.changed_settings
        or not after.merging.changed_settings
    ):
        _put_settings(table, after.merging.changed_settings)
    if before.precedence != after.precedence:
        _put(table, "precedence", list(map(str, after.precedence)))


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
