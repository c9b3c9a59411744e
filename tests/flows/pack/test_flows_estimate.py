"""`pack --dry-run` as a flow: what it holds back, and how much it reads."""

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from file_sessions import session_in
from safetensors.numpy import save_file

from skillpm.checkpoint.model import Checkpoint
from skillpm.delta.encoding.schemes import Lossless
from skillpm.delta.kernels.choice import SETTINGS
from skillpm.errors import GraftError
from skillpm.flows.pack.estimate import HASHED, PASSES, PIECE, estimate_pack
from skillpm.flows.pack.estimate_fixed import FixedSampler
from skillpm.flows.pack.model_pair import PackRequest
from skillpm.flows.pack.sampled_run import Spent
from skillpm.spec.location import RegistryLocation
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version

SAMPLER = FixedSampler(Lossless())


@pytest.fixture
def request_(tmp_path: Path) -> PackRequest:
    """A request for models of one byte."""
    for name, value in (("base", 1), ("tuned", 2)):
        save_file({"a": np.array([value], dtype=np.uint8)}, tmp_path / f"{name}.safetensors")
    return PackRequest(
        tmp_path / "base.safetensors",
        tmp_path / "tuned.safetensors",
        SkillName.parse("acme/x"),
        Version.parse("1.0.0"),
        output=tmp_path / "x.skillpack",
    )


def test_no_compiled_code_is_written_while_models_are_paired(
    tmp_path: Path, request_: PackRequest
) -> None:
    saved: list[bool] = []

    def connect(_url: RegistryLocation, _create: bool) -> NoReturn:  # noqa: FBT001 - the protocol's form
        saved.append(SETTINGS.saves)
        raise GraftError("there is no registry")

    location = RegistryLocation.parse(str(tmp_path / "registry"))
    session = replace(session_in(tmp_path), connect=connect, registry=location)
    layered = replace(request_, over=("acme/below@1.0.0",))
    with pytest.raises(GraftError, match="there is no registry"):
        estimate_pack(session, layered, SAMPLER, begun=Spent.now())
    assert saved == [False]
    assert SETTINGS.saves


def test_a_tiny_model_is_hashed_a_few_times_to_measure_the_speed(
    tmp_path: Path, request_: PackRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    read_bytes = Checkpoint.read_bytes

    def counted(model: Checkpoint, name: str, start: int, stop: int) -> bytes:
        reads.append(name)
        return read_bytes(model, name, start, stop)

    monkeypatch.setattr(Checkpoint, "read_bytes", counted)
    estimate = estimate_pack(session_in(tmp_path), request_, SAMPLER, begun=Spent.now())
    assert estimate.file_bytes > 0
    assert len(reads) <= 2 * PASSES
    assert HASHED // PIECE < PASSES
