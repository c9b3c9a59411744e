"""Output of `pack`: the pack that was written, as text and as a JSON document."""

from typing import TYPE_CHECKING

from skillpm.cli.documents import PackDocument
from skillpm.cli.effects import effect_documents, effect_lines
from skillpm.cli.output import clean, emit_lines, emit_table
from skillpm.files.shown import shown
from skillpm.spec.pack_texts import compression_text, error_text

if TYPE_CHECKING:
    from skillpm.api.results import Packed


def show_packed(packed: "Packed") -> None:
    """Print the pack's path, sizes and error, and every file that it does not carry."""
    compression = packed.manifest.compression
    emit_lines(
        f"packed {packed.manifest.ref} into {clean(shown(packed.path))}\n"
        f"  {compression_text(compression, size=packed.file_bytes)}\n"
        f"  {_exactness(packed)}\n"
        + "".join(f"  {line}\n" for line in effect_lines(packed.manifest))
        + f"  {packed.digest}"
    )
    if packed.left_out:
        emit_lines("\nnot carried by the pack:")
        emit_table([(file.path, file.reason) for file in packed.left_out], ("file", "reason"))


def _exactness(packed: "Packed") -> str:
    """The error against the tuned model, what `--cast` changed, and files that are missing."""
    relative = packed.manifest.compression.relative_error
    missing = sum(file.is_read for file in packed.left_out)
    if not (relative or packed.rounding is not None or missing):
        return "exact: base + pack is the tuned model, bit for bit"
    text = error_text(relative)
    if packed.rounding is not None:
        share = "nothing" if not packed.rounding else f"{100 * packed.rounding:.2g} %"
        text = f"{text} after `--cast`, whose rounding changed {share} of the delta"
    if not missing:
        return text
    files = (
        "file that a library may read is" if missing == 1 else "files that libraries may read are"
    )
    return f"tensors: {text}; {missing} {files} not carried"


def pack_document(packed: "Packed") -> PackDocument:
    """A written pack as a JSON document."""
    compression = packed.manifest.compression
    return {
        "skill": str(packed.manifest.skill),
        "version": str(packed.manifest.version),
        "path": str(packed.path),
        "digest": str(packed.digest),
        "scheme": compression.scheme,
        "payload_bytes": compression.payload_bytes,
        "delta_bytes": compression.delta_bytes,
        "ratio": compression.ratio,
        "relative_error": compression.relative_error,
        "file_bytes": packed.file_bytes,
        "result_root": str(packed.manifest.result_root),
        "left_out": [{"path": file.path, "reason": file.reason} for file in packed.left_out],
        "rounding": packed.rounding,
        "effects": effect_documents(packed.manifest),
    }
