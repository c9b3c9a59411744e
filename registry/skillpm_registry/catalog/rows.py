"""Conversion between packs and releases and the rows of the catalogue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from unicodedata import normalize

from sqlalchemy import Integer, Select, Text, false, literal, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from skillpm.errors import SpecError
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.faults import describe_value
from skillpm.spec.manifest import Manifest
from skillpm.spec.names import SkillName
from skillpm.spec.oci import PackImage
from skillpm.spec.release import Release
from skillpm.spec.requirements import Requirement
from skillpm.spec.versions import Version
from skillpm_registry.tables import release, skill


class json_text(FunctionElement[str]):  # noqa: N801 - named like a function of SQL
    """A JSON column as text. SQLite stores text, and PostgreSQL converts its binary form.

    The drivers parse JSON without limits, so untrusted values are read as text.
    """

    inherit_cache = True
    type = Text()


@compiles(json_text)
def _plain(element: json_text, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(json_text, "postgresql")
def _cast(element: json_text, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS TEXT)"


class octet_length(FunctionElement[int]):  # noqa: N801 - named like a function of SQL
    """The number of bytes of a text in UTF-8. PostgreSQL answers without reading a long text."""

    inherit_cache = True
    type = Integer()


@compiles(octet_length, "sqlite")
def _length(element: octet_length, compiler: SQLCompiler, **options: Any) -> str:
    return f"length(CAST({compiler.process(element.clauses, **options)} AS BLOB))"


@compiles(octet_length, "postgresql")
def _octets(element: octet_length, compiler: SQLCompiler, **options: Any) -> str:
    return f"octet_length({compiler.process(element.clauses, **options)})"


_COLUMNS = (
    skill.c.namespace, skill.c.name, release.c.version, release.c.digest, release.c.size,
    release.c.base_root, json_text(release.c.requires).label("requires"),
    json_text(release.c.conflicts).label("conflicts"), release.c.yanked,
    release.c.yank_reason, release.c.summary, release.c.license, release.c.created,
    release.c.scheme, release.c.payload_bytes,
)  # fmt: skip
_QUARANTINE = (release.c.quarantined, release.c.quarantine_reason)
_NO_QUARANTINE = (false().label("quarantined"), literal("").label("quarantine_reason"))
STATES_SINCE = "0004"
"""The migration that added quarantine and the states of blobs."""


@dataclass(frozen=True, slots=True)
class PackRow:
    """A pack to publish: its digest, OCI manifest and manifest, and the size of every blob.

    `is_stored` is set if the OCI manifest is a blob that is present to the publisher already.
    """

    digest: Digest
    image: PackImage
    manifest: Manifest
    sizes: Mapping[Digest, int]
    is_stored: bool = False


def select_releases(schema: str) -> Select[Any]:
    """A query for all releases, with the columns that `release_of` reads at a schema."""
    quarantine = _QUARANTINE if schema >= STATES_SINCE else _NO_QUARANTINE
    return select(*_COLUMNS, *quarantine).select_from(release.join(skill))


class CachedParsers:
    """Parsers of column values with a cache, because most values occur in many rows."""

    def __init__(self) -> None:
        self.skill = cache(SkillName.parse)
        self.version = cache(Version.parse)
        self.base = cache(Digest)
        self.requirement = cache(Requirement.parse)
        self.requirements = cache(self._requirements)

    def _requirements(self, text: str) -> tuple[Requirement, ...]:
        requirements = json.parse(text.encode(), "a release's requirements")
        if not isinstance(requirements, list):
            raise SpecError("a release's requirements are not a list")
        return tuple(self.requirement(text_of(requirement)) for requirement in requirements)


def text_of(value: object) -> str:
    """Return a column's value if it is text. Raises `SpecError`.

    SQLite stores values of any type in any column.
    """
    if not isinstance(value, str):
        raise SpecError(f"expected text, found {describe_value(value)}")
    return value


def count_of(value: object) -> int:
    """Return a column's value if it is an integer of at least 0. Raises `SpecError`."""
    if type(value) is not int or value < 0:
        raise SpecError(f"expected a count, found {describe_value(value)}")
    return value


def skill_of(row: Any, parsers: CachedParsers) -> SkillName:
    """The skill's name in a row with the columns `namespace` and `name`. Raises `SpecError`."""
    return parsers.skill(f"{text_of(row.namespace)}/{text_of(row.name)}")


def release_of(row: Sequence[Any], parsers: CachedParsers) -> Release:
    """The release in a row of `select_releases`. Raises `SpecError` for invalid values.

    Takes about 10 µs, which matters because a resolution reads thousands of rows.
    """
    (namespace, name, version, digest, size, base, requires, conflicts, yanked, yank_reason,
     summary, license_, created, scheme, payload_bytes, quarantined, reason) = row  # fmt: skip
    for text in (namespace, name, version, digest, base, requires, conflicts, yank_reason, summary,
                 created, scheme, reason):  # fmt: skip
        if type(text) is not str:
            text_of(text)
    return Release(
        skill=parsers.skill(f"{namespace}/{name}"),
        version=parsers.version(version),
        digest=Digest(digest),
        size=count_of(size),
        base=parsers.base(base),
        requires=parsers.requirements(requires),
        conflicts=parsers.requirements(conflicts),
        yanked=bool(yanked or quarantined),
        quarantined=bool(quarantined),
        yank_reason=reason if quarantined else yank_reason,
        summary=summary,
        license=None if license_ is None else text_of(license_),
        created=created,
        scheme=scheme,
        payload_bytes=count_of(payload_bytes),
    )


def values_of(pack: PackRow) -> dict[str, Any]:
    """The values of the columns of `release` that come from the pack."""
    manifest = pack.manifest
    capabilities = [capability.name for capability in manifest.capabilities]
    return {
        "version": str(manifest.version),
        "digest": str(pack.digest),
        "size": sum(pack.sizes.values()),
        "base_root": str(manifest.base.root),
        "base_name": manifest.base.name,
        "architecture": manifest.base.architecture,
        "requires": [str(requirement) for requirement in manifest.requires],
        "conflicts": [str(requirement) for requirement in manifest.conflicts],
        "capabilities": capabilities,
        "summary": manifest.summary,
        "search_text": case_folded(
            "\n".join([str(manifest.skill), manifest.summary, *capabilities])
        ),
        "license": manifest.license,
        "scheme": manifest.compression.scheme,
        "payload_bytes": manifest.compression.payload_bytes,
        "created": manifest.created,
    }


def case_folded(text: str) -> str:
    """The text in the form for searching: case-folded and in Unicode normal form NFKC."""
    return normalize("NFKC", normalize("NFKC", text).casefold())
