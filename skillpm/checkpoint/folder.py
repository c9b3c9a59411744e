"""The small files of a model folder: what comes along into a graft."""

import os
from collections.abc import Iterator
from pathlib import Path

from skillpm.checkpoint.damage import is_broken_link, missing_file
from skillpm.checkpoint.model import INDEX, Checkpoint

STAMP = ".skillpm-graft.json"
_WEIGHTS = frozenset({
    ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack", ".onnx",
    ".gguf", ".ot", ".npz", ".tflite",
})  # fmt: skip
_INDEX_ENDS = (".safetensors.index.json", ".bin.index.json")


def is_graft(folder: Path) -> bool:
    """Whether a folder is a graft of ours."""
    return (folder / STAMP).is_file()


def small_files(model: Checkpoint) -> Iterator[Path]:
    """Files beside the weights, as sorted paths relative to the folder; subfolders too.

    The model's weights in any format, hidden files and hidden folders stay behind. Raises
    `NotFoundError` for a broken link: without that file the model would be another one.
    """
    if model.folder is None:
        return
    for folder, folders, files in os.walk(model.folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder, name)
            relative = path.relative_to(model.folder)
            if _is_weight(relative) or name.startswith("."):
                continue
            if is_broken_link(path):
                raise missing_file(path)
            if path.is_file():
                yield relative


def _is_weight(path: Path) -> bool:
    """Other forms of the model's weights; a subfolder's safetensors are a module of their own."""
    name = path.name
    if path.suffix == ".safetensors":
        return len(path.parts) == 1
    return path.suffix.lower() in _WEIGHTS or name.endswith(_INDEX_ENDS) or name == INDEX
