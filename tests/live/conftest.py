"""Worlds of live skills, made once; tests must not change them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from live_worlds import MAKERS, LiveWorld


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], LiveWorld]]:
    """The world of a kind of model; its home is in the environment while it is made."""
    made: dict[str, LiveWorld] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:

        def get(kind: str) -> LiveWorld:
            folder: Path = tmp_path_factory.getbasetemp() / f"live-{kind}"
            patch.setenv("SKILLPM_HOME", str(folder / "home"))
            patch.setenv("SKILLPM_CONFIG", str(folder / "config.toml"))
            patch.setenv("HF_HUB_OFFLINE", "1")
            if kind not in made:
                made[kind] = MAKERS[kind](folder)
            return made[kind]

        yield get
    torch.set_num_threads(threads)
