"""`pack --router`, install and `route` with a tiny base that runs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from changed_routers import forged, scaled_backgrounds, signature_in
from routing_worlds import sums, with_letters, words
from skillpm_world import World

from skillpm.archive.reader import open_pack
from skillpm.calibration.texts import read_texts
from skillpm.routing.signature import parse_signature
from skillpm.spec import oci


@pytest.fixture(scope="module")
def base(models: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_letters(models.pair("fp32")[0], tmp_path_factory.mktemp("letters") / "base")


def lines(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.fixture(scope="module")
def made(models: Any, base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Packs of sums and of database words, and a pack without a signature."""
    world = World(tmp_path_factory.mktemp("packs"))
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKILLPM_HOME", str(world.home))
        for seed, (skill, texts) in enumerate((("sums", sums(32)), ("words", words(32))), start=1):
            router = lines(world.folder / f"{skill}.jsonl", texts)
            pair = (base, models.tuned("mlp", seed)[1])
            found[skill] = world.pack(pair, f"acme/{skill}", "1.0.0", "--router", router)
        router = lines(world.folder / "copy.jsonl", sums(32))
        pair = (base, models.tuned("mlp", 4)[1])
        found["copy"] = world.pack(pair, "aaa/copy", "1.0.0", "--router", router)
        found["plain"] = world.pack((base, models.tuned("mlp", 3)[1]), "acme/plain", "1.0.0")
    return found


@pytest.fixture
def packs(world: World, base: Path, made: dict[str, Path]) -> dict[str, Path]:
    """The packs, and a project of their base."""
    world.init(base)
    return made


def test_route_chooses_the_skill_of_a_text_or_the_base(
    world: World, packs: dict[str, Path]
) -> None:
    world.ask("install", packs["sums"], packs["words"], packs["plain"])
    for skill, text in (
        ("acme/sums", "812 + 1904 = 2716"),
        ("acme/words", "select table where from join"),
    ):
        found = world.ask("route", text)
        assert found["skill"] == skill
        assert found["score"] == max(found["scores"].values()) >= 0
        assert set(found["scores"]) == {"acme/sums", "acme/words"}
    assert world.ask("route", "zzz zzzz. qqqq xx")["skill"] is None
    world.ask("uninstall", "acme/sums")
    alone = world.ask("route", "812 + 1904 = 2716")
    assert (alone["skill"], set(alone["scores"])) == (None, {"acme/words"})


def test_route_file_returns_results_in_the_order_of_the_file(
    world: World, packs: dict[str, Path]
) -> None:
    world.ask("install", packs["sums"], packs["words"])
    texts = [*sums(6, seed=5), *words(6, seed=5)]
    found = world.ask("route", "--file", lines(world.folder / "asked.jsonl", texts))["results"]
    right = ["acme/sums"] * 6 + ["acme/words"] * 6
    assert sum(one["skill"] == skill for one, skill in zip(found, right, strict=True)) >= 10


def test_route_explain_shows_runner_up_reason_and_excluded_skills(
    world: World, packs: dict[str, Path]
) -> None:
    world.ask("install", packs["sums"], packs["words"], packs["plain"])
    explained = world.ask("route", "1200 + 1233 = 2433", "--explain")["explain"]
    assert explained["runner_up"] == "acme/words"
    assert "`acme/sums` answers: it fits best" in explained["reason"]
    assert explained["left_out"] == {"acme/plain": "its pack has no router signature"}
    parts = {"score", "evidence", "threshold", "base", "distance"}
    assert set(explained["fits"]["acme/sums"]) == parts
    plain = world.run("route", "--explain", "1200 + 1233 = 2433")
    assert plain.out.startswith("acme/sums\n")
    assert "threshold" in plain.out
    assert "`acme/plain` is not a candidate" in plain.err


def test_route_without_signatures_returns_the_base_without_loading_it(
    world: World, packs: dict[str, Path]
) -> None:
    nothing = world.ask("route", "12 + 12", "--base", world.folder / "nowhere")
    assert nothing["skill"] is nothing["score"] is None
    world.ask("install", packs["plain"])
    assert world.ask("route", "12 + 12")["scores"] == {}


