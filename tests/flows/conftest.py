"""Base and tuned model of three parts, made once."""

import shutil
from pathlib import Path

import pytest
from parts_worlds import ALL
from tiny_embedders import bert, embedder, tune


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `bert`, and a base and its tuned model of three parts."""
    folder = tmp_path_factory.mktemp("embedders")
    bert(folder / "bert")
    embedder(folder / "base", folder / "bert", *ALL)
    tune(folder / "base", folder / "tuned")
    return folder


@pytest.fixture
def pair(made: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copies of base and tuned model, to be changed."""
    for name in ("base", "tuned"):
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path / "base", tmp_path / "tuned"
