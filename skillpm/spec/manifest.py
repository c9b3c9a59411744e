"""The manifest: the JSON document that describes a SkillPack (contract, section 4)."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from skillpm.errors import Problems, SpecError
from skillpm.spec import json
from skillpm.spec.dtypes import BITS, RANK_LIMIT, TensorSpec
from skillpm.spec.fields import (
    WHOLE,
    DigestField,
    Document,
    RequirementField,
    SkillNameField,
    VersionField,
    collect,
)
from skillpm.spec.safetensors import METADATA
from skillpm.spec.sidefiles import check_name

FORMAT = 1
Change = Literal["changed", "added", "removed", "resized"]
Kind = Literal["embedding", "head", "attention", "mlp", "norm", "other"]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[float, Field(strict=False)]


class BaseRef(Document):
    """The base that a pack was cut from."""

    name: str
    root: DigestField
    architecture: str
    dtype: str
    parameters: Count
    tensors: Count


class Over(Document):
    """A release that the pack lies on top of."""

    skill: SkillNameField
    version: VersionField
    digest: DigestField


class Capability(Document):
    """A measured capability: what the tuned model and the base reach."""

    name: str
    metric: str
    value: Number
    base_value: Number | None = None
    samples: Count | None = None


class ModuleSummary(Document):
    """Compression of all tensors of one kind of module."""

    codec: str
    bytes: Count
    relative_error: Number | None


class Compression(Document):
    """How the delta was compressed: bytes of payload, dense bytes, and ‖Δ-Δ̂‖/‖Δ‖."""

    scheme: str
    settings: dict[str, Any]
    payload_bytes: Count
    delta_bytes: Count
    ratio: Number
    relative_error: Number | None
    modules: dict[Kind, ModuleSummary]


class FootprintEntry(Document):
    """One tensor that the pack touches.

    `leaf` is that of the base (None where the base lacks it), `result` the leaf after this pack
    alone (None where removed), `layer` the digest of the payload layer that holds its parts.
    """

    model_config = ConfigDict(populate_by_name=True)

    tensor: str
    change: Change
    shape: tuple[Count, ...] = Field(strict=False, max_length=RANK_LIMIT)
    dtype: str
    leaf: DigestField | None
    result: DigestField | None
    codec: str
    layer: DigestField | None
    source: str | None = Field(default=None, alias="from")

    @property
    def spec(self) -> TensorSpec:
        """The tensor after this pack."""
        return TensorSpec(self.tensor, self.dtype, self.shape)


class SideFile(Document):
    """A file beside the tensors; `kind` is `merge-patch` (RFC 7396) or `file`."""

    path: str
    digest: DigestField
    kind: Literal["merge-patch", "file"]


class Provenance(Document):
    """Where the skill came from, as far as its author says."""

    method: str | None = None
    sources: list[str] = Field(default_factory=list)
    data: list[str] = Field(default_factory=list)
    flops: Number | None = None
    tool: str | None = None


class Manifest(Document):
    """A SkillPack's manifest. `canonical` is its one written form."""

    format: Annotated[Literal[1], WHOLE]
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
    sketch: str
    provenance: Provenance

    def canonical(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces."""
        return json.canonical(self.plain())

    @property
    def ref(self) -> str:
        """How messages name the release: `acme/math 1.2.0`."""
        return f"{self.skill} {self.version}"


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest; raise `SpecError` with every problem, each with its path."""
    plain = json.parse_object(data, "the manifest")
    known = plain.get("format")
    if isinstance(known, int) and known > FORMAT:
        raise SpecError(
            f"the manifest has format {known}; this skillpm reads format {FORMAT}",
            hint=f"install a skillpm that reads format {known}",
        )
    problems = Problems("the manifest")
    manifest = collect(Manifest, plain, problems)
    problems.extend(_cross_checks(manifest) if manifest else _partial_checks(plain))
    problems.raise_if_any()
    if manifest is None:
        raise AssertionError
    return manifest


def _partial_checks(plain: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What can be said of the sound parts of a manifest that is not sound as a whole."""
    unheard = Problems("parts")
    for position, raw in enumerate(_listed(plain, "footprint")):
        entry = collect(FootprintEntry, raw, unheard)
        for field, problem in _entry_checks(entry, over=bool(plain.get("over"))) if entry else ():
            yield f"footprint[{position}].{field}", problem
    files = {n: collect(SideFile, raw, unheard) for n, raw in enumerate(_listed(plain, "files"))}
    yield from _file_checks({n: file for n, file in files.items() if file})


def _listed(plain: dict[str, Any], key: str) -> list[Any]:
    value = plain.get(key)
    return value if isinstance(value, list) else []


def _cross_checks(manifest: Manifest) -> Iterator[tuple[str, str]]:
    if manifest.version.build:
        yield "version", "a release's version has no build metadata"
    if not manifest.footprint:
        yield "footprint", "it is empty: the pack would change nothing"
    names: set[str] = set()
    for position, entry in enumerate(manifest.footprint):
        path = f"footprint[{position}]"
        if entry.tensor in names:
            yield f"{path}.tensor", f"{entry.tensor!r} stands twice"
        names.add(entry.tensor)
        for field, problem in _entry_checks(entry, over=bool(manifest.over)):
            yield f"{path}.{field}", problem
    yield from _file_checks(dict(enumerate(manifest.files)))
    yield from _need_checks(manifest)


def _need_checks(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for field in ("requires", "conflicts"):
        for position, need in enumerate(getattr(manifest, field)):
            if need.skill == manifest.skill:
                yield f"{field}[{position}]", "a pack cannot name its own skill"
    lower_skills = [lower.skill for lower in manifest.over]
    for position, lower in enumerate(manifest.over):
        if lower.skill == manifest.skill or lower_skills.count(lower.skill) > 1:
            yield f"over[{position}]", f"`{lower.skill}` cannot stand there (again)"
        if not any(need.admits(lower.skill, lower.version) for need in manifest.requires):
            yield f"over[{position}]", f"`requires` does not name {lower.skill} ={lower.version}"


def _file_checks(files: dict[int, SideFile]) -> Iterator[tuple[str, str]]:
    paths: set[str] = set()
    for position, file in files.items():
        try:
            check_name(file.path)
        except SpecError as problem:
            yield f"files[{position}].path", problem.message
        if file.path in paths:
            yield f"files[{position}].path", f"{file.path!r} stands twice"
        paths.add(file.path)


def _entry_checks(entry: FootprintEntry, *, over: bool) -> Iterator[tuple[str, str]]:
    if not entry.tensor or "\0" in entry.tensor:
        yield "tensor", "a tensor's name is not empty and holds no NUL"
    if entry.tensor == METADATA:
        yield "tensor", f"`{METADATA}` is no tensor, but a safetensors file's metadata"
    if entry.dtype not in BITS:
        yield "dtype", f"{entry.dtype!r} is not a safetensors dtype"
    elif entry.spec.nbytes >= 2**62:
        yield "shape", "it is larger than any file"
    if entry.change == "removed":
        if entry.result is not None or entry.layer is not None:
            yield "result", "a removed tensor has neither `result` nor `layer`"
    elif entry.result is None or entry.layer is None:
        yield "result", "a tensor that is not removed has `result` and `layer`"
    if entry.leaf is None and entry.change != "added" and not over:
        yield "leaf", f"a tensor that is {entry.change} has a leaf in the base"
    if entry.leaf is not None and entry.change == "added":
        yield "leaf", "an added tensor has no leaf in the base"
