"""Parts of the site that follow from the source: commands, documents, schemas and drawings.

A page has a marker, a comment such as `<!-- generated: commands -->`; Markdown takes its place when
the site is built. A drawing in Mermaid is shown as the SVG file that was rendered from it, because
Mermaid itself would be loaded from another host.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from accessible import correct_pages
from command_blocks import MERMAID, blocks_of, drawing_name, pages
from sphinx.application import Sphinx

from skillpm.cli.described import DescribedCommand, described_commands
from skillpm.cli.schema_table import COMMANDS, FILES
from skillpm.cli.schemas import command_schema

DOCS = Path(__file__).parents[1]
_MARKER = re.compile(r"^<!-- generated: ([\w-]+) -->$", re.MULTILINE)
_EXAMPLES = re.compile(r"^Examples?:\n")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("env-get-outdated", _generated_pages)
    app.connect("source-read", _fill)
    app.connect("build-finished", correct_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _generated_pages(app: Sphinx, *_changes: object) -> list[str]:
    """The pages with generated parts, which are read again in every build."""
    found = [app.env.doc2path(page) for page in app.env.found_docs]
    texts = {path: Path(path).read_text(encoding="utf-8") for path in found}
    return [str(app.env.path2doc(path)) for path, text in texts.items() if _MARKER.search(text)]


def _fill(_app: Sphinx, page: str, source: list[str]) -> None:
    text = _MARKER.sub(lambda match: _GENERATED[match[1]](), source[0])
    above = "../" * page.count("/")
    source[0] = MERMAID.sub(lambda match: _drawing(match[1], above), text)


def _drawing(mermaid: str, above: str) -> str:
    alternative = "The files of cli, api and flows that install, graft and pack pass through."
    file = f"{above}images/{drawing_name(mermaid)}"
    return f"![{alternative}]({file})\n\n[The drawing in full size]({file})"


def commands_page() -> str:
    """The reference of all commands, as Markdown."""
    described = list(described_commands())
    return "\n".join(line for command in described for line in _command(command))


def _command(command: DescribedCommand) -> Iterator[str]:
    yield f"## {command.name}\n"
    yield f"```text\n{command.usage}\n```\n"
    for paragraph in command.help:
        if paragraph.verbatim:
            example = _EXAMPLES.match(paragraph.text)
            text = _EXAMPLES.sub("", paragraph.text)
            yield from ("Examples:\n",) if example else ()
            yield f"```text\n{_dedented(text)}\n```\n"
        else:
            yield f"{_markdown(paragraph.text)}\n"
    for head, rows in command.tables:
        yield f"| {head} | meaning |\n|---|---|"
        yield from (f"| {_code(term)} | {_cell(meaning)} |" for term, meaning in rows)
        yield ""
    words = " ".join(command.words[1:])
    if words in COMMANDS:
        schema = f"schemas/commands/{words.replace(' ', '-')}.schema.json"
        yield f"With `--json`: [schema]({schema}).\n"


def _dedented(text: str) -> str:
    lines = text.splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return "\n".join(line[margin:] for line in lines)


def _code(term: str) -> str:
    escaped = term.replace("|", "\\|")
    return f"`{escaped}`"


def _markdown(text: str) -> str:
    return re.sub(r"([<>*\\\[\]])(?![^`]*`(?:[^`]*`[^`]*`)*[^`]*$)", r"\\\1", text)


def _cell(text: str) -> str:
    return _markdown(" ".join(text.split())).replace("|", "\\|")


def documents_page() -> str:
    """The keys of the document that each command prints, as Markdown."""
    return "\n".join(line for command in COMMANDS for line in _document(command))


def _document(command: str) -> Iterator[str]:
    schema = command_schema(command)
    file = f"schemas/commands/{command.replace(' ', '-')}.schema.json"
    yield f"## {command}\n"
    parts = schema.get("anyOf", [schema])
    for part in parts:
        found = schema["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        yield f"{found.get('description', '')}\n"
        yield "| key | type | presence |\n|---|---|---|"
        for key, value in found["properties"].items():
            if key != "schema_version":
                optional = "always" if key in found.get("required", ()) else "may be missing"
                yield f"| `{key}` | {_type(value, schema)} | {optional} |"
        yield ""
    yield f"[Schema]({file})\n"


def _type(value: dict[str, Any], schema: dict[str, Any]) -> str:
    """A JSON type in words: `list of {skill, version, digest}`."""
    if "$ref" in value:
        found = schema["$defs"][value["$ref"].rpartition("/")[2]]
        return "{" + ", ".join(found.get("properties", {})) + "}"
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_type(part, schema) for part in value["anyOf"]))
    if "enum" in value:
        return " or ".join(f"`{json.dumps(each)}`" for each in value["enum"])
    if value.get("type") == "array":
        return f"list of {_type(value.get('items', {}), schema)}"
    if value.get("type") == "object" and isinstance(value.get("additionalProperties"), dict):
        return f"object of {_type(value['additionalProperties'], schema)}"
    return str(value.get("type", "any value"))


def schemas_list() -> str:
    """Links to the schemas of files, as Markdown."""
    rows = [f"| [{name}](schemas/{name}.schema.json) |" for name in (*FILES, "error")]
    return "\n".join(["| schema |", "|---|", *rows])


def unrun_table() -> str:
    """Every command block that the tests do not run, with the reason, as Markdown."""
    rows = [
        f"| {page} | {block.commands[0] if block.commands else ''} | {block.not_run} |"
        for page in pages()
        for block in blocks_of(page)
        if block.not_run
    ]
    table = [f"| {_row(row)} |" for row in rows]
    return "\n".join(["| page | first command | reason |", "|---|---|---|", *table])


def _row(row: str) -> str:
    page, command, reason = row.strip("| ").split(" | ", 2)
    return f"{page} | {_code(command)} | {reason}"


_GENERATED: dict[str, Callable[[], str]] = {
    "commands": commands_page,
    "documents": documents_page,
    "schemas": schemas_list,
    "unrun": unrun_table,
}
