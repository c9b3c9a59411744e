"""Field types and base class of pydantic documents: parsed when read, text when written."""

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache
from math import isfinite
from typing import Annotated, Any, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)

from skillpm.errors import Problems, SpecError
from skillpm.spec.digests import Digest
from skillpm.spec.faults import describe_fault, describe_value
from skillpm.spec.location import RegistryLocation
from skillpm.spec.names import HALF_LIMIT, SkillName
from skillpm.spec.nearest import did_you_mean
from skillpm.spec.requirements import Requirement
from skillpm.spec.versions import LENGTH_LIMIT, Version

T = TypeVar("T")
_NAME_LIMIT = 64
_REQUIREMENT_LIMIT = 1024
_DIGESTS = 4096
"""Digests that are kept. Packs for one base repeat its leaves, and a footprint its layers."""


def _parsed(kind: type[T], parse: Callable[[str], T]) -> BeforeValidator:
    def read(value: Any) -> T:
        if isinstance(value, kind):
            return value
        if not isinstance(value, str):
            raise ValueError(f"expected text, found {describe_value(value)}")  # noqa: TRY004 - pydantic handles only ValueError
        try:
            return parse(value)
        except SpecError as problem:
            raise ValueError(problem.message) from problem

    return BeforeValidator(read)


def _whole(value: Any) -> Any:
    if type(value) is not int:
        raise ValueError(f"expected a whole number, found {describe_value(value)}")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, found {describe_value(value)}")  # noqa: TRY004 - pydantic handles only ValueError
    return value


def one_of(expected: str, *kinds: type) -> BeforeValidator:
    """For a union: a value of another type is one error. Pydantic reports one for each member."""

    def read(value: Any) -> Any:
        if type(value) not in kinds:
            raise ValueError(f"expected {expected}, found {describe_value(value)}")
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(f"expected a finite number, found {describe_value(value)}")
        return value

    return BeforeValidator(read)


WHOLE = BeforeValidator(_whole)
"""For literals. Pydantic alone would accept `true` and 1.0 for 1, which are equal in Python."""
NUMBER = BeforeValidator(_number)
"""For floats that may be written as whole numbers. Pydantic alone would accept `true` and "1"."""
_TEXT = PlainSerializer(str, return_type=str)


def _text_schema(pattern: str, longest: int) -> WithJsonSchema:
    """The JSON Schema of a value that is parsed from text. The parser may refuse more."""
    return WithJsonSchema({"type": "string", "pattern": pattern, "maxLength": longest})


HALF_PATTERN = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
"""A namespace, or a name in a namespace, as a regular expression of JSON Schema."""
DIGEST_PATTERN = "^sha256:[0-9a-f]{64}$"
_VERSION = (
    r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"
)

SkillNameField = Annotated[
    SkillName,
    _parsed(SkillName, SkillName.parse),
    _TEXT,
    _text_schema(f"^{HALF_PATTERN}/{HALF_PATTERN}$", 2 * HALF_LIMIT + 1),
]
VersionField = Annotated[
    Version, _parsed(Version, Version.parse), _TEXT, _text_schema(_VERSION, LENGTH_LIMIT)
]
RequirementField = Annotated[
    Requirement,
    _parsed(Requirement, Requirement.parse),
    _TEXT,
    _text_schema(f"^{HALF_PATTERN}/{HALF_PATTERN}([ @].*)?$", _REQUIREMENT_LIMIT),
]
LocationField = Annotated[
    RegistryLocation,
    _parsed(RegistryLocation, RegistryLocation.parse),
    _TEXT,
    WithJsonSchema({"type": "string"}),
]
DigestField = Annotated[
    Digest,
    _parsed(Digest, lru_cache(_DIGESTS)(Digest)),
    _TEXT,
    _text_schema(DIGEST_PATTERN, 71),
]


class Document(BaseModel):
    """The base class of documents and their parts: frozen. Unknown keys are kept and ignored.

    The validator of a class is built on first use, because a command reads only a few classes. For
    the same reason, defaults that are documents are made by `model_construct`.
    """

    model_config = ConfigDict(
        frozen=True, extra="allow", strict=True, arbitrary_types_allowed=True, allow_inf_nan=False,
        defer_build=True,
    )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """The document as plain JSON values, including unknown keys."""
        return self.model_dump(mode="json", by_alias=True)


def empty_list() -> list[Any]:
    """The default of a list. Pydantic parses the documentation of `list` itself, which is slow."""
    return []


def empty_dict() -> dict[str, Any]:
    """The default of an object; see `empty_list`."""
    return {}


def unknown_keys(document: Document, *, allowed: Collection[str] = ()) -> list[tuple[str, str]]:
    """A problem for each unknown key, at any depth, with the most similar known key.

    For documents that people write, where an unknown key is probably a typing error. `allowed` keys
    of the document itself are not reported.
    """
    extra = (document.model_extra or {}).keys() - set(allowed)
    problems = unknown_names(type(document), extra)
    for name in type(document).model_fields:
        for path, part in _documents(getattr(document, name)):
            problems += [(f"{name}{path}.{key}", why) for key, why in unknown_keys(part)]
    return problems


def unknown_names(kind: type[Document], names: Iterable[str]) -> list[tuple[str, str]]:
    """A problem for each of these keys that is not a field of `kind`, sorted by key."""
    fields = kind.model_fields.items()
    known = [_spelling(name, field.validation_alias or field.alias) for name, field in fields]
    problems: list[tuple[str, str]] = []
    for name in sorted(set(names) - set(known)):
        known_keys = f"expected one of {', '.join(known)}"
        suggestion = did_you_mean(name[:_NAME_LIMIT], known, otherwise=known_keys)
        problems.append((name, f"unknown key; {suggestion}"))
    return problems


def _spelling(name: str, alias: Any) -> str:
    """The key of a field in the document: its first alias, else its name."""
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return alias if isinstance(alias, str) else name


def _documents(value: Any) -> Iterator[tuple[str, Document]]:
    """The documents in the value of a field, with their paths relative to the field."""
    if isinstance(value, Document):
        yield "", value
    elif isinstance(value, dict):
        yield from ((f".{key}", part) for key, part in value.items() if isinstance(part, Document))
    elif isinstance(value, list):
        yield from ((f"[{n}]", part) for n, part in enumerate(value) if isinstance(part, Document))


D = TypeVar("D", bound=Document)


def read_document(kind: type[D], plain: Any, what: str) -> D:
    """Build a document from plain values. Raises `SpecError` with every problem and its path."""
    problems = Problems(what)
    document = collect(kind, plain, problems)
    problems.raise_if_any()
    if document is None:
        raise AssertionError
    return document


def collect(kind: type[D], plain: Any, problems: Problems) -> D | None:
    """Build a document from plain values. If it is invalid, add every problem and return None."""
    try:
        return kind.model_validate(plain)
    except ValidationError as invalid:
        for error in invalid.errors(include_url=False):
            context = error.get("ctx") or {}
            message = describe_fault(error["type"], error["msg"], error["input"], context)
            problems.add(path_of(error["loc"]), message)
    return None


def path_of(steps: tuple[int | str, ...]) -> str:
    """A path as messages show it: `footprint[3].leaf`. Pydantic's marker `[key]` is left out."""
    path = ""
    for step in steps:
        if step == "[key]":
            continue
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path
