"""Check the footprint against base and payload: order, layers, removed tensors, names."""

from skillpm.delta.tensors.module_kinds import block_of
from skillpm.delta.tensors.pairing import Renaming
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import FootprintEntry, Manifest
from skillpm.spec.manifest_parts import NO_CODEC
from skillpm.verification.evidence import Decoded, Discrepancies, Discrepancy


def check_footprint_form(manifest: Manifest) -> Discrepancies:
    """Check that entries are sorted by name, and that each block has its own payload layer."""
    names = [entry.tensor for entry in manifest.footprint]
    for index, (name, expected) in enumerate(zip(names, sorted(names), strict=True)):
        if name != expected:
            yield Discrepancy(
                f"footprint[{index}].tensor", name, f"`{expected}`: entries are sorted by name"
            )
            break
    blocks: dict[str, Digest] = {}
    layers: dict[Digest, str] = {}
    for index, entry in enumerate(manifest.footprint):
        if entry.layer is None:
            continue
        block, path = block_of(entry.tensor), f"footprint[{index}].layer"
        if blocks.setdefault(block, entry.layer) != entry.layer:
            yield Discrepancy(path, entry.layer, f"one layer for the block `{block}`")
        if layers.setdefault(entry.layer, block) != block:
            yield Discrepancy(
                path, entry.layer, f"a layer other than that of block `{layers[entry.layer]}`"
            )


def check_entries(manifest: Manifest, decoded: Decoded) -> Discrepancies:
    """Check what decoding does not check: removed tensors, codecs, and names in the tuned model."""
    renaming = _renaming(manifest)
    for index, entry in enumerate(manifest.footprint):
        path = f"footprint[{index}]"
        if entry.change == "removed":
            yield from _check_removed(path, entry, decoded)
            if entry.source is not None:
                yield Discrepancy(f"{path}.from", entry.source, "no name: the tensor is removed")
        elif renaming is not None or not manifest.architecture_facts.names:
            yield from _check_source(path, entry, renaming or Renaming())
        elif entry.source == entry.tensor:
            yield Discrepancy(
                f"{path}.from", entry.source, "a name other than `tensor`, or no name"
            )


def _check_removed(path: str, entry: FootprintEntry, decoded: Decoded) -> Discrepancies:
    before = decoded.specs.get(entry.tensor)
    if before is None:
        yield Discrepancy(
            f"{path}.change",
            entry.change,
            "a tensor of the model that the pack was encoded against",
        )
        return
    if entry.shape != before.shape:
        yield Discrepancy(f"{path}.shape", list(entry.shape), list(before.shape))
    if entry.dtype != before.dtype:
        yield Discrepancy(f"{path}.dtype", entry.dtype, before.dtype)
    if entry.codec != NO_CODEC:
        yield Discrepancy(f"{path}.codec", entry.codec, NO_CODEC)


def _check_source(path: str, entry: FootprintEntry, renaming: Renaming) -> Discrepancies:
    """Check a name in the tuned model against the stated prefixes; an equal name is left out."""
    if renaming.to_graft(entry.source or entry.tensor) != entry.tensor:
        yield Discrepancy(f"{path}.from", entry.source, "the name that `settings.renamed` gives")
    elif entry.source == entry.tensor:
        yield Discrepancy(f"{path}.from", entry.source, "a name other than `tensor`, or no name")


def _renaming(manifest: Manifest) -> Renaming | None:
    """Return the prefixes in the settings, or None."""
    stated = manifest.compression.settings.get("renamed")
    if not isinstance(stated, dict):
        return None
    base, tuned = stated.get("base"), stated.get("tuned")
    return Renaming(base, tuned) if isinstance(base, str) and isinstance(tuned, str) else None


def check_renaming(manifest: Manifest) -> Discrepancies:
    """Check that `settings.renamed` has two prefixes."""
    settings = manifest.compression.settings
    if "renamed" in settings and _renaming(manifest) is None:
        path = "compression.settings.renamed"
        yield Discrepancy(path, settings["renamed"], "two prefixes, `base` and `tuned`")
