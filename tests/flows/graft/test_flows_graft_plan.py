"""A graft plan gives the origin of each file and tensor before anything is written."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from file_sessions import session_in
from plain_models import plain_tensors, write_plain, write_tuned

from skillpm.archive.reader import open_pack
from skillpm.checkpoint.leaves import identify
from skillpm.checkpoint.model import VerifiedCheckpoint, open_checkpoint
from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.delta.encoding.schemes import Lossless
from skillpm.errors import IntegrityError
from skillpm.flows.graft.assemble import assemble
from skillpm.flows.graft.existing_graft import ExistingGraft, open_existing_graft
from skillpm.flows.graft.plan import GraftInputs, GraftPlan, Origin, plan_graft
from skillpm.flows.pack.model_pair import PackRequest
from skillpm.flows.pack.pack import pack
from skillpm.flows.packs.composition import opened
from skillpm.flows.session.session import Session
from skillpm.spec.merkle import merkle_root
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
MLP, ATTENTION = "layers.0.mlp", "layers.0.self_attn"
"""Modules whose tensors are in the first file of the base."""


@dataclass(frozen=True)
class Bench:
    """A base, a pack of each of two modules, and grafts of them in `folder`."""

    session: Session
    folder: Path
    base: VerifiedCheckpoint

    def inputs(self, *modules: str, link: bool = False) -> GraftInputs:
        files = [self.folder / f"{module}.skillpack" for module in modules]
        packs = opened([open_pack(file) for file in files])
        composition = Composition(self.base, [WeightedPack(pack) for pack in packs])
        metadata = {"format": 1, "base_root": str(self.base.identity.root)}
        return GraftInputs(self.base, composition, {}, link, metadata)

    def write(self, plan: GraftPlan, name: str) -> Path:
        (self.folder / name).mkdir()
        assemble(self.session, plan, self.folder / name)
        return self.folder / name

    def existing(self, name: str = "old") -> ExistingGraft:
        """The graft in a folder, as `graft` opens it."""
        graft = open_existing_graft(self.session, self.folder / name, self.base.identity.root)
        assert graft is not None
        return graft


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    session = session_in(tmp_path)
    base = write_plain(tmp_path / "base", plain_tensors())
    for number, module in enumerate((MLP, ATTENTION)):
        tuned = write_tuned(tmp_path / f"tuned-{number}", module)
        name, version = SkillName.parse(f"acme/skill-{number}"), Version.parse("1.0.0")
        output = tmp_path / f"{module}.skillpack"
        pack(session, PackRequest(base, tuned, name, version, output=output), Lossless())
    model = open_checkpoint(base)
    return Bench(session, tmp_path, VerifiedCheckpoint.of(model, identify(model)))


def whole_files(plan: GraftPlan) -> dict[str, Origin | None]:
    return {file.name: file.whole for file in plan.files}


def origins(plan: GraftPlan) -> Mapping[str, Origin]:
    return {tensor: origin for file in plan.files for tensor, origin in file.tensors.items()}


def test_a_plan_without_an_existing_graft_takes_from_the_base_and_the_packs(bench: Bench) -> None:
    plan = plan_graft(bench.inputs(MLP))
    assert whole_files(plan) == {FIRST: None, SECOND: Origin.BASE}
    for tensor, origin in origins(plan).items():
        assert origin is (Origin.COMPOSED if MLP in tensor else Origin.BASE)
    assert plan.small.keys() == {"config.json", "model.safetensors.index.json", "tokenizer.json"}


def test_an_equal_graft_needs_no_change(bench: Bench) -> None:
    inputs = bench.inputs(MLP)
    bench.write(plan_graft(inputs), "old")
    plan = plan_graft(inputs, bench.existing())
    assert whole_files(plan) == {FIRST: Origin.EXISTING, SECOND: Origin.EXISTING}
    tuned = identify(open_checkpoint(bench.folder / "tuned-0"))
    assert plan.unchanged == tuned.leaves


def test_a_further_pack_leaves_the_decoded_tensors_of_the_first_one(bench: Bench) -> None:
    bench.write(plan_graft(bench.inputs(MLP)), "old")
    plan = plan_graft(bench.inputs(MLP, ATTENTION), bench.existing())
    assert plan.unchanged is None
    assert whole_files(plan) == {FIRST: None, SECOND: Origin.EXISTING}
    for tensor, origin in origins(plan).items():
        if ATTENTION in tensor:
            assert origin is Origin.COMPOSED
        elif MLP in tensor:
            assert origin is Origin.EXISTING


def test_a_plan_that_reuses_gives_the_bytes_of_one_that_does_not(bench: Bench) -> None:
    bench.write(plan_graft(bench.inputs(MLP)), "old")
    inputs = bench.inputs(MLP, ATTENTION)
    reusing = bench.write(plan_graft(inputs, bench.existing()), "reusing")
    fresh = bench.write(plan_graft(inputs), "fresh")
    names = sorted(path.name for path in fresh.iterdir())
    assert names == sorted(path.name for path in reusing.iterdir())
    for name in names:
        assert (reusing / name).read_bytes() == (fresh / name).read_bytes()


def test_a_plan_is_made_without_reading_a_tensor(bench: Bench) -> None:
    """The plan of a damaged graft is the same; the damage is found when the plan is executed."""
    bench.write(plan_graft(bench.inputs(MLP)), "old")
    existing, inputs = bench.existing(), bench.inputs(MLP, ATTENTION)
    expected = plan_graft(inputs, existing)
    path, status = bench.folder / "old" / SECOND, (bench.folder / "old" / SECOND).stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    plan = plan_graft(inputs, existing)
    assert (plan.files, plan.small) == (expected.files, expected.small)
    with pytest.raises(IntegrityError, match="has changed: its leaf should be"):
        bench.write(plan, "new")


def test_files_with_other_hard_links_are_not_taken(bench: Bench) -> None:
    old = bench.write(plan_graft(bench.inputs(MLP)), "old")
    (bench.folder / "linked").hardlink_to(old / FIRST)
    plan = plan_graft(bench.inputs(MLP), bench.existing())
    assert plan.unchanged is None
    assert whole_files(plan) == {FIRST: None, SECOND: Origin.EXISTING}
    assert {o for t, o in origins(plan).items() if MLP in t} == {Origin.EXISTING}


def test_a_file_that_another_program_links_after_the_plan_is_copied(bench: Bench) -> None:
    old = bench.write(plan_graft(bench.inputs(MLP)), "old")
    plan = replace(plan_graft(bench.inputs(MLP), bench.existing()), unchanged=None)
    (bench.folder / "linked").hardlink_to(old / FIRST)
    new = bench.write(plan, "new")
    assert not (new / FIRST).samefile(old / FIRST)
    assert (new / SECOND).samefile(old / SECOND)
    assert (new / FIRST).read_bytes() == (old / FIRST).read_bytes()


def test_linking_takes_untouched_files_from_the_base(bench: Bench) -> None:
    bench.write(plan_graft(bench.inputs(MLP)), "old")
    plan = plan_graft(bench.inputs(MLP, link=True), bench.existing())
    assert plan.unchanged is None
    assert whole_files(plan) == {FIRST: Origin.EXISTING, SECOND: Origin.BASE}
    linked = bench.write(plan, "new")
    assert (linked / SECOND).samefile(bench.folder / "base" / SECOND)


def test_the_written_graft_is_the_tuned_model(bench: Bench) -> None:
    plan = plan_graft(bench.inputs(MLP))
    folder = bench.folder / "new"
    folder.mkdir()
    written = assemble(bench.session, plan, folder)
    tuned = identify(open_checkpoint(bench.folder / "tuned-0"))
    assert written.root == merkle_root(written.leaves) == tuned.root


def test_a_file_that_vanished_is_not_taken(bench: Bench) -> None:
    old = bench.write(plan_graft(bench.inputs(MLP)), "old")
    existing = bench.existing()
    (old / FIRST).unlink()
    plan = plan_graft(bench.inputs(MLP), existing)
    assert whole_files(plan) == {FIRST: None, SECOND: Origin.EXISTING}
    assert plan.unchanged is None
