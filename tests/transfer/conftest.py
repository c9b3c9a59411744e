"""Fixtures of transfers. Only tests that use them import transformers."""

from typing import Any

import pytest
from skillpm_world import World


@pytest.fixture(scope="session")
def transfer_models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A base and a source, made once."""
    pytest.importorskip("trl", reason="needs the extra `transfer`")
    from transfer_world import TransferModels

    return TransferModels(tmp_path_factory.mktemp("transfer"))


@pytest.fixture
def transfer(world: World, transfer_models: Any) -> Any:
    """A folder with prompts, keep prompts and a transfer file."""
    from transfer_world import TransferWorld

    return TransferWorld(world, transfer_models)
