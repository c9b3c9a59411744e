"""A place that cannot be written is found before the work."""

from pathlib import Path

import pytest
from plain_models import plain_tensors, write_plain, write_tuned
from skillpm_world import World

from skillpm.archive.writer import check_output
from skillpm.errors import StateError
from skillpm.flows import pack as packing


def test_a_place_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    check_output(tmp_path / "new.skillpack")
    (tmp_path / "old.skillpack").write_text("old")
    check_output(tmp_path / "old.skillpack")
    assert [path.name for path in tmp_path.iterdir()] == ["old.skillpack"]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="is a folder"):
        check_output(tmp_path)


def test_an_absent_folder_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(StateError) as caught:
        check_output(tmp_path / "absent" / "x.skillpack")
    assert caught.value.hint == f"`mkdir -p {tmp_path / 'absent'}`"


def test_pack_bundle_and_plot_refuse_a_bad_place_before_they_begin(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_plain(tmp_path / "b", plain_tensors())
    pair = (base, write_tuned(tmp_path / "t", "mlp"))
    world.init(base)
    made = world.pack(pair, "acme/x", "1.0.0")
    world.ask("install", made)
    absent = tmp_path / "absent"

    def begun(*_arguments: object) -> None:
        raise AssertionError

    monkeypatch.setattr(packing, "open_model", begun)
    monkeypatch.setattr("skillpm.flows.bundle.fetch_all", begun)
    monkeypatch.setattr("skillpm.flows.verify.inspect_pack", begun)
    named = ("--name", "acme/y", "--version", "1.0.0", "-o", absent / "y.skillpack")
    assert "mkdir" in world.fail("pack", *pair, *named, code=1, kind="state")
    assert "mkdir" in world.fail("bundle", absent / "x.skillbundle", code=1, kind="state")
    assert "mkdir" in world.fail("inspect", made, "--plot", absent / "x.png", code=1, kind="state")
    assert not absent.exists()
