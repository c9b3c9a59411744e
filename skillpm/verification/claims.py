"""What only the author of a pack can know: shown as a claim, since nothing here can check it.

All else in a manifest is recomputed by `verify` on the base (ADR 25).
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
_TUNED = "needs the tuned model"
_AUTHOR = "the author's own statement"
_CHOICE = "the author's choice"
_MEASURED = "measured by the author; `skillpm probe` measures it here"
_UNPROBED = "the pack carries no probes for it"
_LIBRARY = "what a library said of the architecture; checked where that version is installed"
_SETTING = "how the author ran the compression; the payload does not show it"
_UNKNOWN = "unknown to this skillpm, which ignores it"
_PATHS = {
    "skill": "a name; a registry says who may use it",
    "version": _CHOICE,
    "summary": _AUTHOR,
    "license": _AUTHOR,
    "authors": _AUTHOR,
    "created": _AUTHOR,
    "base.name": "what the author calls the base; its root is what identifies it",
    "conflicts": _CHOICE,
    "architecture_facts": _LIBRARY,
    "requires_capabilities": _CHOICE,
    "lineage": _AUTHOR,
    "must_understand": _CHOICE,
    "provenance": _AUTHOR,
}
_CHECKED_SETTINGS = frozenset({"group", "columns", "rank"})
"""Settings of `graftllm` that the records of its factors show; others are bounded at most."""
_CHECKED_FACTS = frozenset({"ranks", "dora"})
"""What the records of an adapter's factors show of it."""


@dataclass(frozen=True)
class Claim:
    """A statement that is not checked: where it stands, what it says, why nothing here knows."""

    path: str
    value: Any
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The claim as documents hold it."""
        return {"path": self.path, "value": self.value, "reason": self.reason}


def claims_of(manifest: Manifest) -> tuple[Claim, ...]:
    """Every claim of a manifest; what it leaves empty claims nothing."""
    found = (
        *_top(manifest),
        *_requirements(manifest),
        *_capabilities(manifest),
        *_compression(manifest),
        *_footprint(manifest),
        *_unknown(manifest, ""),
    )
    return tuple(claim for claim in found if claim.value not in (None, "", [], {}))


def _top(manifest: Manifest) -> Iterator[Claim]:
    plain = manifest.to_dict()
    for path, reason in _PATHS.items():
        value: Any = plain
        for step in path.split("."):
            value = value[step]
        if isinstance(value, dict):
            for key, inner in sorted(value.items()):
                yield Claim(f"{path}.{key}", inner, reason)
        else:
            yield Claim(path, value, reason)
    for place, file in enumerate(manifest.files):
        yield Claim(f"files[{place}].path", file.path, _TUNED)
        yield Claim(f"files[{place}].kind", file.kind, _TUNED)


def _requirements(manifest: Manifest) -> Iterator[Claim]:
    """What is required beyond the set that the pack is layered on."""
    below = {str(Requirement.exact(one.skill, one.version)) for one in manifest.over}
    for place, need in enumerate(manifest.requires):
        if str(need) not in below:
            yield Claim(f"requires[{place}]", str(need), _CHOICE)


def _capabilities(manifest: Manifest) -> Iterator[Claim]:
    for place, one in enumerate(manifest.capabilities):
        path = f"capabilities[{place}]"
        if one.name == PROBED:
            yield Claim(f"{path}.value", one.value, _MEASURED)
            yield Claim(f"{path}.base_value", one.base_value, _MEASURED)
        else:
            yield Claim(path, one.to_dict(), _UNPROBED)


def _compression(manifest: Manifest) -> Iterator[Claim]:
    stated = manifest.compression
    if any(entry.codec == FACTORS for entry in manifest.footprint):
        reason = "exact for the base with this adapter; that no other model was cut down to it " + (
            _TUNED
        )
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
    """Whether the payload holds factors that show a setting; `rank` is that of other than MLPs."""
    factored = [entry.tensor for entry in manifest.footprint if entry.codec == "svd"]
    return any(setting != "rank" or kind_of(name) != "mlp" for name in factored)


def _footprint(manifest: Manifest) -> Iterator[Claim]:
    for place, entry in enumerate(manifest.footprint):
        yield Claim(f"footprint[{place}].from", entry.source, _TUNED)


def _unknown(document: BaseModel, path: str) -> Iterator[Claim]:
    """Keys that a later format may define: kept, and ignored."""
    lead = f"{path}." if path else ""
    for key, value in (document.model_extra or {}).items():
        yield Claim(f"{lead}{key}", value, _UNKNOWN)
    for key in type(document).model_fields:
        value = getattr(document, key)
        if isinstance(value, BaseModel):
            yield from _unknown(value, f"{lead}{key}")
        elif isinstance(value, list):
            for place, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from _unknown(item, f"{lead}{key}[{place}]")
        elif isinstance(value, dict):
            for name, item in value.items():
                if isinstance(item, BaseModel):
                    yield from _unknown(item, f"{lead}{key}.{name}")
