"""The formats of pictures, by the ending of the file's name. Imports no drawing library."""

from pathlib import Path
from typing import Literal, get_args

from skillpm.errors import UsageError
from skillpm.files.output import check_output

Format = Literal["png", "svg", "pdf"]
FORMATS: tuple[Format, ...] = get_args(Format)
METAVAR = "FILE.{png|svg|pdf}"


def picture_format(path: Path) -> Format:
    """Return the format that the ending of a file's name chooses.

    Raises `UsageError` for any other ending.
    """
    ending = path.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        endings = ", ".join(f"`.{name}`" for name in FORMATS)
        named = path.name.strip("-.") != ""
        raise UsageError(
            f"`--plot` expects a file name that ends in one of {endings}, found `{path}`",
            hint=f"--plot {path.with_suffix('.png') if named else 'picture.png'}",
        )
    return ending


def check_picture(path: Path) -> None:
    """Raise `UsageError` for another ending, `StateError` if the file cannot be written."""
    picture_format(path)
    check_output(path)
