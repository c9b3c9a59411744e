"""Reads untrusted files of JSON lines: with limits, and with the line of every problem."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from skillpm.errors import Problems, SpecError
from skillpm.spec import json
from skillpm.spec.faults import describe_value
from skillpm.spec.fields import Document, collect, unknown_keys

FILE_LIMIT = 256 << 20
"""Bytes of a file."""
LINE_LIMIT = 1 << 20
"""Bytes of a line."""

D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class LineFormat(Generic[D]):
    """The form of the lines of a file. `count` is the largest number of them.

    `exact` refuses unknown keys.
    """

    kind: type[D]
    count: int
    hint: str
    exact: bool = True


def read_lines(
    data: bytes,
    what: str,
    form: LineFormat[D],
    more: Callable[[D, Problems], None] = lambda _line, _problems: None,
) -> list[tuple[int, D]]:
    """Read all lines, each with its number; blank lines are skipped.

    `more` adds further problems of a line. Raises `SpecError` with every problem and its line.
    """
    problems = Problems(what)
    if len(data) > FILE_LIMIT:
        raise SpecError(f"{what} has {len(data)} bytes; the limit is {FILE_LIMIT}")
    documents: list[tuple[int, D]] = []
    for count, (number, line) in enumerate(_numbered(data), start=1):
        if count > form.count:
            raise SpecError(f"{what} has more than {form.count} lines")
        here = Problems("")
        document = _read_line(line, form, here)
        if document is not None:
            more(document, here)
            documents.append((number, document))
        problems.extend((f"line {number}", problem) for problem in here.found)
    if not documents and not problems.found:
        problems.add("", "the file is empty")
    problems.raise_if_any(hint=form.hint)
    return documents


def _numbered(data: bytes) -> Iterator[tuple[int, bytes]]:
    lines = enumerate(io.BytesIO(data.removeprefix(b"\xef\xbb\xbf")), start=1)
    return ((number, line.removesuffix(b"\n")) for number, line in lines if line.strip())


def _read_line(line: bytes, form: LineFormat[D], problems: Problems) -> D | None:
    if len(line) > LINE_LIMIT:
        problems.add("", f"the line has {len(line)} bytes; the limit is {LINE_LIMIT}")
        return None
    try:
        plain = json.parse(line, "the line")
    except SpecError as problem:
        problems.add("", problem.message)
        return None
    if not isinstance(plain, dict):
        found = "text" if isinstance(plain, str) else describe_value(plain)  # it may be a prompt
        problems.add("", f"expected a JSON object, found {found}")
        return None
    document = collect(form.kind, plain, problems)
    if document is not None and form.exact:
        problems.extend(unknown_keys(document))
    return document
