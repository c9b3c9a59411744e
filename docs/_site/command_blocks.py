"""The command blocks of README and documentation, and what the tests do with each.

A comment before a block says what is special about it:

- `<!-- not run: REASON -->`: the tests parse its commands and do not run them
- `<!-- slow: REASON -->`: only `make test-all` runs it
- `<!-- exit: CODE -->`: its last command ends with this exit code
- `<!-- file: NAME -->`: a block of another language is saved under this name before it is used
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
_BLOCK = re.compile(
    r"(?:^[ ]*<!-- (?P<key>not run|slow|exit|file): (?P<value>[^>]*?) -->\n+)?"
    r"^(?P<indent> *)```(?P<kind>\w+)\n(?P<body>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)

_SHELL = ("console", "sh")
MERMAID = re.compile(r"^```mermaid\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class CommandBlock:
    """A block of commands, without the lines of output in it, or a `file` with its `text`."""

    commands: tuple[str, ...]
    file: str = ""
    text: str = ""
    not_run: str = ""
    slow: str = ""
    exit_code: int = 0


def pages() -> list[str]:
    """README and all pages that are no decisions, relative to the repository."""
    found = sorted(REPOSITORY.glob("docs/**/*.md"))
    named = [str(page.relative_to(REPOSITORY)) for page in found if page.parent.name != "adr"]
    return ["README.md", *named]


def blocks_of(page: str) -> list[CommandBlock]:
    """The blocks of a page, in order."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    matches = _BLOCK.finditer(text)
    return [_block(match) for match in matches if match["kind"] in _SHELL or match["key"] == "file"]


def drawings_of(page: str) -> list[str]:
    """The sources of a page's drawings, in Mermaid."""
    return MERMAID.findall((REPOSITORY / page).read_text(encoding="utf-8"))


def drawing_name(mermaid: str) -> str:
    """The file of a drawing, named by the digest of its source: a changed drawing has no file."""
    return f"drawing-{hashlib.sha256(mermaid.encode()).hexdigest()[:16]}.svg"


def _block(match: re.Match[str]) -> CommandBlock:
    key, value = match["key"], match["value"]
    if key == "file":
        return CommandBlock((), file=value, text=match["body"])
    commands = tuple(_commands(match["body"]))
    return CommandBlock(
        commands,
        not_run=value if key == "not run" else "",
        slow=value if key == "slow" else "",
        exit_code=int(value) if key == "exit" else 0,
    )


def _commands(body: str) -> Iterator[str]:
    """The commands of a block. If it has prompts `$ `, other lines are output."""
    prompted = "$ " in {line.strip()[:2] for line in body.splitlines()}
    for line in body.replace("\\\n", " ").splitlines():
        text = line.strip()
        if prompted and text.startswith("$ "):
            yield text.removeprefix("$ ")
        elif not prompted and text and not text.startswith("#"):
            yield text
