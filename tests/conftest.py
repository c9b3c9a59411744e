"""Fixtures of all tests: tiny models, and a world with an empty project."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import thoroughness  # noqa: F401 - registers the profiles
from cut_packs import CutPacks
from hypothesis import settings
from process_state import ProcessState
from skillpm_world import World

from skillpm.delta.kernels.choice import SETTINGS


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-snapshots",
        action="store_true",
        help="Write the snapshots of the command line's output again (tests/cli/snapshots).",
    )


def pytest_configure(config: pytest.Config) -> None:
    """With slow tests (`make test-all`), properties are tested on more cases too."""
    quick = "not slow" in config.option.markexpr
    settings.load_profile("quick" if quick else "thorough")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells start jobs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def process_state() -> Iterator[None]:
    """Fail a test that leaves the process changed, and restore it for the tests after it."""
    before = ProcessState.now()
    yield
    changes = before.changes()
    if changes:
        before.restore()
        pytest.fail(f"the test leaves the process changed: {'; '.join(changes)}")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Tiny models, made once; only tests that use them import transformers."""
    import tiny_models

    return tiny_models.Models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def learners(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny language model that can learn, and fine-tunes of it."""
    import tiny_learners

    return tiny_learners.Learners(tmp_path_factory.mktemp("learners"))


@pytest.fixture(scope="session")
def cut(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> CutPacks:
    """Packs that a worker of this test run has made."""
    folder = tmp_path_factory.getbasetemp()
    one_of_many = hasattr(request.config, "workerinput")
    return CutPacks((folder.parent if one_of_many else folder) / "cut-packs")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: CutPacks) -> World:
    """A separate home, and an empty project as the current folder."""
    found = World(tmp_path, cut)
    found.project.mkdir()
    for name in ("REGISTRY", "BASE", "LOCK_TIMEOUT", "DEBUG", "OFFLINE", "COLOR", "WORKERS"):
        monkeypatch.delenv(f"SKILLPM_{name}", raising=False)
    monkeypatch.setenv("SKILLPM_HOME", str(found.home))
    monkeypatch.setenv("SKILLPM_CONFIG", str(found.folder / "config.toml"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    for name in ("TOKEN", "SERVER_DATABASE", "SERVER_BLOBS", "SERVER_URL"):
        monkeypatch.delenv(f"SKILLPM_{name}", raising=False)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setattr(SETTINGS, "demanded", None)
    monkeypatch.chdir(found.project)
    return found


@pytest.fixture
def math(models: Any) -> Any:
    """The pair of models that most tests pack as `acme/math`."""
    return models.tuned("mlp")
