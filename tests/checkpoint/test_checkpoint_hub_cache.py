"""Models of the Hugging Face cache. The authority on the layout is huggingface_hub."""

import os
import shutil
from importlib.util import find_spec, module_from_spec
from pathlib import Path

import pytest
from checkpoint_worlds import write_file, write_sharded
from hub_caches import FIRST, SECOND, cache_model
from huggingface_hub import snapshot_download, try_to_load_from_cache

from skillpm.checkpoint.find_model import find_model, named_model
from skillpm.checkpoint.hub_cache import HubSnapshot, cache_folder, find_snapshot
from skillpm.errors import NotFoundError, SkillpmError, SpecError
from skillpm.flows.session.session import open_model
from skillpm.spec.hub import HubModel

ONE = {"a": ("F32", [1], bytes(4))}
VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with `acme/base` at two commits; `main` is the first, `v2` the second."""
    hub = tmp_path / "hub"
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "source"
    source.mkdir()
    write_file(source / "model.safetensors", ONE)
    (source / "config.json").write_text("{}")
    first = cache_model(hub, "acme/base", source, FIRST, ("main", "refs/pr/1"))
    second = cache_model(hub, "acme/base", source, SECOND, ("v2",))
    os.utime(first, (1000, 1000))
    os.utime(second, (2000, 2000))
    return hub


def snapshot_of(text: str) -> Path:
    return find_snapshot(HubModel.parse(text)).folder


@pytest.mark.parametrize("revision", [None, "main", "refs/pr/1", "v2", FIRST, SECOND])
def test_a_revision_gives_the_folder_that_huggingface_hub_gives(
    hub: Path, revision: str | None
) -> None:
    theirs = snapshot_download("acme/base", revision=revision, cache_dir=hub, local_files_only=True)
    ours = find_snapshot(HubModel("acme/base", revision)).folder
    assert ours == Path(theirs)
    file = try_to_load_from_cache("acme/base", "config.json", cache_dir=hub, revision=revision)
    assert file == str(ours / "config.json")


@pytest.mark.parametrize(
    "variables",
    [
        {}, {"XDG_CACHE_HOME": "/x"}, {"HF_HOME": "~/hf"}, {"HF_HOME": "$HOME/hf"},
        {"HUGGINGFACE_HUB_CACHE": "/old"}, {"HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "~/n"},
        {"HF_HOME": "/home", "XDG_CACHE_HOME": "/x"}, {"HF_HOME": "/h", "HF_HUB_CACHE": "/hub"},
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_cache_is_where_huggingface_hub_has_it(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    spec = find_spec("huggingface_hub.constants")
    assert spec is not None
    assert spec.loader is not None
    constants = module_from_spec(spec)  # The variables are read when the module is executed.
    spec.loader.exec_module(constants)
    assert str(cache_folder()) == constants.HF_HUB_CACHE


def test_a_commit_may_be_shortened_if_it_stays_unique(hub: Path) -> None:
    assert snapshot_of("acme/base@b2b2").name == SECOND
    (hub / "models--acme--base" / "snapshots" / ("b2b2" + "c3" * 18)).mkdir()
    with pytest.raises(SpecError, match="is the start of 2 commits"):
        snapshot_of("acme/base@b2b2")
    with pytest.raises(NotFoundError):
        snapshot_of("acme/base@b2")


def test_a_missing_model_or_revision_gets_the_command_to_download_it(hub: Path) -> None:
    with pytest.raises(NotFoundError, match="`others/model` is not in the Hugging Face") as missing:
        snapshot_of("others/model")
    assert missing.value.hint == "to download it: `hf download others/model`"
    with pytest.raises(
        NotFoundError, match=r"no revision `v9` .*it has `acme/base@b2b2b2b`, `acme/base@a1"
    ) as missing:
        snapshot_of("acme/base@v9")
    assert missing.value.hint == "to download it: `hf download acme/base --revision v9`"
    with pytest.raises(NotFoundError) as missing:
        snapshot_of("acme/bsae")
    assert missing.value.hint == (
        "did you mean `acme/base`? to download it: `hf download acme/bsae`"
    )
    shutil.rmtree(hub)
    with pytest.raises(NotFoundError, match="`acme/base` is not in the Hugging Face cache"):
        snapshot_of("acme/base")


def test_an_existing_path_wins_over_the_cache(hub: Path) -> None:
    assert find_model(Path("acme/base")) == hub / "models--acme--base" / "snapshots" / FIRST
    Path("acme/base").mkdir(parents=True)
    assert find_model(Path("acme/base")) == Path("acme/base")
    assert find_model(Path("hf:acme/base")).name == FIRST
    assert named_model("acme/base", Path()) == Path("acme/base")
    assert named_model("acme/base", hub) == Path("hf:acme/base")
    assert named_model("../base", hub) == hub.parent / "base"


def test_the_cache_folder_of_a_model_is_used_at_its_newest_snapshot(hub: Path) -> None:
    notes: list[str] = []
    folder = hub / "models--acme--base"
    assert find_model(folder, notes.append) == folder / "snapshots" / SECOND
    assert notes == [f"note: `{folder}` is used at its newest snapshot, acme/base@b2b2b2b"]
    os.utime(folder / "snapshots" / FIRST, (3000, 3000))
    assert find_model(folder) == folder / "snapshots" / FIRST
    shutil.rmtree(folder / "snapshots")
    (folder / "snapshots").mkdir()
    with pytest.raises(NotFoundError, match="has no snapshot"):
        find_model(folder)


def test_a_model_of_the_cache_is_named_by_its_id(hub: Path, tmp_path: Path) -> None:
    model = open_model(Path("acme/base@v2"))
    assert (model.name, model.label) == ("acme/base", "acme/base@b2b2b2b")
    shutil.copytree(hub, tmp_path / "elsewhere", symlinks=True)
    other = tmp_path / "elsewhere" / "models--acme--base" / "snapshots" / SECOND
    assert (open_model(other).name, open_model(other).label) == ("acme/base", str(other))


def _outside(hub: Path, snapshot: Path) -> None:
    (hub.parent / "secret.json").write_text('{"secret": 1}')
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to("../../../../secret.json")


def _blob_of_another_model(hub: Path, snapshot: Path) -> None:
    cache_model(hub, "acme/private", hub.parent / "source")
    blobs = hub / "models--acme--private" / "blobs"
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(next(blobs.iterdir()))


def _linked_blob(hub: Path, snapshot: Path) -> None:
    (hub.parent / "secret.json").write_text("{}")
    blob = Path(os.path.realpath(snapshot / "config.json"))
    blob.unlink()
    blob.symlink_to(hub.parent / "secret.json")


def _linked_folder(hub: Path, snapshot: Path) -> None:
    (hub.parent / "others").mkdir()
    (snapshot / "1_Pooling").symlink_to(hub.parent / "others")


def _linked_blobs(hub: Path, snapshot: Path) -> None:
    blobs = snapshot.parent.parent / "blobs"
    blobs.rename(hub.parent / "blobs")
    blobs.symlink_to(hub.parent / "blobs")


def _linked_snapshot(hub: Path, snapshot: Path) -> None:
    snapshot.rename(hub.parent / "snapshot")
    snapshot.symlink_to(hub.parent / "snapshot")


def _linked_ref(hub: Path, snapshot: Path) -> None:
    (hub.parent / "ref").write_text(snapshot.name)
    ref = snapshot.parent.parent / "refs" / "main"
    ref.unlink()
    ref.symlink_to(hub.parent / "ref")


def _ref_with_a_path(_hub: Path, snapshot: Path) -> None:
    (snapshot.parent.parent / "refs" / "main").write_text("../../../../x")


@pytest.mark.parametrize(
    "attack",
    [_outside, _blob_of_another_model, _linked_blob, _linked_folder, _linked_blobs,
     _linked_snapshot, _linked_ref, _ref_with_a_path],
)  # fmt: skip
def test_a_cache_that_leads_out_of_a_models_blobs_is_refused(hub: Path, attack: object) -> None:
    snapshot = hub / "models--acme--base" / "snapshots" / FIRST
    assert callable(attack)
    attack(hub, snapshot)
    with pytest.raises(SkillpmError) as refused:
        open_model(Path("acme/base"))
    assert refused.value.kind in ("spec", "not_found", "state")
    if attack in (_outside, _blob_of_another_model, _linked_blob, _linked_folder, _linked_blobs):
        with pytest.raises(SpecError, match="is a link to"):
            open_model(snapshot)


def _no_blob(snapshot: Path) -> None:
    Path(os.path.realpath(snapshot / "model.safetensors")).unlink()


def _no_weights(snapshot: Path) -> None:
    (snapshot / "model.safetensors").unlink()


def _no_shard(snapshot: Path) -> None:
    shutil.rmtree(snapshot)
    write_sharded(snapshot, {"x-1.safetensors": ONE, "x-2.safetensors": {"b": ONE["a"]}})
    (snapshot / "x-2.safetensors").unlink()


@pytest.mark.parametrize("damage", [_no_blob, _no_weights, _no_shard])
def test_an_incomplete_snapshot_gets_the_command_that_completes_it(
    hub: Path, damage: object
) -> None:
    assert callable(damage)
    damage(hub / "models--acme--base" / "snapshots" / FIRST)
    with pytest.raises(NotFoundError, match=r"`acme/base@a1a1a1a` .* is incomplete: ") as missing:
        open_model(Path("acme/base"))
    command = f"hf download acme/base --revision {FIRST}"
    assert missing.value.hint == f"to download the missing files: `{command}`"
    assert "snapshots" not in missing.value.message


def test_a_cache_without_links_is_read(hub: Path) -> None:
    folder = hub / "models--acme--base" / "snapshots" / FIRST
    copied = folder.with_name("copied")
    shutil.copytree(folder, copied)  # as huggingface_hub writes it where links are not supported
    shutil.rmtree(folder)
    copied.rename(folder)
    assert list(open_model(Path("acme/base")).specs) == ["a"]
    assert HubSnapshot.at(folder / "config.json") is None
