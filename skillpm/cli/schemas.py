"""JSON Schemas of skillpm's documents: of its files, and of what each command prints with `--json`.

`python -m skillpm.cli.schemas FOLDER` writes them. The folder in the repository is
`docs/reference/schemas`, and a test checks that it is current.
"""

import json
import sys
from collections.abc import Mapping
from functools import reduce
from operator import or_
from pathlib import Path
from types import UnionType
from typing import (
    Any,
    Literal,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from pydantic import ConfigDict, Field, TypeAdapter, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from skillpm.cli.result_documents import ErrorDocument
from skillpm.cli.schema_table import COMMANDS, FILES, STRICT

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def command_schema(command: str, *, exact: bool = False) -> JsonSchemaValue:
    """The schema of what `skillpm COMMAND --json` prints, `registry token list` for example.

    Versions of skillpm may add keys. With `exact`, a document with another key is invalid.
    """
    kinds = COMMANDS[command]
    models = [_model(kind, exact=exact, versioned=True) for kind in kinds]
    return _schema(models, f"command:{command.replace(' ', '-')}", output=True)


def error_schema(*, exact: bool = False) -> JsonSchemaValue:
    """The schema of what every command prints with `--json` if it fails."""
    return _schema([_model(ErrorDocument, exact=exact, versioned=True)], "error", output=True)


def file_schema(name: str) -> JsonSchemaValue:
    """The schema of a file: `project` for skillpm.toml, `lock` for skillpm.lock."""
    schema = _schema(list(FILES[name]), name, output=False)
    if name in STRICT:
        _forbid_other_keys(schema)
    if name == "project":
        schema["properties"].update(_OTHER_TABLES)
    return schema


_OTHER_TABLES = {
    "config": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "offline": {"type": "boolean"},
            "color": {"enum": ["auto", "always", "never"]},
            "workers": {"type": "integer", "minimum": 1, "maximum": 256},
            "lock-timeout": {"type": "number", "minimum": 0},
        },
    },
    "trust": {"type": "object"},
}
"""Tables of skillpm.toml that are read apart from its model."""


class _Untitled(GenerateJsonSchema):
    """Schemas whose properties have no titles, which would repeat their keys."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        del schema
        return False


def _schema(kinds: list[Any], name: str, *, output: bool) -> JsonSchemaValue:
    """The JSON Schema of one of these types, as written (`output`) or as read."""
    union = reduce(or_, kinds)
    mode: Literal["serialization", "validation"] = "serialization" if output else "validation"
    schema = TypeAdapter(union).json_schema(mode=mode, schema_generator=_Untitled)
    return {"$schema": _DIALECT, "$id": f"urn:skillpm:{name}", **_without_table_defaults(schema)}


def _without_table_defaults(schema: Any) -> Any:
    """The schema without defaults that are tables, which repeat the defaults of their keys."""
    if isinstance(schema, list):
        return [_without_table_defaults(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_table_defaults(part)
        for key, part in schema.items()
        if not (key == "default" and isinstance(part, dict) and "$ref" in schema)
    }


def _model(kind: Any, *, exact: bool, versioned: bool = False) -> Any:
    """A pydantic model of a `TypedDict`, which pydantic does not read on Python 3.11 itself."""
    version: Any = {"schema_version": Literal[1]} if versioned else {}
    fields: Any = {}
    if not is_typeddict(kind):
        fields = {key: (of, ...) for key, of in version.items()}
        return create_model(kind.__name__, __base__=kind, **fields)
    for key, hint in {**version, **get_type_hints(kind, include_extras=True)}.items():
        optional = get_origin(hint) is NotRequired
        plain = _plain(get_args(hint)[0] if optional else hint, exact=exact)
        default: Any = {"default_factory": object} if optional else {}
        fields[f"field_{key}"] = (plain, Field(alias=key, **default))
    config = ConfigDict(extra="forbid" if exact else "ignore", title=kind.__name__)
    return create_model(kind.__name__, __config__=config, __doc__=kind.__doc__, **fields)


def _plain(hint: Any, *, exact: bool) -> Any:
    """The type with a model in place of each `TypedDict`."""
    if is_typeddict(hint):
        return _model(hint, exact=exact)
    inner = tuple(_plain(each, exact=exact) for each in get_args(hint))
    origin: Any = get_origin(hint)
    if origin is Literal or not inner:
        return hint
    return reduce(or_, inner) if origin in (Union, UnionType) else origin[inner]


def _forbid_other_keys(schema: Any) -> None:
    """Make every object with named keys refuse other keys, as the reader of the file does."""
    if isinstance(schema, list):
        for part in schema:
            _forbid_other_keys(part)
    elif isinstance(schema, dict):
        if schema.get("additionalProperties") is True and "properties" in schema:
            schema["additionalProperties"] = False
        for part in schema.values():
            _forbid_other_keys(part)


def all_schemas() -> Mapping[str, JsonSchemaValue]:
    """Every schema by the path of its file below the folder."""
    files = {f"{name}.schema.json": file_schema(name) for name in FILES}
    commands = {
        f"commands/{command.replace(' ', '-')}.schema.json": command_schema(command)
        for command in COMMANDS
    }
    return {**files, "error.schema.json": error_schema(), **commands}


def schema_text(schema: Mapping[str, Any]) -> str:
    """A schema as the text of its file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write_schemas(folder: Path) -> None:
    """Write every schema below the folder."""
    for path, schema in all_schemas().items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(schema_text(schema), encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
