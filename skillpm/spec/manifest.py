"""The manifest: the JSON document that describes a SkillPack (contract, section 4)."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from skillpm.errors import Problems, SpecError
from skillpm.spec import json
from skillpm.spec.dtypes import BITS
from skillpm.spec.fields import (
    WHOLE,
    DigestField,
    Document,
    RequirementField,
    SkillNameField,
    VersionField,
    collect,
)
from skillpm.spec.manifest_bounds import capability_checks, date_problem, measure_checks
from skillpm.spec.manifest_parts import (
    KEY_LENGTH,
    Ancestor,
    ArchitectureFacts,
    BaseRef,
    Capability,
    Change,
    Compression,
    ConfigKey,
    FootprintEntry,
    Kind,
    ModuleSummary,
    Over,
    Provenance,
    RequiredCapability,
    SideFile,
)
from skillpm.spec.memo import parse_once
from skillpm.spec.parts import split_part
from skillpm.spec.safetensors import METADATA
from skillpm.spec.sidefiles import REMOVED, check_side_file
from skillpm.version import __version__

__all__ = (
    "FORMAT", "Ancestor", "ArchitectureFacts", "BaseRef", "Capability", "Change", "Compression",
    "FootprintEntry", "Kind", "Manifest", "ModuleSummary", "Over", "Provenance",
    "RequiredCapability", "SideFile", "parse_manifest",
)  # fmt: skip
FORMAT = 2
MUST_LIMIT = 64
"""Keys in `must_understand`."""
LINEAGE_LIMIT = 1024


class Manifest(Document):
    """The manifest of a SkillPack."""

    format: Annotated[Literal[2], WHOLE]
    skill: SkillNameField
    version: VersionField
    summary: str
    license: str | None
    authors: list[str]
    created: str
    base: BaseRef
    over: list[Over]
    requires: list[RequirementField]
    conflicts: list[RequirementField]
    capabilities: list[Capability]
    compression: Compression
    footprint: list[FootprintEntry]
    result_root: DigestField
    files: list[SideFile]
    architecture_facts: ArchitectureFacts
    requires_capabilities: list[RequiredCapability] = Field(max_length=LINEAGE_LIMIT)
    lineage: list[Ancestor] = Field(max_length=LINEAGE_LIMIT)
    must_understand: list[ConfigKey] = Field(max_length=MUST_LIMIT)
    sketch: str
    provenance: Provenance

    def canonical(self) -> bytes:
        """The manifest in canonical JSON, its only written form."""
        return json.canonical(self.to_dict())

    @property
    def carried(self) -> list[SideFile]:
        """The side files whose contents are in the pack: all except removed ones."""
        return [file for file in self.files if file.kind != REMOVED]

    @property
    def ref(self) -> str:
        """The release in messages: `acme/math 1.2.0`."""
        return f"{self.skill} {self.version}"


@parse_once
def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest. Raises `SpecError` with every problem and its path."""
    plain = json.parse_object(data, "the manifest")
    _check_readable(plain)
    problems = Problems("the manifest")
    manifest = collect(Manifest, plain, problems)
    problems.extend(_cross_checks(manifest) if manifest else _partial_checks(plain))
    problems.raise_if_any()
    if manifest is None:
        raise AssertionError
    return manifest


def _check_readable(plain: dict[str, Any]) -> None:
    """Raise `SpecError` if this skillpm does not know the format or a key of `must_understand`."""
    number = plain.get("format")
    if type(number) is int and number == 1:
        raise SpecError(
            "the manifest has format 1, which was never published; "
            f"this skillpm reads format {FORMAT}",
            hint="pack the skill again: `skillpm pack ./base ./tuned --name acme/math "
            "--version 1.0.0`",
        )
    if type(number) is int and number > FORMAT:
        raise SpecError(
            f"the manifest has format {number}; this skillpm reads format {FORMAT}",
            hint=f"install a skillpm that reads format {number}",
        )
    named = {key for key in _listed(plain, "must_understand") if isinstance(key, str)}
    unknown = sorted(named - Manifest.model_fields.keys())
    if unknown:
        shown = ", ".join(f"{key[:KEY_LENGTH]!r}" for key in unknown[:MUST_LIMIT])
        raise SpecError(
            f"the manifest requires support for {shown}, which skillpm {__version__} does not have",
            hint=f"`pip install 'skillpm-graft>={_maker(plain)}'` installs a newer skillpm",
        )


def _maker(plain: dict[str, Any]) -> str:
    """The version of skillpm that wrote a manifest; if unknown, any newer than this one."""
    provenance = plain.get("provenance")
    tool = provenance.get("tool") if isinstance(provenance, dict) else None
    match = re.fullmatch(r"skillpm ([0-9]{1,6}\.[0-9]{1,6}\.[0-9]{1,6})", str(tool)[:64])
    return match[1] if match and match[1] != __version__ else f"{__version__},!={__version__}"


