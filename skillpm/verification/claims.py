"""Claims: the statements of a manifest that skillpm cannot recompute.

`verify` recomputes every other statement on the base (ADR 25).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from skillpm.delta.tensors.module_kinds import kind_of
from skillpm.spec.exactness import EXACT, FACTORS, is_exact
from skillpm.spec.manifest import Manifest
from skillpm.spec.requirements import Requirement

PROBED = "probe"
"""The name of a capability that the pack's own probes measured."""
_TUNED = "checking it needs the tuned model"
_AUTHOR = "a statement of the author"
_CHOICE = "a choice of the author"
_MEASURED = "measured by the author; `skillpm probe` measures it here"
_UNPROBED = "the pack has no probes for it"
_LIBRARY = "from a library's model classes; checked if the same library version is installed"
_SETTING = "a compression setting of the author that does not show in the payload"
_UNKNOWN = "unknown to this version of skillpm, and ignored"
_PATHS = {
    "skill": "a name; a registry decides who may publish under it",
    "version": _CHOICE,
    "summary": _AUTHOR,
    "license": _AUTHOR,
    "authors": _AUTHOR,
    "created": _AUTHOR,
    "base.name": "the author's name for the base; the root identifies the base",
    "conflicts": _CHOICE,
    "architecture_facts": _LIBRARY,
    "requires_capabilities": _CHOICE,
    "lineage": _AUTHOR,
    "must_understand": _CHOICE,
    "provenance": _AUTHOR,
}
_CHECKED_SETTINGS = frozenset({"group", "columns", "rank"})
"""Settings of `graftllm` that the payload shows exactly; for the others it shows a bound."""
_CHECKED_FACTS = frozenset({"ranks", "dora"})
"""Settings of an adapter that the payload shows."""


@dataclass(frozen=True)
class Claim:
    """An unchecked statement: its path in the manifest, its value, and why it is unchecked."""

    path: str
    value: Any
    reason: str


def claims_of(manifest: Manifest) -> tuple[Claim, ...]:
    """Return every claim of a manifest. Empty values are left out."""
    claims = (
        *_top(manifest),
        *_requirements(manifest),
        *_capabilities(manifest),
        *_compression(manifest),
        *_footprint(manifest),
        *_unknown(manifest, ""),
    )
    return tuple(claim for claim in claims if claim.value not in (None, "", [], {}))


def _top(manifest: Manifest) -> Iterator[Claim]:
    document = manifest.to_dict()
    for path, reason in _PATHS.items():
        value: Any = document
        for step in path.split("."):
            value = value[step]
        if isinstance(value, dict):
            for key, inner in sorted(value.items()):
                yield Claim(f"{path}.{key}", inner, reason)
        else:
            yield Claim(path, value, reason)
    for index, file in enumerate(manifest.files):
        yield Claim(f"files[{index}].path", file.path, _TUNED)
        yield Claim(f"files[{index}].kind", file.kind, _TUNED)


def _requirements(manifest: Manifest) -> Iterator[Claim]:
    """Yield the requirements beyond the packs that this pack is layered on."""
    below = {str(Requirement.exact(pack.skill, pack.version)) for pack in manifest.over}
    for index, requirement in enumerate(manifest.requires):
        if str(requirement) not in below:
            yield Claim(f"requires[{index}]", str(requirement), _CHOICE)


def _capabilities(manifest: Manifest) -> Iterator[Claim]:
    for index, capability in enumerate(manifest.capabilities):
        path = f"capabilities[{index}]"
        if capability.name == PROBED:
            yield Claim(f"{path}.value", capability.value, _MEASURED)
            yield Claim(f"{path}.base_value", capability.base_value, _MEASURED)
        else:
            yield Claim(path, capability.to_dict(), _UNPROBED)


def _compression(manifest: Manifest) -> Iterator[Claim]:
    stated = manifest.compression
    if any(entry.codec == FACTORS for entry in manifest.footprint):
        reason = f"exact for base + adapter; whether the adapter is the whole skill: {_TUNED}"
        yield Claim("compression.scheme", stated.scheme, reason)
    yield from _settings(manifest)
    if not all(is_exact(manifest, entry.codec) for entry in manifest.footprint if entry.layer):
        yield Claim("compression.relative_error", stated.relative_error, _TUNED)
    for kind, module in stated.modules.items():
        codecs = frozenset(module.codec.split("+"))
        exact = EXACT | {FACTORS} if is_exact(manifest, FACTORS) else EXACT
        if not codecs <= exact:
            path = f"compression.modules.{kind}.relative_error"
            yield Claim(path, module.relative_error, _TUNED)


def _settings(manifest: Manifest) -> Iterator[Claim]:
    for key, value in sorted(manifest.compression.settings.items()):
        path = f"compression.settings.{key}"
        if key == "adapter" and isinstance(value, dict):
            for name, inner in sorted(value.items()):
                if name not in _CHECKED_FACTS:
                    yield Claim(f"{path}.{name}", inner, _SETTING)
        elif key not in _CHECKED_SETTINGS or not _has_factors(manifest, key):
            yield Claim(path, value, _SETTING)


def _has_factors(manifest: Manifest, setting: str) -> bool:
    """Whether the payload has factors that show a setting. MLPs do not show `rank`."""
    factored = [entry.tensor for entry in manifest.footprint if entry.codec == "svd"]
    return any(setting != "rank" or kind_of(name) != "mlp" for name in factored)


def _footprint(manifest: Manifest) -> Iterator[Claim]:
    for index, entry in enumerate(manifest.footprint):
        yield Claim(f"footprint[{index}].from", entry.source, _TUNED)


def _unknown(document: BaseModel, path: str) -> Iterator[Claim]:
    """Yield the keys that are unknown to this version: they are kept, and ignored."""
    lead = f"{path}." if path else ""
    for key, value in (document.model_extra or {}).items():
        yield Claim(f"{lead}{key}", value, _UNKNOWN)
    for key in type(document).model_fields:
        value = getattr(document, key)
        if isinstance(value, BaseModel):
            yield from _unknown(value, f"{lead}{key}")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from _unknown(item, f"{lead}{key}[{index}]")
        elif isinstance(value, dict):
            for name, item in value.items():
                if isinstance(item, BaseModel):
                    yield from _unknown(item, f"{lead}{key}.{name}")
