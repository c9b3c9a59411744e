"""Results about models and pack files: frozen dataclasses with digests and names as text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from skillpm.api.extras import needs_matplotlib

if TYPE_CHECKING:
    from skillpm.archive.reader import PackFile
    from skillpm.delta.tensors.differences import Difference
    from skillpm.flows.inspect.identify import Identified
    from skillpm.flows.inspect.verify import Verified
    from skillpm.verification.claims import Claim


@dataclass(frozen=True)
class ModelComparison:
    """What differs from another model: its root, the tensors, and the files of `parts`."""

    root: str
    differences: "tuple[Difference, ...]"
    differing_files: tuple[str, ...]

    @classmethod
    def of(cls, identified: "Identified") -> Self | None:
        """Convert a flow's result; None if there was no other model."""
        if identified.against is None:
            return None
        root = str(identified.against.root)
        return cls(root, identified.differences, identified.differing_files)


@dataclass(frozen=True)
class ModelIdentity:
    """The identity of a model: the root over all tensors, and facts about them.

    `dtype` is the safetensors name of the dtype that most parameters have. `parts` are the module
    folders that sentence-transformers loads with the model; the root does not cover them.
    `comparison` is the result of `identify(path, against=other)`.
    """

    root: str
    tensors: int
    parameters: int
    architecture: str
    dtype: str
    parts: tuple[str, ...] = field(default=(), repr=False)
    comparison: ModelComparison | None = field(default=None, repr=False)

    @classmethod
    def of(cls, identified: "Identified") -> Self:
        """Convert a flow's result."""
        identity = identified.identity
        return cls(
            root=str(identity.root),
            tensors=len(identity.leaves),
            parameters=identity.parameters,
            architecture=identified.architecture,
            dtype=identity.dtype,
            parts=identified.parts,
            comparison=ModelComparison.of(identified),
        )


@dataclass(frozen=True)
class Pack:
    """A SkillPack in a file, all its digests verified. Sizes are in bytes.

    `relative_error` is ‖Δ - Δ̂‖/‖Δ‖ over all tensors, 0 for a lossless pack; `ratio` is
    `delta_bytes` over `payload_bytes`. `manifest` is the JSON document of the pack, `file` the
    opened file, with the parsed manifest.
    """

    path: Path
    digest: str
    skill: str
    version: str
    scheme: str
    base_root: str
    result_root: str
    payload_bytes: int = field(repr=False)
    delta_bytes: int = field(repr=False)
    ratio: float = field(repr=False)
    relative_error: float | None
    manifest: Mapping[str, Any] = field(repr=False)
    file: "PackFile" = field(repr=False, compare=False)

    @classmethod
    def of(cls, file: "PackFile") -> Self:
        """Convert an opened pack file."""
        manifest = file.manifest
        compression = manifest.compression
        return cls(
            path=file.path,
            digest=str(file.digest),
            skill=str(manifest.skill),
            version=str(manifest.version),
            scheme=compression.scheme,
            base_root=str(manifest.base.root),
            result_root=str(manifest.result_root),
            payload_bytes=compression.payload_bytes,
            delta_bytes=compression.delta_bytes,
            ratio=compression.ratio,
            relative_error=compression.relative_error,
            manifest=manifest.to_dict(),
            file=file,
        )

    def plot(self, target: str | Path) -> None:
        """Draw bytes by module kind and layer, and the errors of a lossy pack, as PNG, SVG or PDF.

        The ending of `target` chooses the format. Raises `UsageError` for another ending, and if
        matplotlib is not installed.
        """
        with needs_matplotlib("`--plot` draws"):
            from skillpm.flows.inspect.picture import write_picture
        write_picture(self.file, Path(target))


@dataclass(frozen=True)
class VerifiedPack:
    """A pack that passed verification.

    `root` is the recomputed root of base + pack. It is None if no base was given; then only the
    digests and the consistency of the manifest were checked. `claims` are paths in the manifest of
    statements that cannot be recomputed, such as the error against the tuned model; `unchecked` has
    their values and the reasons.
    """

    pack: Pack
    root: str | None
    claims: tuple[str, ...]
    unchecked: "tuple[Claim, ...]" = field(default=(), repr=False)

    @classmethod
    def of(cls, verified: "Verified") -> Self:
        """Convert a flow's result."""
        root = None if verified.root is None else str(verified.root)
        paths = tuple(claim.path for claim in verified.claims)
        return cls(Pack.of(verified.pack), root, paths, verified.claims)
