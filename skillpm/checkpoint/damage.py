"""Detect incomplete downloads of a model: Git LFS pointers and broken links."""

from pathlib import Path

from skillpm.errors import NotFoundError, SpecError

_POINTER = b"version https://git-lfs.github.com/spec/"
POINTER_BYTES = len(_POINTER)
_INCOMPLETE = "the folder is incomplete: download the model again"


def check_no_pointer(data: bytes, path: Path) -> None:
    """Raise `SpecError` if the first bytes of a file are those of a Git LFS pointer.

    A clone without `git lfs pull` has such pointers in place of the files. Source: the Git LFS
    specification, "The Pointer": its first line is `version` and a URL.
    """
    if data.startswith(_POINTER):
        raise SpecError(
            f"`{path}` is a Git LFS pointer, not the file itself",
            hint=f"to download the file: `git -C {path.parent} lfs pull`",
        )


def check_no_broken_links(folder: Path) -> None:
    """Raise `NotFoundError` if a link in a folder has no target.

    A Hugging Face cache that lost a blob has such links. Hidden files are ignored: they are not
    part of a model. Costs one listing.
    """
    for entry in sorted(folder.iterdir()):
        if not entry.name.startswith(".") and is_broken_link(entry):
            raise missing_file(entry)


def is_broken_link(path: Path) -> bool:
    """Whether the path is a link without a target."""
    return path.is_symlink() and not path.exists()


def missing_file(path: Path) -> NotFoundError:
    """The error for a missing file or a broken link."""
    if is_broken_link(path):
        return NotFoundError(
            f"`{path}` is a broken link: its target `{path.readlink()}` does not exist",
            hint=_INCOMPLETE,
        )
    return NotFoundError(f"there is no file `{path}`", hint=_INCOMPLETE)
