"""All checks of a pack: of its documents alone, and of the pack decoded on its base."""

from collections.abc import Collection, Iterable

from skillpm.errors import IntegrityError
from skillpm.spec.manifest import Manifest
from skillpm.spec.words import counted
from skillpm.verification.architecture import check_architecture_facts
from skillpm.verification.base import check_base_facts
from skillpm.verification.capabilities import check_capabilities
from skillpm.verification.compression import (
    check_errors,
    check_modules,
    check_sizes,
    check_sketch,
)
from skillpm.verification.evidence import BaseFacts, Decoded, Discrepancy, PackDocuments
from skillpm.verification.files import check_removed_files
from skillpm.verification.footprint import check_entries, check_footprint_form, check_renaming
from skillpm.verification.image import check_annotations
from skillpm.verification.relations import check_layered_on, check_requirements
from skillpm.verification.router import check_signature
from skillpm.verification.schemes import check_scheme

_LISTED = 50


class FalseManifestError(IntegrityError):
    """A manifest with statements that recomputation contradicts."""

    def __init__(self, manifest: Manifest, discrepancies: Iterable[Discrepancy]) -> None:
        self.discrepancies = tuple(discrepancies)
        statements = counted(len(self.discrepancies), "false statement")
        lines = [f"  {discrepancy}" for discrepancy in self.discrepancies[:_LISTED]]
        if len(self.discrepancies) > _LISTED:
            lines.append(f"  … and {len(self.discrepancies) - _LISTED} more")
        super().__init__(
            "\n".join([f"the manifest of {manifest.ref} has {statements}:", *lines]),
            hint="do not use this pack; its author can build a correct one with `skillpm pack`",
        )


def check_documents(
    pack: PackDocuments, *, shown: bool = False, decodes: bool = False
) -> tuple[Discrepancy, ...]:
    """Compare the documents of a pack with each other. Raises `FalseManifestError`.

    With `shown`, compares the OCI annotations, which registries display, too. With `decodes`, the
    caller decodes the pack afterwards: discrepancies that do not prevent decoding are returned, to
    be reported with those of `check_decoded`.
    """
    manifest = pack.manifest
    form = [*check_footprint_form(manifest), *check_renaming(manifest)]
    discrepancies = [
        *(check_annotations(pack.image, manifest) if shown else ()),
        *check_requirements(manifest),
        *check_capabilities(pack),
        *check_signature(pack),
        *check_sizes(manifest),
        *check_errors(manifest),
        *form,
    ]
    if form or not decodes:
        refuse_false(manifest, discrepancies)
    return tuple(discrepancies)


def check_decoded(
    pack: PackDocuments,
    decoded: Decoded,
    base: BaseFacts,
    earlier: Iterable[Discrepancy] = (),
) -> None:
    """Compare a manifest with its decoded payload and the base.

    Raises `FalseManifestError`, which lists the `earlier` discrepancies first.
    """
    manifest = pack.manifest
    refuse_false(
        manifest,
        [
            *earlier,
            *check_base_facts(manifest, base),
            *check_architecture_facts(manifest, base),
            *check_layered_on(manifest, decoded),
            *check_removed_files(manifest, base),
            *check_entries(manifest, decoded),
            *check_modules(manifest, decoded.tensors),
            *check_scheme(manifest, decoded.tensors, pack.size),
            *check_sketch(manifest, decoded.tensors),
        ],
    )


def refuse_false(manifest: Manifest, discrepancies: Collection[Discrepancy]) -> None:
    """Raise `FalseManifestError` if there is any discrepancy."""
    if discrepancies:
        raise FalseManifestError(manifest, discrepancies)
