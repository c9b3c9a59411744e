"""Look up models in the local cache of the Hugging Face hub. Never downloads."""

import os
import re
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)


def cached_snapshot(name: str, revision: str | None = None) -> Path | None:
    """The folder of a model at a revision (default: `main`); None if it is not in the cache."""
    commit = revision or "main"
    if _NAME.fullmatch(name) is None or _REVISION.fullmatch(commit) is None:
        return None
    model = _cache() / f"models--{name.replace('/', '--')}"
    if _COMMIT.fullmatch(commit) is None:
        try:
            commit = (model / "refs" / commit).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
        if _COMMIT.fullmatch(commit) is None:
            return None
    folder = model / "snapshots" / commit
    return folder if folder.is_dir() else None


def _cache() -> Path:
    """The cache folder of `huggingface_hub`, from the environment variables that it reads."""
    own = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if own:
        return Path(own).expanduser()
    home = os.environ.get("HF_HOME")
    data = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home or f"{data}/huggingface").expanduser() / "hub"
