"""The small files of a model folder, which a graft copies, and the record that marks a graft."""

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
    """Whether a folder is a graft that skillpm wrote. Follows no link."""
    try:
        place, record = folder.lstat(), (folder / STAMP).lstat()
    except OSError:
        return False
    return stat.S_ISDIR(place.st_mode) and stat.S_ISREG(record.st_mode)


def foreign_entries(folder: Path) -> Iterator[tuple[str, str]]:
    """The links, pipes and devices below a folder, each with its kind.

    A graft contains only regular files. A link may lead out of the graft, so it is not followed.
    """
    with Folder.open(folder) as opened:
        for path in entries(opened):
            status = (folder / path).lstat()
            if not stat.S_ISREG(status.st_mode):
                yield path, kind_of(status.st_mode)


def small_files(model: Checkpoint) -> Iterator[Path]:
    """The files beside the weights, subfolders included, as sorted paths relative to the folder.

    Leaves out the model's weights in any format, hidden files and hidden folders. Raises
    `NotFoundError` for a broken link: the model is incomplete without that file.
    """
    if model.folder is not None:
        yield from small_files_in(model.folder)


def small_files_in(place: Path) -> Iterator[Path]:
    """As `small_files`, for the folder of a model or an adapter.

    Folders of parts (`modules.json`) are included whole, with their weights.
    """
    folders = module_folders(place)
    for relative in _visible_files(place):
        if _is_weight(relative) and not is_of_a_part(relative, folders):
            continue
        if is_broken_link(place / relative):
            raise missing_file(place / relative)
        if (place / relative).is_file():
            yield relative


def other_weights_in(place: Path) -> Iterator[Path]:
    """Weights in other formats than safetensors, such as an ONNX export. A graft has none."""
    folders = module_folders(place)
    for relative in _visible_files(place):
        if _is_weight(relative) and not is_of_a_part(relative, folders):
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
    """Whether a file has weights of the model, in any format, or is the config of an adapter.

    A safetensors file in a subfolder belongs to another module. An adapter beside the weights is
    not part of the model, and a library fails to load its config without its weights.
    """
    name = path.name
    if name == ADAPTER:
        return len(path.parts) == 1
    if path.suffix == ".safetensors":
        return len(path.parts) == 1
    openvino = name.startswith("openvino_") and path.suffix == ".xml"
    return path.suffix.lower() in _WEIGHTS or name.endswith(_INDEX_ENDS) or openvino
