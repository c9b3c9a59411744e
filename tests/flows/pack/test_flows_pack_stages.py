"""The stages of `pack` are frozen values: one of them serves several later ones, in any order."""

from dataclasses import FrozenInstanceError, dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from flow_sessions import NOW, session_in
from plain_models import plain_tensors, write_plain, write_tuned

from skillpm.delta.encode.schemes import GraftLLM, Lossless, Scheme
from skillpm.delta.encode.torch_svd import decompose
from skillpm.flows.pack.attachments import Attachment, Attachments, collect_attachments
from skillpm.flows.pack.encoded_delta import EncodedDelta, encode_delta
from skillpm.flows.pack.fit_auto import fit
from skillpm.flows.pack.manifest import build_manifest
from skillpm.flows.pack.model_pair import ModelPair, PackRequest, pair_models
from skillpm.flows.pack.pack import pack
from skillpm.flows.pack.pack_file import write_file
from skillpm.flows.pack.scheme import EncodingTarget, settle_scheme
from skillpm.flows.session.session import Session
from skillpm.spec.names import SkillName
from skillpm.spec.oci import CARD_TYPE
from skillpm.spec.versions import Version

LAYER = (CARD_TYPE, b"# another document", "OTHER.md")


def attach(_session: Session, models: ModelPair) -> Attachment:
    """Attach a layer; the function sees both models before the delta is encoded."""
    assert models.differing
    return Attachment((LAYER,))


@dataclass(frozen=True)
class Stages:
    """A session, and the first two stages of a request."""

    session: Session
    request: PackRequest
    models: ModelPair
    attachments: Attachments

    def encode(self, scheme: Scheme | EncodingTarget, folder: Path) -> EncodedDelta:
        folder.mkdir()
        settled = settle_scheme(self.session, self.models, self.attachments, scheme, folder)
        return encode_delta(self.session, self.models, settled, folder)

    def write(self, scheme: Scheme | EncodingTarget, folder: Path) -> bytes:
        """The bytes of the pack file, from the two given stages on."""
        delta = self.encode(scheme, folder)
        manifest = build_manifest(NOW, self.models, self.attachments, delta)
        path = folder / "x.skillpack"
        write_file(self.session, path, manifest, self.attachments, delta)
        return path.read_bytes()


@pytest.fixture
def stages(tmp_path: Path) -> Stages:
    request = PackRequest(
        write_plain(tmp_path / "base", plain_tensors()),
        write_tuned(tmp_path / "tuned", "layers.1.mlp"),
        SkillName.parse("acme/x"),
        Version.parse("1.0.0"),
        output=tmp_path / "made.skillpack",
        card=b"# A card",
    )
    session = session_in(tmp_path)
    models = pair_models(session, request)
    return Stages(session, request, models, collect_attachments(session, models, (attach,)))


def schemes() -> dict[str, Scheme | EncodingTarget]:
    return {
        "lossless": Lossless(),
        "graftllm": GraftLLM(decompose),
        "keep": EncodingTarget(fit, keep=0.9),
    }


def test_one_model_pair_serves_every_scheme_in_any_order(stages: Stages, tmp_path: Path) -> None:
    expected = {}
    for name, scheme in schemes().items():
        packed = pack(stages.session, stages.request, scheme, (attach,))
        expected[name] = packed.path.read_bytes()
        packed.path.unlink()
    assert len(set(expected.values())) == len(expected)
    for number, order in enumerate(permutations(expected)):
        for name in order:
            folder = tmp_path / f"{number}-{name}"
            assert stages.write(schemes()[name], folder) == expected[name]


def test_the_scheme_is_settled_before_the_delta_is_encoded(stages: Stages, tmp_path: Path) -> None:
    asked = EncodingTarget(fit, keep=0.9)
    settled = settle_scheme(stages.session, stages.models, stages.attachments, asked, tmp_path)
    delta = encode_delta(stages.session, stages.models, settled, tmp_path)
    assert settled.scheme.name == "auto"
    assert delta.scheme is settled.scheme
    assert delta.layers is settled.layers, "the layers of the best trial are not encoded again"


def test_no_stage_can_be_changed(stages: Stages, tmp_path: Path) -> None:
    delta = stages.encode(Lossless(), tmp_path / "encoded")
    manifest = build_manifest(NOW, stages.models, stages.attachments, delta)
    values: list[tuple[Any, str]] = [
        (stages.request, "skill"),
        (stages.models, "tuned"),
        (stages.attachments, "side"),
        (delta, "scheme"),
    ]
    for value, name in values:
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)
    with pytest.raises(ValueError, match="frozen"):
        setattr(manifest, "skill", None)  # noqa: B010 - a literal name would not type-check