def _partial_checks(plain: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The problems of valid parts of an invalid manifest."""
    ignored = Problems("parts")
    for position, raw in enumerate(_listed(plain, "footprint")):
        entry = collect(FootprintEntry, raw, ignored)
        for field, problem in entry_problems(entry, over=bool(plain.get("over"))) if entry else ():
            yield f"footprint[{position}].{field}", problem
    files = {n: collect(SideFile, raw, ignored) for n, raw in enumerate(_listed(plain, "files"))}
    yield from _file_checks({n: file for n, file in files.items() if file})


def _listed(plain: dict[str, Any], key: str) -> list[Any]:
    value = plain.get(key)
    return value if isinstance(value, list) else []


def _cross_checks(manifest: Manifest) -> Iterator[tuple[str, str]]:
    if manifest.version.build:
        yield "version", "a release cannot have build metadata in its version"
    if not manifest.footprint:
        yield "footprint", "empty: the pack would change nothing"
    names: set[str] = set()
    for position, entry in enumerate(manifest.footprint):
        path = f"footprint[{position}]"
        if entry.tensor in names:
            yield f"{path}.tensor", f"duplicate tensor {entry.tensor!r}"
        names.add(entry.tensor)
        for field, problem in entry_problems(entry, over=bool(manifest.over)):
            yield f"{path}.{field}", problem
    yield from _file_checks(dict(enumerate(manifest.files)))
    yield from _need_checks(manifest)
    yield from _claim_checks(manifest)
    misdated = date_problem(manifest.created)
    if misdated:
        yield "created", misdated
    yield from measure_checks(manifest.compression, manifest.provenance)
    yield from capability_checks(manifest.capabilities, manifest.requires_capabilities)


def _need_checks(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for field in ("requires", "conflicts"):
        for position, need in enumerate(getattr(manifest, field)):
            if need.skill == manifest.skill:
                yield f"{field}[{position}]", "a pack cannot name its own skill"
    layers = [layer.skill for layer in manifest.over]
    for position, layer in enumerate(manifest.over):
        if layer.skill == manifest.skill:
            yield f"over[{position}]", "a pack cannot be layered on its own skill"
        elif layers.count(layer.skill) > 1:
            yield f"over[{position}]", f"duplicate skill `{layer.skill}`"
        if not any(need.admits(layer.skill, layer.version) for need in manifest.requires):
            yield f"over[{position}]", f"`requires` does not name {layer.skill} ={layer.version}"


def _claim_checks(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Problems of the keys that format 2 added: facts, required capabilities and lineage."""
    facts = manifest.architecture_facts
    if facts.library is None and (facts.tied or facts.names or facts.config_keys):
        yield "architecture_facts.library", "expected a library, because other facts are stated"
    if len(set(facts.config_keys)) < len(facts.config_keys):
        yield "architecture_facts.config_keys", "duplicate key"
    for name, target in facts.tied.items():
        if name == target:
            yield "architecture_facts.tied", f"{name!r} is tied to itself"
    needs = [(need.capability, need.metric) for need in manifest.requires_capabilities]
    for position, named in enumerate(needs):
        if named in needs[:position]:
            yield f"requires_capabilities[{position}]", f"duplicate capability {named[0]!r}"
    releases = [(ancestor.skill, str(ancestor.version)) for ancestor in manifest.lineage]
    for position, release in enumerate(releases):
        if release in releases[:position]:
            yield f"lineage[{position}]", f"duplicate release `{release[0]}` {release[1]}"
        if release == (manifest.skill, str(manifest.version)):
            yield f"lineage[{position}]", "a release cannot be its own ancestor"


def _file_checks(files: dict[int, SideFile]) -> Iterator[tuple[str, str]]:
    paths: dict[str, str] = {}
    folders: dict[str, str] = {}
    seen: set[str] = set()
    for position, file in files.items():
        try:
            check_side_file(file.path, file.kind)
        except SpecError as refusal:
            yield f"files[{position}].path", refusal.message
        part = split_part(file.path)
        if part is not None and folders.setdefault(part[0].casefold(), part[0]) != part[0]:
            folder = folders[part[0].casefold()]
            problem = f"the folders {folder!r} and {part[0]!r} differ only in case"
            yield f"files[{position}].path", problem
        first = paths.setdefault(file.path.casefold(), file.path)
        if first != file.path:
            yield f"files[{position}].path", f"{first!r} and {file.path!r} differ only in case"
        elif file.path in seen:
            yield f"files[{position}].path", f"duplicate file {file.path!r}"
        seen.add(file.path)


def entry_problems(entry: FootprintEntry, *, over: bool) -> Iterator[tuple[str, str]]:
    """Yield the problems of an entry as (field, problem); `over`: the pack is a layered one."""
    if not entry.tensor or "\0" in entry.tensor:
        yield "tensor", "expected a name that is not empty and has no NUL"
    if entry.tensor == METADATA:
        yield "tensor", f"`{METADATA}` is the metadata of a safetensors file, not a tensor"
    if entry.dtype not in BITS:
        yield "dtype", f"{entry.dtype!r} is not a safetensors dtype"
    elif entry.spec.nbytes >= 2**62:
        yield "shape", "too large: expected fewer than 2^62 bytes"
    if entry.change == "removed":
        if entry.result is not None or entry.layer is not None:
            yield "result", "a removed tensor must not have `result` or `layer`"
    elif entry.result is None or entry.layer is None:
        yield "result", "a tensor that is not removed must have `result` and `layer`"
    if entry.leaf is None and entry.change != "added" and not over:
        yield "leaf", f"expected the leaf of the base, because the tensor is {entry.change}"
    if entry.leaf is not None and entry.change == "added":
        yield "leaf", "expected null, because the base does not have an added tensor"
