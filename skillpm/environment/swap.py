"""Swapping a finished folder into its place: a graft is the old one or the new one."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skillpm.checkpoint.folder import is_graft
from skillpm.journal.atomic import sync_folder

GRAFT = "graft"


def is_replaceable(target: Path) -> bool:
    """Whether a graft may take this place: nothing there, an empty folder, or a graft of ours."""
    if target.is_symlink() or not target.is_dir():
        return not target.exists() and not target.is_symlink()
    return is_graft(target) or not any(target.iterdir())


@dataclass(frozen=True)
class Swap:
    """A folder that is being made beside its target, to take its place."""

    target: Path
    staged: Path
    old: Path

    def plain(self, *, ready: bool) -> dict[str, Any]:
        """As the journal holds it; `ready` once the staged folder is whole."""
        paths = {"target": self.target, "staged": self.staged, "old": self.old}
        return {"kind": GRAFT, "ready": ready, **{key: str(path) for key, path in paths.items()}}

    def complete(self) -> bool:
        """Put the staged folder in the target's place; may be called again after a kill.

        False where something else has come to lie there since: it stays, the staged folder goes.
        """
        if self.staged.exists() and not is_replaceable(self.target):
            self.discard()
            return False
        if self.staged.exists():
            if self.target.exists():
                shutil.rmtree(self.old, ignore_errors=True)
                self.target.rename(self.old)
            self.staged.rename(self.target)
            sync_folder(self.target.parent)
        shutil.rmtree(self.old, ignore_errors=True)
        return True

    def discard(self) -> None:
        """Leave nothing of the staged folder."""
        shutil.rmtree(self.staged, ignore_errors=True)


def recover_swap(plain: dict[str, Any]) -> list[str]:
    """Complete a swap that was cut off, or remove what was being made; say so."""
    swap = Swap(*(Path(plain[key]) for key in ("target", "staged", "old")))
    if not plain["ready"]:
        swap.discard()
        return []
    if swap.complete():
        return [f"completed the graft in `{swap.target}`, which was cut off"]
    return [f"`{swap.target}` is no graft of ours any more: it is left as it is"]
