"""One architecture's facts by its `model_type`, and putting them together for a whole config."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import Field

from skillpm.spec.fields import Document
from skillpm.spec.manifest_parts import ArchitectureFacts

DEPTH = 3
"""How deep configs of parts may hold configs of parts."""
TIE = "tie_word_embeddings"
UNKNOWN = ArchitectureFacts(tied={}, names={}, config_keys=[], library=None)
"""The facts of an architecture that cannot be asked: nothing of its config may change."""


class ArchitectureEntry(Document):
    """The facts of one config class, whatever a config says.

    `parts` maps a key that holds the config of a part to the `model_type` that it has by default;
    `ties` is whether a model ties, by what a config says (`tie_key`); `tied` has the tied names of
    each model class, and `names` its names in older checkpoints, as in `ArchitectureFacts`.
    """

    keys: list[str]
    parts: dict[str, str] = Field(default_factory=dict)
    ties: dict[str, bool] = Field(default_factory=dict)
    tied: dict[str, dict[str, str]] = Field(default_factory=dict)
    names: dict[str, dict[str, str]] = Field(default_factory=dict)


Lookup = Callable[[str], ArchitectureEntry | None]
"""The entry of a `model_type`, None where it is unknown."""


def facts_of(config: Mapping[str, Any], lookup: Lookup, library: str) -> ArchitectureFacts:
    """The facts of a model with this `config.json`; `UNKNOWN` where its class is unknown.

    Only `model_type`, `architectures` and `tie_word_embeddings` are read of a stranger's config
    and its parts.
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
    """A key of `ArchitectureEntry.ties`: what a config says itself, and what one part of it says.

    Anything but a boolean counts as not said.
    """
    words = [str(value).lower() if isinstance(value, bool) else "unset" for value in (own, below)]
    return words[0] if part is None else f"{words[0]}, {part} {words[1]}"


def _ties(config: Mapping[str, Any], entry: ArchitectureEntry, lookup: Lookup, depth: int) -> bool:
    """Whether a model of this config ties, by what the config and its parts say."""
    own = config.get(TIE)
    ties = entry.ties.get(tie_key(own), False)
    for part, table, below in _parts(config, entry, lookup) if depth else ():
        said = _ties(table, below, lookup, depth - 1)
        ties = entry.ties.get(tie_key(own, part, said), ties)
    return ties


def _parts(
    config: Mapping[str, Any], entry: ArchitectureEntry, lookup: Lookup
) -> Iterator[tuple[str, Mapping[str, Any], ArchitectureEntry]]:
    """The parts whose class is known: the key, the config there, and the entry of its class."""
    for part, default in entry.parts.items():
        own = config.get(part)
        table: Mapping[str, Any] = own if isinstance(own, dict) else {}
        below = lookup(str(table.get("model_type", default)))
        if below is not None:
            yield part, table, below


def model_types(config: Mapping[str, Any], depth: int = DEPTH) -> frozenset[str]:
    """Every `model_type` that a config names for itself and its parts."""
    found = {str(config["model_type"])} if isinstance(config.get("model_type"), str) else set()
    for value in config.values() if depth else ():
        if isinstance(value, dict):
            found |= model_types(value, depth - 1)
    return frozenset(found)


def _keys(
    config: Mapping[str, Any], entry: ArchitectureEntry, lookup: Lookup, depth: int
) -> Iterator[str]:
    """The keys that may change; a part is no key itself, but its keys are, after a dot."""
    yield from (key for key in entry.keys if key not in entry.parts)
    for part, table, below in _parts(config, entry, lookup) if depth else ():
        yield from (f"{part}.{key}" for key in _keys(table, below, lookup, depth - 1))
