"""The small files of a model folder: what comes along into a graft."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from skillpm.checkpoint.damage import is_broken_link, missing_file
from skillpm.checkpoint.model import ADAPTER, Checkpoint
from skillpm.checkpoint.parts import is_of_a_part, module_folders
from skillpm.files.errors import kind_of
from skillpm.files.folder import Folder
from skillpm.files.tree import entries

STAMP = ".skillpm-graft.json"
_WEIGHTS = frozenset({
    ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack", ".onnx",
    ".gguf", ".ot", ".npz", ".tflite", ".onnx_data",
})  # fmt: skip
_INDEX_ENDS = (".safetensors.index.json", ".bin.index.json")


def is_graft(folder: Path) -> bool:
    """Whether a folder is a graft that skillpm wrote; no link is followed."""
    try:
        place, record = folder.lstat(), (folder / STAMP).lstat()
    except OSError:
        return False
    return stat.S_ISDIR(place.st_mode) and stat.S_ISREG(record.st_mode)


def foreign_entries(folder: Path) -> Iterator[tuple[str, str]]:
    """What no graft holds: each link, pipe or device below a folder, and what it is.

    A graft with such an entry is not read any further: a link leads out of it.
    """
    with Folder.open(folder) as opened:
        for path in entries(opened):
            status = (folder / path).lstat()
            if not stat.S_ISREG(status.st_mode):
                yield path, kind_of(status.st_mode)


def small_files(model: Checkpoint) -> Iterator[Path]:
    """Files beside the weights, as sorted paths relative to the folder; subfolders too.

    The model's weights in any format, hidden files and hidden folders stay behind. Raises
    `NotFoundError` for a broken link: without that file the model would be another one.
    """
    if model.folder is not None:
        yield from small_files_in(model.folder)


def small_files_in(place: Path) -> Iterator[Path]:
    """As `small_files`, of a folder: a model's, or an adapter's.

    The folders of a model's modules come whole: their weights are no other form of the model's.
    """
    named = module_folders(place)
    for relative in _visible_files(place):
        if _is_weight(relative) and not is_of_a_part(relative, named):
            continue
        if is_broken_link(place / relative):
            raise missing_file(place / relative)
        if (place / relative).is_file():
            yield relative


def other_weights_in(place: Path) -> Iterator[Path]:
    """Weights in a form that no graft has: of other libraries, or exported for one (`onnx/`)."""
    named = module_folders(place)
    for relative in _visible_files(place):
        if _is_weight(relative) and not is_of_a_part(relative, named):
            model = relative.suffix == ".safetensors" or relative.name.endswith(_INDEX_ENDS)
            if not model and relative.name != ADAPTER and (place / relative).is_file():
                yield relative


def _visible_files(place: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(place, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(folder, name).relative_to(place)


def _is_weight(path: Path) -> bool:
    """Other forms of the model's weights; a subfolder's safetensors are a module of their own.

    An adapter beside the weights is no part of the model, and its config alone fails to load.
    """
    name = path.name
    if name == ADAPTER:
        return len(path.parts) == 1
    if path.suffix == ".safetensors":
        return len(path.parts) == 1
    openvino = name.startswith("openvino_") and path.suffix == ".xml"
    return path.suffix.lower() in _WEIGHTS or name.endswith(_INDEX_ENDS) or openvino
