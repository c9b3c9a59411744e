"""Damage that transfers do to a model's folder, recognised before it is taken for a model."""

from pathlib import Path

from skillpm.errors import NotFoundError, SpecError

_POINTER = b"version https://git-lfs.github.com/spec/"
POINTER_BYTES = len(_POINTER)


def check_no_pointer(data: bytes, path: Path) -> None:
    """Raise `SpecError` where a file's first bytes are those of a Git LFS pointer.

    That is what a clone without `git lfs pull` has for a file. Source: the Git LFS specification,
    "The Pointer": its first line is `version` and a URL.
    """
    if data.startswith(_POINTER):
        raise SpecError(
            f"`{path}` is a Git LFS pointer, not the file itself",
            hint=f"`git -C {path.parent} lfs pull` downloads it",
        )


def check_no_broken_links(folder: Path) -> None:
    """Raise `NotFoundError` where a link of a folder leads to no file.

    A hub cache that lost a blob has such links; without that file the model is another one. Costs
    one listing. Hidden files are not part of a model.
    """
    for entry in sorted(folder.iterdir()):
        if not entry.name.startswith(".") and is_broken_link(entry):
            raise missing_file(entry)


def is_broken_link(path: Path) -> bool:
    """Whether the path is a link that leads to no file."""
    return path.is_symlink() and not path.exists()


def missing_file(path: Path) -> NotFoundError:
    """The error of a file that is not there; a broken link is named as one."""
    if is_broken_link(path):
        return NotFoundError(
            f"`{path}` is a broken link: there is no file `{path.readlink()}`",
            hint="download the model again: its folder is incomplete",
        )
    return NotFoundError(f"there is no file `{path}`")
