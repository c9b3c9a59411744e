"""The table of common architectures that ships with skillpm, for installs without transformers.

`python -m skillpm.architecture.library --table` makes it.
"""

from functools import cache
from importlib.resources import files

from skillpm.architecture.entries import ArchitectureEntry
from skillpm.spec import json
from skillpm.spec.fields import Document, read_document

TABLE = "architectures.json"


class ArchitectureTable(Document):
    """The entries of many `model_type`s, and the library and version that they are from."""

    library: str
    architectures: dict[str, ArchitectureEntry]


@cache
def shipped_table() -> ArchitectureTable:
    """The table in the package."""
    data = files("skillpm.architecture").joinpath(TABLE).read_bytes()
    return parse_table(data, f"the package's {TABLE}")


def parse_table(data: bytes, what: str) -> ArchitectureTable:
    """Read a table. Raises `SpecError` where it has not the form of one."""
    return read_document(ArchitectureTable, json.parse_object(data, what), what)
