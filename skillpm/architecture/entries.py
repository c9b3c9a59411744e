"""One architecture's facts by its `model_type`, and putting them together for a whole config."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from skillpm.spec.fields import Document
from skillpm.spec.manifest_parts import ArchitectureFacts

DEPTH = 3
"""How deep configs of parts may hold configs of parts."""
UNKNOWN = ArchitectureFacts(tied={}, names={}, config_keys=[], library=None)
"""The facts of an architecture that cannot be asked: nothing of its config may change."""


class ArchitectureEntry(Document):
    """The facts of one config class, whatever a config says.

    `parts` maps a key that holds the config of a part to the `model_type` that it has by default;
    `ties` is what `tie_word_embeddings` is where a config does not say it, `always` where the class
    heeds no config; `tied` has the tied names of each model class;
    `names` maps the start of a name in the running model to its start in older checkpoints.
    """

    keys: list[str]
    parts: dict[str, str] = Field(default_factory=dict)
    ties: Literal["always", "yes", "no"] = "no"
    tied: dict[str, dict[str, str]] = Field(default_factory=dict)
    names: dict[str, str] = Field(default_factory=dict)


Lookup = Callable[[str], ArchitectureEntry | None]
"""The entry of a `model_type`, None where it is unknown."""


def facts_of(config: Mapping[str, Any], lookup: Lookup, library: str) -> ArchitectureFacts:
    """The facts of a model with this `config.json`; `UNKNOWN` where its class is unknown.

    Only `model_type`, `architectures` and `tie_word_embeddings` are read of a stranger's config.
    """
    entry = lookup(str(config.get("model_type")))
    if entry is None:
        return UNKNOWN
    names = config.get("architectures")
    model = names[0] if isinstance(names, list) and names else None
    tied = entry.tied.get(model, {}) if isinstance(model, str) else {}
    if entry.ties != "always" and not config.get("tie_word_embeddings", entry.ties == "yes"):
        tied = {}
    keys = sorted(_keys(config, entry, lookup, DEPTH))
    return ArchitectureFacts(tied=tied, names=entry.names, config_keys=keys, library=library)


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
    for part, default in entry.parts.items() if depth else ():
        own = config.get(part)
        table: Mapping[str, Any] = own if isinstance(own, dict) else {}
        below = lookup(str(table.get("model_type", default)))
        if below is not None:
            yield from (f"{part}.{key}" for key in _keys(table, below, lookup, depth - 1))
