"""The main sequence of commands, from a fine-tune to a graft and back."""

from pathlib import Path

import pytest
from skillpm_world import World, root_of, run_here, snapshot
from tiny_models import MAKERS, Models, logits, nudge, rewrite, save


def test_graft_adds_and_removes_a_skill_bit_for_bit(world: World, models: Models) -> None:
    base, tuned = models.pair("fp32")
    before = snapshot(base)
    base_root = world.init(base)
    digest = world.publish((base, tuned), "acme/math", "1.0.0", "--license", "MIT")

    installed = world.ask("install", "acme/math")
    assert installed["generation"] == 1
    assert installed["added"] == [{"skill": "acme/math", "version": "1.0.0", "digest": digest}]
    assert world.graft_root() == root_of(tuned) == root_of(world.project / "graft")

    removed = world.ask("uninstall", "acme/math")
    assert (removed["generation"], removed["kept"]) == (2, 0)
    assert world.graft_root() == base_root == root_of(world.project / "graft")

    assert world.ask("rollback")["generation"] == 3
    assert world.graft_root() == root_of(tuned)
    assert world.ask("rollback")["generation"] == 4
    assert world.installed() == {}

    history = world.ask("history")
    assert history["current"] == 4
    actions = [one["action"] for one in history["generations"]]
    assert actions == ["init", "install acme/math", "uninstall acme/math", "rollback 1",
                       "rollback 2"]  # fmt: skip
    assert world.ask("diff", 0, 1)["added"] == installed["added"]
    assert world.ask("diff", 1, 4)["removed"] == installed["added"]
    assert world.ask("diff", 1, 3) == world.ask("diff", 2, 2)
    assert [one["code"] for one in world.ask("audit")["findings"]] == ["graft-stale"]
    assert world.graft_root() == base_root
    assert world.ask("audit")["findings"] == []
    assert snapshot(base) == before


def test_main_commands_print_readable_text(world: World, models: Models) -> None:
    pair = models.pair("fp32")
    world.init(pair[0])
    path = world.pack(pair, "acme/math", "1.0.0")
    for arguments, expected in [
        (("publish", path), "published acme/math 1.0.0 sha256:"),
        (("publish", path), "already published: acme/math 1.0.0"),
        (("search", "math"), "acme/math    1.0.0  no\n"),
        (("show", "acme/math"), "lossless"),
        (("inspect", path), "attention"),
        (("verify", path), "acme/math 1.0.0"),
        (
            ("install", "acme/math"),
            " + acme/math 1.0.0\ngeneration 1 is current: 1 skill; fetched ",
        ),
        (("install", "acme/math"), "nothing to change; generation 1 is current\n"),
        (("list",), "acme/math    1.0.0  lossless"),
        (("history",), "install acme/math"),
        (("diff", 0, 1), " + acme/math 1.0.0\n"),
        (("graft",), "grafted acme/math 1.0.0\n  into "),
        (("audit",), "no findings of level high or higher in "),
        (("lock", "--check"), "skillpm.lock is up to date\n"),
        (("uninstall", "acme/math"), " - acme/math 1.0.0\ngeneration 2 is current: no skills\n"),
        (("rollback",), " + acme/math 1.0.0\n"),
    ]:
        outcome = world.run(*arguments)
        assert outcome.code == 0, outcome
        assert expected in outcome.out
        assert "\x1b" not in outcome.out + outcome.err


def test_install_of_a_pack_file_publishes_it(world: World, models: Models) -> None:
    pair = models.pair("fp32")
    world.init(pair[0])
    path = world.pack(pair, "acme/math", "1.0.0")

    done = world.ask("install", path)

    assert [one["skill"] for one in done["added"]] == ["acme/math"]
    assert [one["skill"] for one in world.ask("search", "math")["results"]] == ["acme/math"]
    assert f'root = "{root_of(pair[1])}"' in world.lock
    assert world.graft_root() == root_of(pair[1])


