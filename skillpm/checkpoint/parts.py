"""Models of several parts: find the folders beside the weights that a library loads.

Such parts are the modules of sentence-transformers and the components of diffusers.
"""

from pathlib import Path
from typing import Any

from skillpm.checkpoint.files import OpenFile
from skillpm.errors import SpecError
from skillpm.spec import json
from skillpm.spec.parts import MODULES, folders_of, is_part_folder

PIPELINE = "model_index.json"
"""The file from which diffusers loads a pipeline of several models."""
_SUFFIXES = (".safetensors", ".bin")


def module_folders(place: Path) -> tuple[str, ...]:
    """The folders that the `modules.json` of a folder names; empty without a valid one."""
    return folders_of(_document(place / MODULES)) or ()


def is_of_a_part(path: Path, folders: tuple[str, ...]) -> bool:
    """Whether a relative path is in one of these folders, or in a folder named like a part."""
    above = path.parts[:-1]
    return bool(above) and (above[0] in folders or is_part_folder(above[0]))


def check_one_model(place: Path) -> None:
    """Raise `SpecError` if a folder is a diffusers pipeline, which consists of several models."""
    index = _document(place / PIPELINE)
    listed = sorted(index) if isinstance(index, dict) else []
    components = [name for name in listed if _has_weights(place, name)]
    if components:
        raise SpecError(
            f"`{place}` is a diffusers pipeline of several models ({_quoted(components)}), which "
            "cannot be packed as a whole",
            hint=_component_hint(place, components[-1]),
        )


def no_model_at(place: Path) -> SpecError | None:
    """The error for a folder without weights whose subfolders have weights; None otherwise."""
    modules = [name for name in module_folders(place) if _has_weights(place, name)]
    if modules:
        return SpecError(
            f"`{place}` is a sentence-transformers model with its transformer in "
            f"`{modules[0]}` instead of beside `{MODULES}`",
            hint="to save it in the layout that skillpm reads: "
            '`python -c "from sentence_transformers import SentenceTransformer as S; '
            f"S('{place}').save_pretrained('DIR')\"`; or {_component_hint(place, modules[0])}",
        )
    parts = list(dict.fromkeys(sorted(path.parent.name for path in place.glob("*/*.safetensors"))))
    if not parts:
        return None
    return SpecError(
        f"`{place}` has no model of its own, but several parts ({_quoted(parts)}), which cannot be "
        "packed as a whole",
        hint=_component_hint(place, parts[0]),
    )


def _component_hint(place: Path, name: str) -> str:
    return (
        f"to pack only `{name}`: "
        f"`skillpm pack {place / name} TUNED/{name} --name NAMESPACE/NAME --version VERSION`"
    )


def _has_weights(place: Path, name: str) -> bool:
    """Whether a direct subfolder contains weights. `name` is untrusted and may not be a path."""
    folder = place / name
    plain = name not in ("", ".", "..") and "/" not in name and "\0" not in name
    return plain and folder.is_dir() and any(e.suffix in _SUFFIXES for e in folder.iterdir())


def _quoted(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _document(path: Path) -> Any:
    """The content of a small JSON file; None if it does not exist or is not JSON."""
    try:
        if not path.is_file():
            return None
        file = OpenFile(path)
        if file.size > json.SIZE_LIMIT:
            return None
        return json.parse(file.read(0, file.size), f"`{path}`", foreign=True)
    except SpecError:
        return None
