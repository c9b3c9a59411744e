"""The facts of an architecture by its `model_type`, and their combination for a whole config."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import Field

from skillpm.spec.fields import (
    Document,
    empty_dict,
)
from skillpm.spec.manifest_parts import ArchitectureFacts

DEPTH = 3
"""The deepest nesting of configs that is read."""
TIE = "tie_word_embeddings"
UNKNOWN = ArchitectureFacts(tied={}, names={}, config_keys=[], library=None)
"""The facts of an unknown architecture. No pack may change a key of its config."""


class ArchitectureEntry(Document):
    """The facts of one config class, which do not depend on the values of a config.

    `parts` maps the key of a nested config to its default `model_type`. `ties` says for each state
    of the config (`tie_key`) whether the model ties its head. `tied` has the tied tensors and
    `names` the older names of each model class, as in `ArchitectureFacts`.
    """

    keys: list[str]
    parts: dict[str, str] = Field(default_factory=empty_dict)
    ties: dict[str, bool] = Field(default_factory=empty_dict)
    tied: dict[str, dict[str, str]] = Field(default_factory=empty_dict)
    names: dict[str, dict[str, str]] = Field(default_factory=empty_dict)


Lookup = Callable[[str], ArchitectureEntry | None]
"""Returns the entry of a `model_type`; None if it is unknown."""


def facts_of(config: Mapping[str, Any], lookup: Lookup, library: str) -> ArchitectureFacts:
    """The facts of the model with this `config.json`; `UNKNOWN` if its class is unknown.

    Of the untrusted config and its nested configs, only `model_type`, `architectures` and
    `tie_word_embeddings` are read.
    """
    entry = lookup(str(config.get("model_type")))
    if entry is None:
        return UNKNOWN
    names = config.get("architectures")
    model = names[0] if isinstance(names, list) and names else None
    tied, names = (
        by_class.get(model, {}) if isinstance(model, str) else {}
        for by_class in (entry.tied, entry.names)
    )
    if not _ties(config, entry, lookup, DEPTH):
        tied = {}
    keys = sorted(_keys(config, entry, lookup, DEPTH))
    return ArchitectureFacts(tied=tied, names=names, config_keys=keys, library=library)


def tie_key(own: object, part: str | None = None, below: object = None) -> str:
    """A key of `ArchitectureEntry.ties`: the tie settings of a config and of one nested config.

    A value that is not a boolean counts as unset.
    """
    words = [str(value).lower() if isinstance(value, bool) else "unset" for value in (own, below)]
    return words[0] if part is None else f"{words[0]}, {part} {words[1]}"


def _ties(config: Mapping[str, Any], entry: ArchitectureEntry, lookup: Lookup, depth: int) -> bool:
    """Whether a model with this config ties its head."""
    own = config.get(TIE)
    ties = entry.ties.get(tie_key(own), False)
    for part, table, nested in _parts(config, entry, lookup) if depth else ():
        part_ties = _ties(table, nested, lookup, depth - 1)
        ties = entry.ties.get(tie_key(own, part, part_ties), ties)
    return ties


def _parts(
    config: Mapping[str, Any], entry: ArchitectureEntry, lookup: Lookup
) -> Iterator[tuple[str, Mapping[str, Any], ArchitectureEntry]]:
    """The nested configs whose class is known, each as (key, config, entry of its class)."""
    for part, default in entry.parts.items():
        own = config.get(part)
        table: Mapping[str, Any] = own if isinstance(own, dict) else {}
        nested = lookup(str(table.get("model_type", default)))
        if nested is not None:
            yield part, table, nested


def model_types(config: Mapping[str, Any], depth: int = DEPTH) -> frozenset[str]:
    """The `model_type`s of a config and its nested configs."""
    types = {str(config["model_type"])} if isinstance(config.get("model_type"), str) else set()
    for value in config.values() if depth else ():
        if isinstance(value, dict):
            types |= model_types(value, depth - 1)
    return frozenset(types)


def _keys(
    config: Mapping[str, Any], entry: ArchitectureEntry, lookup: Lookup, depth: int
) -> Iterator[str]:
    """The keys that a pack may change. Keys of a nested config have its key and a dot in front."""
    yield from (key for key in entry.keys if key not in entry.parts)
    for part, table, nested in _parts(config, entry, lookup) if depth else ():
        yield from (f"{part}.{key}" for key in _keys(table, nested, lookup, depth - 1))
