"""The killer and the scenes, made once for all tests of this folder."""

from collections.abc import Iterator

import pytest
from crash_case import Killer, Scene
from crash_scenes import make_scenes


@pytest.fixture(scope="session")
def killer() -> Iterator[Killer]:
    found = Killer()
    yield found
    found.close()


@pytest.fixture(scope="session")
def scenes(killer: Killer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    return make_scenes(killer, tmp_path_factory.mktemp("scenes"))
