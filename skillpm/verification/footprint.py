"""The footprint against base and payload: order, removed tensors, grouping, names."""

from skillpm.delta.tensors.module_kinds import block_of
from skillpm.delta.tensors.pairing import Renaming
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import FootprintEntry, Manifest
from skillpm.verification.evidence import Decoded, Discrepancies, Discrepancy

REMOVED = "none"


def check_footprint_form(manifest: Manifest) -> Discrepancies:
    """Entries in the order of their names; one payload layer for each block, one block a layer."""
    names = [entry.tensor for entry in manifest.footprint]
    for place, (name, expected) in enumerate(zip(names, sorted(names), strict=True)):
        if name != expected:
            yield Discrepancy(f"footprint[{place}].tensor", name, f"`{expected}`, by name")
            break
    blocks: dict[str, Digest] = {}
    layers: dict[Digest, str] = {}
    for place, entry in enumerate(manifest.footprint):
        if entry.layer is None:
            continue
        block, path = block_of(entry.tensor), f"footprint[{place}].layer"
        if blocks.setdefault(block, entry.layer) != entry.layer:
            yield Discrepancy(path, entry.layer, f"one layer for the block `{block}`")
        if layers.setdefault(entry.layer, block) != block:
            yield Discrepancy(path, entry.layer, f"another than `{layers[entry.layer]}` has")


def check_entries(manifest: Manifest, decoded: Decoded) -> Discrepancies:
    """What decoding alone does not show: removed tensors, codecs, and names in the tuned model."""
    renaming = _renaming(manifest)
    for place, entry in enumerate(manifest.footprint):
        path = f"footprint[{place}]"
        if entry.change == "removed":
            yield from _check_removed(path, entry, decoded)
            if entry.source is not None:
                yield Discrepancy(f"{path}.from", entry.source, "none: the tensor is removed")
        elif renaming is not None or not manifest.architecture_facts.names:
            yield from _check_source(path, entry, renaming or Renaming())
        elif entry.source == entry.tensor:
            yield Discrepancy(f"{path}.from", entry.source, "another name, or none")


def _check_removed(path: str, entry: FootprintEntry, decoded: Decoded) -> Discrepancies:
    before = decoded.specs.get(entry.tensor)
    if before is None:
        yield Discrepancy(f"{path}.change", entry.change, "a tensor of what the pack was cut from")
        return
    if entry.shape != before.shape:
        yield Discrepancy(f"{path}.shape", list(entry.shape), list(before.shape))
    if entry.dtype != before.dtype:
        yield Discrepancy(f"{path}.dtype", entry.dtype, before.dtype)
    if entry.codec != REMOVED:
        yield Discrepancy(f"{path}.codec", entry.codec, REMOVED)


def _check_source(path: str, entry: FootprintEntry, renaming: Renaming) -> Discrepancies:
    """A name in the tuned model is the one that the stated prefixes give, and is left out else."""
    if renaming.to_graft(entry.source or entry.tensor) != entry.tensor:
        yield Discrepancy(f"{path}.from", entry.source, "what `settings.renamed` gives")
    elif entry.source == entry.tensor:
        yield Discrepancy(f"{path}.from", entry.source, "another name, or none")


def _renaming(manifest: Manifest) -> Renaming | None:
    """The prefixes that the settings state; None where they state none."""
    stated = manifest.compression.settings.get("renamed")
    if not isinstance(stated, dict):
        return None
    base, tuned = stated.get("base"), stated.get("tuned")
    return Renaming(base, tuned) if isinstance(base, str) and isinstance(tuned, str) else None


def check_renaming(manifest: Manifest) -> Discrepancies:
    """`settings.renamed` is two prefixes, and `settings.cast_from` a list of dtypes."""
    settings = manifest.compression.settings
    if "renamed" in settings and _renaming(manifest) is None:
        path = "compression.settings.renamed"
        yield Discrepancy(path, settings["renamed"], "`base` and `tuned`, two prefixes")
