"""Models of several parts: which folders beside the weights a library loads by name."""

from pathlib import Path
from typing import Any

from skillpm.checkpoint.files import OpenFile
from skillpm.errors import SpecError
from skillpm.spec import json
from skillpm.spec.parts import MODULES, PICKLE, WEIGHTS, folders_of, is_part_folder

PIPELINE = "model_index.json"
"""What diffusers loads a pipeline of several models by."""
_SUFFIXES = (".safetensors", ".bin")


def module_folders(place: Path) -> tuple[str, ...]:
    """The folders that the `modules.json` of a folder names; none where it names no modules."""
    return folders_of(_document(place / MODULES)) or ()


def is_of_a_part(path: Path, named: tuple[str, ...]) -> bool:
    """Whether a relative path lies in the folder of a module, by `modules.json` or by its name."""
    folders = path.parts[:-1]
    return bool(folders) and (folders[0] in named or is_part_folder(folders[0]))


def check_one_model(place: Path) -> None:
    """Raise `SpecError` where a folder is a pipeline of diffusers: several models, each its own."""
    index = _document(place / PIPELINE)
    listed = sorted(index) if isinstance(index, dict) else []
    components = [name for name in listed if _holds_weights(place, name)]
    if components:
        raise SpecError(
            f"`{place}` is a diffusers pipeline of several models ({_quoted(components)}), which "
            "are not packed as a whole",
            hint=_component_hint(place, components[-1]),
        )


def no_model_at(place: Path) -> SpecError | None:
    """The error of a folder without weights of its own whose subfolders have some; None else."""
    named = [name for name in module_folders(place) if _holds_weights(place, name)]
    if named:
        return SpecError(
            f"`{place}` keeps the transformer of a sentence-transformers model in "
            f"`{named[0]}`, not beside `{MODULES}`",
            hint=f'`python -c "from sentence_transformers import SentenceTransformer as S; '
            f"S('{place}').save_pretrained('DIR')\"` writes it anew, all parts in one model; "
            f"{_component_hint(place, named[0])} without the other parts",
        )
    found = sorted(path.parent.name for path in place.glob("*/*.safetensors"))
    parts = list(dict.fromkeys(found))
    if not parts:
        return None
    return SpecError(
        f"`{place}` is a folder of several parts ({_quoted(parts)}), which are not packed as a "
        "whole",
        hint=_component_hint(place, parts[0]),
    )


def _component_hint(place: Path, name: str) -> str:
    return (
        f"`skillpm pack {place / name} TUNED/{name} --name NAMESPACE/NAME --version VERSION` "
        f"packs `{name}` alone"
    )


def _holds_weights(place: Path, name: str) -> bool:
    """Whether a subfolder that a stranger's file names holds weights; no path leads out of here."""
    folder = place / name
    plain = name not in ("", ".", "..") and "/" not in name and "\0" not in name
    return plain and folder.is_dir() and any(e.suffix in _SUFFIXES for e in folder.iterdir())


def has_live_pickle(place: Path, folder: str) -> bool:
    """Whether the weights of a part are a pickle: there are no others that a library prefers."""
    return (place / folder / PICKLE).is_file() and not (place / folder / WEIGHTS).is_file()


def _quoted(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _document(path: Path) -> Any:
    """A small JSON file of a model; None where there is none, or it cannot be read as JSON."""
    try:
        if not path.is_file():
            return None
        file = OpenFile(path)
        if file.size > json.SIZE_LIMIT:
            return None
        return json.parse(file.read(0, file.size), f"`{path}`", foreign=True)
    except SpecError:
        return None