@pytest.mark.parametrize("kind", MAKERS)
def test_lossless_graft_equals_the_tuned_model_and_loads(
    world: World, models: Models, kind: str
) -> None:
    base, tuned = models.pair(kind)
    world.init(base)
    path = world.pack((base, tuned), "acme/math", "1.0.0")
    assert world.ask("verify", path, "--base", base)["verified"]
    promised = world.ask("inspect", path)["manifest"]["result_root"]
    world.ask("install", path)

    root = world.graft_root()

    assert root == promised == root_of(world.project / "graft")
    if kind != "head":
        assert root == root_of(tuned)
    assert logits(world.project / "graft").equal(logits(tuned))
    assert not logits(tuned).equal(logits(base)) or kind == "head"


def test_graft_keeps_the_sharding_of_its_base(world: World, models: Models) -> None:
    base, tuned = models.pair("sharded")
    world.init(base)
    world.ask("install", world.pack((base, tuned), "acme/math", "1.0.0"))
    world.graft_root()

    def names(folder: Path) -> set[str]:
        return {path.name for path in folder.iterdir() if not path.name.startswith(".")}

    assert names(world.project / "graft") == names(base)
    assert len(names(base)) > 4


def test_pack_of_another_dtype_requires_cast(world: World, models: Models) -> None:
    base, _ = models.pair("bf16")
    _, tuned = models.pair("fp32")
    text = world.fail("pack", base, tuned, "--name", "a/b", "--version", "1.0.0",
                      code=1, kind="graft")  # fmt: skip
    assert "BF16" in text
    assert "F32" in text
    assert "--cast" in text

    world.init(base)
    world.ask("install", world.pack((base, tuned), "a/b", "1.0.0", "--cast"))

    world.graft_root()
    assert world.ask("identify", world.project / "graft")["dtype"] == "BF16"


def test_pack_keeps_nan_if_lossless_and_refuses_it_if_lossy(
    world: World, models: Models, tmp_path: Path
) -> None:
    base, _ = models.pair("fp32")
    from tiny_models import llama

    tuned = save(nudge(llama()), tmp_path / "nan")
    name = "model.layers.0.mlp.down_proj.weight"
    rewrite(tuned, lambda tensors: tensors[name][0, 0].fill_(float("nan")))
    world.init(base)

    world.ask("install", world.pack((base, tuned), "a/b", "1.0.0"))
    assert world.graft_root() == root_of(tuned)

    text = world.fail("pack", base, tuned, "--name", "a/b", "--version", "2.0.0", "--scheme",
                      "graftllm", code=1, kind="graft")  # fmt: skip
    assert name in text
    assert not list(world.project.glob("*.skillpack"))


def test_refused_pack_leaves_no_file(world: World, models: Models, tmp_path: Path) -> None:
    base, tuned = models.pair("fp32")
    named = ("--name", "a/b", "--version", "1.0.0")
    assert "nothing to pack" in world.fail("pack", base, base, *named, code=1, kind="graft")
    pickle = tmp_path / "pickle"
    pickle.mkdir()
    (pickle / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "pickle" in world.fail("pack", base, pickle, *named, code=1, kind="spec")
    assert "pickle" in world.fail(
        "pack", pickle / "pytorch_model.bin", tuned, *named, code=1, kind="spec"
    )
    world.fail("pack", base, tmp_path / "nowhere", *named, code=1, kind="not_found")
    world.fail("pack", base, tuned, "--name", "a/b", "--version", "1.0.0+b", code=2, kind="usage")
    assert list(world.project.iterdir()) == []


def test_pack_with_source_date_epoch_is_deterministic(
    world: World, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    pair = models.pair("fp32")
    named = ("pack", *pair, "--name", "a/b", "--version", "1.0.0", "--json")
    files = [world.folder / "one.skillpack", world.folder / "two.skillpack"]

    digests = {run_here(*named, "-o", file).json["digest"] for file in files}

    assert len(digests) == 1
    assert files[0].read_bytes() == files[1].read_bytes()
