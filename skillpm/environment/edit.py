"""Edits of `skillpm.toml` that keep its comments, order and spacing."""

from collections.abc import Mapping, MutableMapping
from typing import Any, cast

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Item, Table

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
    document = parse_document(text)
    cast("Table", document["project"])["base"] = base
    return dump_document(document, text)


def without_credentials(text: str) -> str:
    """Remove user, password and query from the URLs of registries.

    URLs without credentials keep their spelling.
    """
    secret = {n: e for n, e in parse_project(text).registries.items() if e.url.has_credentials}
    if not secret:
        return text
    document = parse_document(text)
    table = cast("Table", document["registries"])
    for name, entry in secret.items():
        if isinstance(table[name].unwrap(), str):
            put_value(table, name, entry.url.public())
        else:
            table[name]["url"] = entry.url.public()
    return dump_document(document, text)


def set_skills(text: str, skills: Mapping[str, Any]) -> str:
    """The text with `[skills]` holding exactly these; what is the same is not touched."""
    document = parse_document(text)
    _edit_skills(document, skills)
    return dump_document(document, text)


def edit_project(
    text: str, skills: Mapping[str, Any], *, before: GraftTable, after: GraftTable
) -> str:
    """The text with these `[skills]`, and a `[graft]` that asks for `after`.

    `before` is `[graft]` as the text has it. Costs one parse; what is the same is not touched.
    """
    document = parse_document(text)
    _edit_skills(document, skills)
    _edit_graft(document, before, after)
    return dump_document(document, text)


def _edit_skills(document: tomlkit.TOMLDocument, skills: Mapping[str, Any]) -> None:
    if "skills" not in document:
        document["skills"] = tomlkit.table()
    table = cast("Table", document["skills"])
    for name in [name for name in table if name not in skills]:
        del table[name]
    for name, requirement in skills.items():
        plain = _normalized(requirement)
        if name not in table:
            table[name] = _item(plain)
        elif _normalized(table[name].unwrap()) != plain:
            _update(table, name, plain)


def _edit_graft(document: tomlkit.TOMLDocument, before: GraftTable, after: GraftTable) -> None:
    settled = (after.mode, after.merging, after.precedence)
    if (before.mode, before.merging, before.precedence) == settled:
        return
    if "graft" not in document:
        document["graft"] = tomlkit.table()
    table = cast("Table", document["graft"])
    if before.mode != after.mode:
        put_value(table, "mode", after.mode)
    if before.method != after.method:
        put_value(table, "method", after.method)
    if (
        before.merging.changed_settings != after.merging.changed_settings
        or not after.merging.changed_settings
    ):
        _put_settings(table, after.merging.changed_settings)
    if before.precedence != after.precedence:
        put_value(table, "precedence", list(map(str, after.precedence)))


def _put_settings(table: Table, settings: Mapping[str, Any]) -> None:
    if settings:
        inline = tomlkit.inline_table()
        inline.update(settings)
        put_value(table, "settings", inline)
    elif "settings" in table:
        del table["settings"]


def put_value(table: MutableMapping[str, Any], key: str, value: Any) -> None:
    """Set a value and keep the comment at the end of its line."""
    item = tomlkit.item(value)
    if key in table:
        trivia = cast("Item", table[key]).trivia
        item.trivia.comment_ws, item.trivia.comment = trivia.comment_ws, trivia.comment
    table[key] = item


def dump_document(document: tomlkit.TOMLDocument, before: str) -> str:
    """The document as text, with a byte order mark if the text `before` has one."""
    mark = toml.BYTE_ORDER_MARK if before.startswith(toml.BYTE_ORDER_MARK) else ""
    return mark + tomlkit.dumps(document)


def parse_document(text: str, what: str = "skillpm.toml") -> tomlkit.TOMLDocument:
    """The text as a document that can be edited. Raises `SpecError` if it is not TOML."""
    try:
        return tomlkit.parse(text.removeprefix(toml.BYTE_ORDER_MARK))
    except (TOMLKitError, ValueError, RecursionError) as problem:
        raise SpecError(f"{what} is not TOML: {problem}") from problem


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
        put_value(table, name, _item(fields))
