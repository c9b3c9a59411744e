"""Finished parts of the benchmark in one file, so that an interrupted run continues."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Part = Callable[[], dict[str, Any]]


def run_parts(path: Path, settings: dict[str, Any], parts: dict[str, Part]) -> dict[str, Any]:
    """Run the parts that the file does not have yet; write it after each.

    Parts of other settings (device, models) are dropped. Returns all results by part.
    """
    found = _read(path)
    if found.get("settings") != settings:
        found = {"settings": settings, "parts": {}}
    for name, part in parts.items():
        if name not in found["parts"]:
            found["parts"][name] = part()
            staged = path.with_suffix(".part")
            staged.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
            staged.replace(path)
    results: dict[str, Any] = found["parts"]
    return results


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
