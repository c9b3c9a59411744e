"""Sealed documents in the caches of the home, which only their owner can have written."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from skillpm.errors import SkillpmError
from skillpm.files.access import open_below
from skillpm.files.folder import READ_LIMIT
from skillpm.files.ownership import is_owner_only
from skillpm.spec.sealed import seal, unseal


def load_sealed(home: Path, *names: str, limit: int = READ_LIMIT) -> dict[str, Any] | None:
    """The content of the document at `cache/NAMES` of a home.

    None if the document is missing, damaged or larger than `limit` bytes, or if another user can
    write it or a folder above.
    """
    if not is_owner_only(home.joinpath("cache", *names)):
        return None
    try:
        with open_below(home, "cache", *names[:-1]) as folder:
            return unseal(folder.read(names[-1], limit=limit), f"cache/{'/'.join(names)}")
    except SkillpmError:
        return None


def save_sealed(home: Path, names: Sequence[str], content: dict[str, Any]) -> None:
    """Write the document at `cache/NAMES`. A cache that cannot be written is ignored."""
    *folders, name = names
    with suppress(SkillpmError), open_below(home, "cache", *folders, create=True) as folder:
        folder.write(name, seal(content))
