"""Caches in the layout of huggingface_hub: blobs, refs, and snapshots of links into the blobs."""

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

FIRST, SECOND = "a1" * 20, "b2" * 20
"""Commits."""


def cache_model(
    hub: Path, name: str, source: Path, commit: str = FIRST, refs: Iterable[str] = ("main",)
) -> Path:
    """Put the files of a folder into a cache as a snapshot; return the snapshot's folder."""
    model = hub / f"models--{name.replace('/', '--')}"
    snapshot = model / "snapshots" / commit
    (model / "blobs").mkdir(parents=True, exist_ok=True)
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        blob = model / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copyfile(path, blob)
        link = snapshot / path.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    for ref in refs:
        place = model / "refs" / ref
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(commit)
    return snapshot
