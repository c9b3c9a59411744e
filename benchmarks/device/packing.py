"""Packs of a base and a fine-tune in every scheme, made on a device and verified on the CPU."""

from pathlib import Path
from typing import Any

from benchmarks.tools.running import skillpm


def pack_all(
    folder: Path, base: Path, tuned: Path, device: str, budget: str, calibration: Path | None
) -> dict[str, Any]:
    """Pack by each scheme; return seconds, processor seconds, bytes and error by scheme.

    `verify --base` decodes every pack on the CPU; a pack that does not verify ends the benchmark.
    """
    schemes: dict[str, tuple[str, ...]] = {
        "lossless": (),
        f"auto {budget}": ("--budget", budget),
        "auto keep 0.9": ("--keep", "0.9"),
        "graftllm": ("--scheme", "graftllm"),
    }
    if calibration is not None:
        asked = ("--budget", budget, "--calibration", str(calibration))
        schemes[f"auto {budget}, calibrated"] = asked
    return {
        name: _pack(folder, base, tuned, device, number, options)
        for number, (name, options) in enumerate(schemes.items())
    }


def _pack(
    folder: Path, base: Path, tuned: Path, device: str, number: int, options: tuple[str, ...]
) -> dict[str, Any]:
    path, home = folder / f"scheme-{number}.skillpack", folder / "home"
    if options:  # exact encoding has no tensor maths
        options = (*options, "--device", device)
    path.unlink(missing_ok=True)
    asked = ("--name", f"acme/scheme{number}", "--version", "1.0.0", "-o", str(path))
    packed = skillpm("pack", str(base), str(tuned), *asked, *options, home=home)
    skillpm("verify", str(path), "--base", str(base), home=home)
    return {
        "seconds": packed.seconds,
        "processor": packed.processor,
        "bytes": path.stat().st_size,
        "relative_error": packed.document["relative_error"],
    }
