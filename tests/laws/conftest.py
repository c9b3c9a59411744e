"""The market that all tests of this folder share."""

import os
from collections.abc import Iterator

import pytest
from laws_registry import Market


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    folder = tmp_path_factory.mktemp("market")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("REGISTRY", "BASE", "LOCK_TIMEOUT", "DEBUG", "OFFLINE", "COLOR", "WORKERS"):
            patch.delenv(f"SKILLPM_{name}", raising=False)
        patch.setattr(os, "fsync", lambda _file: None)  # no power failure happens here
        patch.setenv("SKILLPM_HOME", str(folder / "home"))
        patch.setenv("SKILLPM_CONFIG", str(folder / "config.toml"))
        yield Market.stocked(folder)