def test_pack_router_is_independent_of_order_and_duplicates(
    world: World, models: Any, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    tuned = models.tuned("mlp")[1]
    digests = set()
    for texts in (sums(20), sums(20)[::-1], sums(20) * 2):
        router = lines(world.folder / "examples.jsonl", texts)
        pack = world.pack((base, tuned), "acme/sums", "1.0.0", "--router", router)
        digests.add(open_pack(pack).digest)
    assert len(digests) == 1


def test_pack_router_background_is_stored_in_the_signature(
    world: World, models: Any, base: Path
) -> None:
    router, general = lines(world.folder / "r", sums(20)), lines(world.folder / "g", words(12))
    more = ("--router", router, "--router-background", general)
    pack = open_pack(world.pack((base, models.tuned("mlp")[1]), "acme/sums", "1.0.0", *more))
    (layer,) = pack.image.layer(oci.ROUTER_TYPE)
    found = parse_signature(pack.read(layer.digest), pack.manifest.base.root, "it")
    assert (found.source, len(found.examples), len(found.background)) == ("file", 20, 12)


@pytest.mark.parametrize("texts", [sums(5), sums(5) * 4])
def test_pack_router_requires_eight_different_examples(
    world: World, models: Any, base: Path, texts: list[str]
) -> None:
    router = lines(world.folder / "r", texts)
    command = ("pack", base, models.tuned("mlp")[1], "--name", "a/b", "--version", "1.0.0")
    said = world.fail(*command, "--router", router, code=1, kind="spec")
    assert "5 different examples" in said


def test_pack_router_background_requires_router(world: World, models: Any) -> None:
    general = lines(world.project / "g", words(12))
    command = ("pack", *models.tuned("mlp"), "--name", "a/b", "--version", "1.0.0")
    world.fail(*command, "--router-background", general, code=2, kind="usage")


def test_pack_router_requires_a_base_with_a_tokenizer(world: World, models: Any) -> None:
    router = lines(world.folder / "r", sums(20))
    command = ("pack", *models.tuned("mlp"), "--name", "a/b", "--version", "1.0.0")
    said = world.fail(*command, "--router", router, code=1, kind="graft")
    assert "cannot be run by transformers" in said


@pytest.mark.parametrize("arguments", [(), ("  ",), ("a", "--file", "g")])
def test_route_requires_one_text_or_one_file(
    world: World, base: Path, arguments: tuple[str, ...]
) -> None:
    world.init(base)
    lines(world.project / "g", words(2))
    world.fail("route", *arguments, code=2, kind="usage")


def test_install_refuses_a_forged_signature_and_changes_nothing(
    world: World, packs: dict[str, Path]
) -> None:
    pack = open_pack(packs["sums"])
    (layer,) = pack.image.layer(oci.ROUTER_TYPE)
    honest = pack.read(layer.digest)
    other = honest.replace(str(pack.manifest.base.root).encode(), f"sha256:{'0' * 64}".encode())
    before = (world.project / "skillpm.toml").read_text()
    for signature in (b"no signature", honest[:-2], other, honest + bytes(1 << 21)):
        lie = forged(packs["sums"], signature)
        said = world.fail("install", lie, "-y", code=3, kind="integrity")
        assert "router signature" in said
        assert world.ask("list")["skills"] == []
        assert (world.project / "skillpm.toml").read_text() == before
        assert not (world.home / "registry").exists()


def test_install_refuses_a_signature_with_a_scaled_background(
    world: World, packs: dict[str, Path]
) -> None:
    world.ask("install", packs["words"])
    lie = scaled_backgrounds(packs["sums"], packs["words"])
    said = world.fail("install", lie, code=3, kind="integrity")
    assert "length 1, found a row of length 1.9" in said
    assert world.ask("route", "select table where from join")["skill"] == "acme/words"


def test_route_and_audit_report_an_installed_invalid_signature(
    world: World, packs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lie = scaled_backgrounds(packs["sums"], packs["words"])
    with monkeypatch.context() as patch:  # installs the pack without the check
        patch.setattr("skillpm.flows.change.plan.check_sound", lambda *_: None)
        patch.setattr("skillpm.api.session._verify_packs", None)
        world.ask("install", packs["words"], lie)
    found = world.ask("route", "select table where from join", "--explain")
    assert found["skill"] == "acme/words"
    assert "length 1.9" in found["explain"]["left_out"]["acme/sums"]
    (warning,) = found["warnings"]
    assert "the router cannot select `acme/sums`" in warning
    assert "`skillpm uninstall acme/sums`" in warning
    findings = world.ask("audit", code=3)["findings"]
    assert [one["skill"] for one in findings if one["code"] == "router-unsound"] == ["acme/sums"]


@pytest.fixture
def copied(packs: dict[str, Path], made: dict[str, Path]) -> Path:
    """A pack whose name sorts first, with 128 copies of the examples of `acme/sums`."""
    signature = signature_in(packs["sums"])
    rows = np.tile(signature.examples, (4, 1))
    return forged(made["copy"], replace(signature, examples=rows).dumps())


def test_copied_signature_does_not_take_texts_from_an_installed_skill(
    world: World, packs: dict[str, Path], copied: Path
) -> None:
    world.ask("install", packs["sums"], packs["words"])
    asked = lines(world.folder / "asked.jsonl", sums(12, seed=5))
    before = [one["skill"] for one in world.ask("route", "--file", asked)["results"]]
    planned = world.ask("install", copied, "--dry-run")
    assert any("`aaa/copy` and `acme/sums` are near-equal" in note for note in planned["notes"])
    assert [one["skill"] for one in world.ask("list")["skills"]] == ["acme/sums", "acme/words"]
    done = world.ask("install", copied, "-y")
    assert any("`aaa/copy` and `acme/sums` are near-equal" in note for note in done["notes"])
    assert 'precedence = ["acme/sums", "aaa/copy"]' in (world.project / "skillpm.toml").read_text()
    assert 'precedence = ["acme/sums", "aaa/copy"]' in (world.project / "skillpm.lock").read_text()
    assert world.ask("lock", "--check")["fresh"]
    after = world.ask("route", "--file", asked, "--explain")["results"]
    assert [one["skill"] for one in after] == before
    (near,) = after[0]["explain"]["near"]
    assert near["skills"] == ["aaa/copy", "acme/sums"]
    assert near["precedence"] == "acme/sums"
    codes = {
        one["code"]: one["level"] for one in world.ask("audit", "--fail-on", "critical")["findings"]
    }
    assert codes["router-near"] == "low"


def test_precedence_can_be_edited_and_is_removed_with_the_skill(
    world: World, packs: dict[str, Path], copied: Path
) -> None:
    world.ask("install", packs["sums"], packs["words"], copied)
    file = world.project / "skillpm.toml"
    order = '["acme/sums", "aaa/copy"]'
    assert order in file.read_text()
    file.write_text(file.read_text().replace(order, '["aaa/copy", "acme/sums"]'))
    world.ask("install")
    assert world.ask("route", "812 + 1904 = 2716")["skill"] == "aaa/copy"
    world.ask("uninstall", "aaa/copy")
    assert "aaa/copy" not in file.read_text()
    assert world.ask("lock", "--check")["fresh"]
    assert world.ask("route", "812 + 1904 = 2716")["skill"] == "acme/sums"


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ('["acme/none"]', "names `acme/none`, which is not installed"),
        ('["acme/sums", "acme/sums"]', "duplicate skill"),
        ('["not a skill"]', "graft.precedence"),
    ],
)
def test_precedence_with_unknown_or_duplicate_skills_is_refused(
    world: World, packs: dict[str, Path], order: str, said: str
) -> None:
    world.ask("install", packs["sums"])
    file = world.project / "skillpm.toml"
    file.write_text(f"{file.read_text()}\n[graft]\nprecedence = {order}\n")
    assert said in world.fail("install", code=1, kind="spec")


def test_declined_near_equal_skill_changes_nothing(
    world: World, packs: dict[str, Path], copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ask("install", packs["sums"])
    monkeypatch.setattr(
        "skillpm.cli.state.ask_on_terminal", lambda _state, question: "near-equal" not in question
    )
    said = world.fail("install", copied, code=1, kind="state")
    assert "the near-equal skills were declined" in said
    assert [one["skill"] for one in world.ask("list")["skills"]] == ["acme/sums"]


def test_read_texts_does_not_split_at_other_line_separators(tmp_path: Path) -> None:
    texts = [f"{n}: one\u2028two\x85three\x0cfour" for n in range(3)]
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts))
    assert read_texts(path) == texts
