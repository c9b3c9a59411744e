"""An independent check that two model directories hold the same tensors."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from safetensors import safe_open

if TYPE_CHECKING:
    from pathlib import Path


def fingerprint(folder: Path) -> str:
    """Hash every tensor's name, type, shape and bytes, read by safetensors alone.

    It shares no code with skillpm, so it detects differences even if skillpm's roots are wrong. It
    reads only the one-file models of this demo, and its value is not a root.
    """
    digest = hashlib.sha256()
    with safe_open(folder / "model.safetensors", framework="numpy") as file:
        for name in sorted(file.keys()):
            tensor = file.get_tensor(name)
            digest.update(f"{name}\0{tensor.dtype}\0{tensor.shape}\0".encode())
            digest.update(tensor.tobytes())
    return digest.hexdigest()
