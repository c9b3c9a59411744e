"""All checks of a pack, in one place: with its documents alone, and decoded on its base."""

from collections.abc import Collection, Iterable

from skillpm.errors import IntegrityError
from skillpm.spec.manifest import Manifest
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
from skillpm.verification.relations import check_lower, check_requirements
from skillpm.verification.router import check_signature
from skillpm.verification.schemes import check_scheme

_LISTED = 50


class FalseManifestError(IntegrityError):
    """A manifest that says of its pack what is not so."""

    def __init__(self, manifest: Manifest, discrepancies: Iterable[Discrepancy]) -> None:
        self.discrepancies = tuple(discrepancies)
        lines = [f"  {one}" for one in self.discrepancies[:_LISTED]]
        if len(self.discrepancies) > _LISTED:
            lines.append(f"  … and {len(self.discrepancies) - _LISTED} more")
        super().__init__(
            "\n".join([f"the manifest of {manifest.ref} does not hold:", *lines]),
            hint="do not use this pack; ask its author for one that `skillpm pack` made",
        )


def check_documents(
    pack: PackDocuments, *, shown: bool = False, decodes: bool = False
) -> tuple[Discrepancy, ...]:
    """Hold the documents of a pack against each other. Raises `FalseManifestError`.

    With `shown`, what registries show of the pack is compared too. Where the pack `decodes` later,
    what is false but does not keep it from being decoded is returned instead, to be listed with
    what follows.
    """
    manifest = pack.manifest
    form = [*check_footprint_form(manifest), *check_renaming(manifest)]
    found = [
        *(check_annotations(pack.image, manifest) if shown else ()),
        *check_requirements(manifest),
        *check_capabilities(pack),
        *check_signature(pack),
        *check_sizes(manifest),
        *check_errors(manifest),
        *form,
    ]
    if form or not decodes:
        refuse_false(manifest, found)
    return tuple(found)


def check_decoded(
    pack: PackDocuments,
    decoded: Decoded,
    base: BaseFacts,
    earlier: Iterable[Discrepancy] = (),
) -> None:
    """Hold a manifest against its decoded payload and the base.

    Raises `FalseManifestError`, which lists the `earlier` discrepancies first.
    """
    manifest = pack.manifest
    refuse_false(
        manifest,
        [
            *earlier,
            *check_base_facts(manifest, base),
            *check_architecture_facts(manifest, base),
            *check_lower(manifest, decoded),
            *check_removed_files(manifest, base),
            *check_entries(manifest, decoded),
            *check_modules(manifest, decoded.tensors),
            *check_scheme(manifest, decoded.tensors, pack.size),
            *check_sketch(manifest, decoded.tensors),
        ],
    )


def refuse_false(manifest: Manifest, discrepancies: Collection[Discrepancy]) -> None:
    """Raise `FalseManifestError` where there is any discrepancy."""
    if discrepancies:
        raise FalseManifestError(manifest, discrepancies)
