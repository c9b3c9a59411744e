"""Paths in the form in which commands print them, and paths without needless parts."""

import os
from os.path import expanduser
from pathlib import Path


def tidy(path: Path) -> Path:
    """The path without `..` after a folder that is no link: `a/../b` becomes `b`.

    After a link, `..` stays: it leads to the parent of the folder that the link names.
    """
    parts: list[str] = []
    for part in path.parts:
        before = Path(*parts) if parts else None
        if part != ".." or before is None or parts[-1] == ".." or before.is_symlink():
            parts.append(part)
        elif before != Path(before.anchor):
            parts.pop()
    return Path(*parts)


def shown(path: str | os.PathLike[str]) -> str:
    """The path as text: relative inside the working folder, `~/…` inside the user's folder.

    A shell reads the result as the same path, unless it needs quotes. Other paths are absolute.
    """
    whole = tidy(Path.cwd() / path)
    here, home = Path.cwd(), Path(expanduser("~"))  # noqa: PTH111 - `Path.home` may raise
    if whole == here:
        return "."
    if whole.is_relative_to(here):
        return str(whole.relative_to(here))
    if whole.is_relative_to(home) and home != Path(home.anchor):
        return str(Path("~") / whole.relative_to(home))
    return str(whole)
