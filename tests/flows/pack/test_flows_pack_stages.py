"""The stages of `pack` are frozen values, each made by one function of earlier ones."""

import re
from dataclasses import FrozenInstanceError, dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from file_sessions import NOW, session_in
from plain_models import plain_tensors, write_plain, write_tuned

from skillpm.archive.reader import open_pack
from skillpm.checkpoint.leaves import identify
from skillpm.checkpoint.model import open_checkpoint
from skillpm.delta.encoding.schemes import GraftLLM, Lossless, Scheme
from skillpm.delta.encoding.torch_svd import decompose
from skillpm.errors import GraftError, IntegrityError, SpecError
from skillpm.flows.pack.attachments import Attachment, Attachments, collect_attachments
from skillpm.flows.pack.encoded_delta import EncodedDelta, encode_delta
from skillpm.flows.pack.fit_auto import fit
from skillpm.flows.pack.manifest import build_manifest
from skillpm.flows.pack.model_pair import ModelPair, PackRequest, pair_models
from skillpm.flows.pack.pack import pack
from skillpm.flows.pack.pack_file import write_file
from skillpm.flows.pack.scheme import EncodingTarget, settle_scheme
from skillpm.flows.session.session import Session
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.oci import CARD_TYPE, DELTA_TYPE, SINGLE_TYPES
from skillpm.spec.versions import Version

LAYER = (CARD_TYPE, b"# A card", "README.md")


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


def test_a_model_pair_names_the_tensors_that_differ(stages: Stages) -> None:
    models = stages.models
    tuned = identify(open_checkpoint(stages.request.tuned))
    changed = {name for name in plain_tensors() if "layers.1.mlp" in name}
    assert {pair.tensor for pair in models.differing} == changed
    assert {pair.tensor for pair in models.pairs} == plain_tensors().keys()
    assert models.tuned_identity == tuned


def test_a_pair_of_equal_models_is_refused(stages: Stages) -> None:
    equal = replace(stages.request, tuned=stages.request.base)
    with pytest.raises(GraftError, match="there is nothing to pack"):
        pair_models(stages.session, equal)


def test_attachments_are_side_files_and_the_layers_of_functions(stages: Stages) -> None:
    (stages.request.tuned / "chat_template.jinja").write_text("{{ messages }}")
    attachments = collect_attachments(stages.session, stages.models, (attach,))
    assert [(file.path, data) for file, data in attachments.side] == [
        ("chat_template.jinja", b"{{ messages }}")
    ]
    assert attachments.layers == (LAYER,)
    assert stages.attachments.side == (), "the earlier value is unchanged"


def test_a_card_of_the_request_is_attached(stages: Stages) -> None:
    models = replace(stages.models, request=replace(stages.request, card=b"# Another card"))
    attachments = collect_attachments(stages.session, models, ())
    assert [(kind, data) for kind, data, _ in attachments.layers] == [
        (CARD_TYPE, b"# Another card")
    ]


@pytest.mark.parametrize("media_type", SINGLE_TYPES)
def test_two_layers_of_a_type_that_a_pack_has_once_are_refused(
    stages: Stages, tmp_path: Path, media_type: str
) -> None:
    layers = tuple((media_type, data, "x") for data in (b"one", b"two"))

    def attach_two(_session: Session, _models: ModelPair) -> Attachment:
        return Attachment(layers)

    with pytest.raises(SpecError, match=re.escape(f"2 layers of type `{media_type}` are")):
        pack(stages.session, stages.request, Lossless(), (attach_two,))
    both = replace(stages, attachments=replace(stages.attachments, layers=layers))
    with pytest.raises(SpecError, match=re.escape(f"one layer of type `{media_type}`")):
        both.write(Lossless(), tmp_path / "written")
    assert list(tmp_path.rglob("*.skillpack")) == []


def test_an_encoded_delta_decodes_to_the_tuned_model(stages: Stages, tmp_path: Path) -> None:
    delta = stages.encode(Lossless(), tmp_path / "encoded")
    leaves = stages.models.tuned_identity.leaves
    measured = {name: tensor.leaf for name, tensor in delta.measured.items()}
    assert measured == {pair.tensor: leaves[pair.tensor] for pair in stages.models.differing}
    for digest, path in delta.layers.files.items():
        assert Digest.of(path.read_bytes()) == digest


def test_a_manifest_follows_from_models_attachments_and_delta(
    stages: Stages, tmp_path: Path
) -> None:
    delta = stages.encode(Lossless(), tmp_path / "encoded")
    manifest = build_manifest(NOW, stages.models, stages.attachments, delta)
    assert manifest.result_root == stages.models.tuned_identity.root
    assert manifest.base.root == stages.models.reference.identity.root
    assert {entry.layer for entry in manifest.footprint} == delta.layers.files.keys()
    assert build_manifest(NOW, stages.models, stages.attachments, delta) == manifest


def test_a_delta_of_another_model_gives_no_lossless_manifest(
    stages: Stages, tmp_path: Path
) -> None:
    delta = stages.encode(Lossless(), tmp_path / "encoded")
    request = replace(stages.request, tuned=write_tuned(tmp_path / "other", "layers.1.mlp", seed=7))
    other = pair_models(stages.session, request)
    with pytest.raises(IntegrityError, match="the decoded pack differs from the tuned model"):
        build_manifest(NOW, other, stages.attachments, delta)


def test_the_file_contains_the_manifest_the_layers_and_the_attachments(
    stages: Stages, tmp_path: Path
) -> None:
    delta = stages.encode(Lossless(), tmp_path / "encoded")
    manifest = build_manifest(NOW, stages.models, stages.attachments, delta)
    path = tmp_path / "x.skillpack"
    digest, size = write_file(stages.session, path, manifest, stages.attachments, delta)
    written = open_pack(path)
    assert (written.digest, written.manifest) == (digest, manifest)
    assert size == path.stat().st_size
    assert {layer.digest for layer in written.image.layer(DELTA_TYPE)} == delta.layers.files.keys()
    (card,) = written.image.layer(CARD_TYPE)
    assert written.read(card.digest) == LAYER[1]


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
