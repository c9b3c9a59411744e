"""How a pack that was written is shown."""

from typing import TYPE_CHECKING, Any

from skillpm.cli.output import clean, compression_text, emit_lines, emit_table, error_text

if TYPE_CHECKING:
    from skillpm.flows.pack.pack import Packed


def show_packed(done: "Packed") -> None:
    """Print the pack's path, size and exactness, and every file that it does not carry."""
    compression = done.manifest.compression
    emit_lines(
        f"packed {done.manifest.ref} into {clean(done.path)}\n"
        f"  {compression_text(compression, size=done.file_bytes)}\n"
        f"  {_exactness(done)}\n"
        f"  {done.digest}"
    )
    if done.left_out:
        emit_lines("\nnot carried by the pack:")
        emit_table([(one.path, one.reason) for one in done.left_out], ("file", "reason"))


def _exactness(done: "Packed") -> str:
    """How near the pack comes to the tuned model, and what stands between it and exact."""
    text = error_text(done.manifest.compression.relative_error)
    if done.rounding is not None:
        what = "nothing" if not done.rounding else f"{100 * done.rounding:.2g} %"
        text = f"{text} after `--cast`, whose rounding changed {what} of the delta"
    missing = sum(one.is_read for one in done.left_out)
    if not missing:
        return text
    files = (
        "file that a library may read is" if missing == 1 else "files that libraries may read are"
    )
    return f"tensors: {text}; {missing} {files} not carried"


def packed_plain(done: "Packed") -> dict[str, Any]:
    """A written pack as documents hold it."""
    compression = done.manifest.compression
    return {
        "skill": str(done.manifest.skill),
        "version": str(done.manifest.version),
        "path": str(done.path),
        "digest": str(done.digest),
        "scheme": compression.scheme,
        "payload_bytes": compression.payload_bytes,
        "delta_bytes": compression.delta_bytes,
        "ratio": compression.ratio,
        "relative_error": compression.relative_error,
        "file_bytes": done.file_bytes,
        "result_root": str(done.manifest.result_root),
        "left_out": [{"path": one.path, "reason": one.reason} for one in done.left_out],
        "rounding": done.rounding,
    }
