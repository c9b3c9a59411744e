"""`--guard`: a change that removes a capability is stopped, and its culprit named."""

from pathlib import Path

import pytest
from skillpm_world import World, snapshot
from tiny_learners import COLOR_PROBES, MATH_PROBES, Learners, write_probes

NOISE = "culprit: `acme/noise 1.0.0`; without it, the probes of `acme/math` pass"


@pytest.fixture
def packs(world: World, learners: Learners) -> dict[str, Path]:
    """Packs beside the project, in which `acme/math` is installed."""
    math = write_probes(world.folder / "math.jsonl", MATH_PROBES)
    colors = write_probes(world.folder / "colors.jsonl", COLOR_PROBES)
    made = {
        "math": learners.pack(world, "math", "--probes", math),
        "colors": learners.pack(world, "colors", "--probes", colors),
        "gentle": learners.pack(world, "gentle"),
        "noise": learners.pack(world, "noise"),
        "slight": learners.pack(world, "slight"),
    }
    world.init(learners.base)
    world.ask("install", made["math"], "--guard")
    return made


def refused(world: World, *command: object) -> str:
    """The message of a command that the guard must stop; the project must stay unchanged."""
    before, listed = snapshot(world.project), world.ask("list")
    said = world.fail(*command, "--guard", code=1, kind="graft")
    assert snapshot(world.project) == before
    assert world.ask("list") == listed
    return said


def test_install_guard_accepts_a_skill_that_harms_no_other(
    world: World, packs: dict[str, Path]
) -> None:
    found = world.ask("install", packs["gentle"], "--guard")
    assert found["generation"] == 2
    assert any("the guard passed" in note for note in found["notes"])
    assert any("acme/gentle" in note for note in found["notes"])


def test_install_guard_refuses_a_harmful_skill_and_names_it(
    world: World, packs: dict[str, Path]
) -> None:
    said = refused(world, "install", packs["noise"])
    assert "`acme/math` token_loss" in said
    assert "culprit: `acme/noise 1.0.0`" in said
    assert "leave out `acme/noise`; the probes of all other skills then pass" in said
    assert "skillpm config set graft.mode routed" in said


def test_install_guard_names_the_culprit_among_several_new_skills(
    world: World, learners: Learners, packs: dict[str, Path]
) -> None:
    more = []
    for n in range(2):
        pair = learners.tuned(f"gentle-{n}", ("the. ",), steps=2, rate=1e-4, only=f"layers.{n}.inp")
        more.append(world.pack(pair, f"acme/gentle-{n}", "1.0.0"))
    said = refused(world, "install", *more, packs["noise"], packs["gentle"])
    culprits = [line for line in said.splitlines() if "culprit" in line]
    assert culprits == [f"    {NOISE}"]


def test_install_guard_does_not_publish_a_refused_file(
    world: World, packs: dict[str, Path]
) -> None:
    refused(world, "install", packs["noise"])
    assert world.ask("search", "noise")["results"] == []


def test_install_guard_dry_run_reports_the_same_and_changes_nothing(
    world: World, packs: dict[str, Path]
) -> None:
    said = refused(world, "install", packs["noise"], "--dry-run")
    assert "acme/noise" in said
    before = snapshot(world.project)
    assert world.ask("install", packs["gentle"], "--dry-run", "--guard")["dry_run"]
    assert snapshot(world.project) == before


def test_upgrade_guard_refuses_a_harmful_release(
    world: World, learners: Learners, packs: dict[str, Path]
) -> None:
    world.ask("install", packs["gentle"])
    world.publish(learners.noise, "acme/gentle", "1.1.0")
    said = refused(world, "upgrade", "acme/gentle")
    assert "culprit: `acme/gentle 1.1.0`" in said
    assert world.installed()["acme/gentle"] == "1.0.0"


def test_rollback_and_apply_run_the_guard(world: World, packs: dict[str, Path]) -> None:
    world.ask("install", packs["noise"])
    world.ask("uninstall", "acme/noise")
    assert "acme/noise" in refused(world, "rollback")
    outcome = world.run("install", "acme/noise", "--dry-run", "--json")
    (world.folder / "plan.json").write_text(outcome.out)
    assert "acme/noise" in refused(world, "apply", world.folder / "plan.json")


def test_install_guard_refuses_a_skill_that_an_installed_one_harms(
    world: World, packs: dict[str, Path]
) -> None:
    world.ask("uninstall", "acme/math")
    world.ask("install", packs["noise"])
    said = refused(world, "install", packs["math"])
    assert NOISE in said
    assert "leave out `acme/math`" in said


def test_install_guard_ignores_and_reports_a_skill_that_already_failed(
    world: World, packs: dict[str, Path]
) -> None:
    world.ask("install", packs["noise"])
    done = world.ask("install", packs["gentle"], "--guard")
    said = "fails without this change too, and is ignored: `acme/math` token_loss is"
    assert any(said in note for note in done["notes"])


def test_install_guard_names_a_pack_that_fails_alone_as_its_own_culprit(
    world: World, learners: Learners, packs: dict[str, Path]
) -> None:
    probes = write_probes(world.folder / "lossy.jsonl", COLOR_PROBES)
    lossy = world.pack(learners.colors, "acme/colors", "2.0.0", "--probes", probes, "--keep", "0.2")
    said = refused(world, "install", lossy)
    assert "culprit: `acme/colors 2.0.0`; alone on the base, it does not reach" in said
    assert "leave out `acme/colors`" in said


def test_install_guard_suggests_the_largest_weight_that_passes(
    world: World, packs: dict[str, Path]
) -> None:
    said = refused(world, "install", packs["slight"])
    line = said.split("all probes pass: `")[1].split("`")[0]
    assert line.startswith('"acme/slight" = { version = "^1.0.0", weight = 0.')
    world.file.write_text(world.file.read_text().replace("[skills]", f"[skills]\n{line}"))
    found = world.ask("install", packs["slight"], "--guard")
    assert any("the guard passed" in note for note in found["notes"])


def test_install_guard_without_a_change_runs_no_probe(world: World, packs: dict[str, Path]) -> None:
    found = world.ask("install", "--guard")
    assert (found["generation"], found["notes"]) == (1, [])


def test_install_guard_of_a_set_without_probes_adds_a_note(
    world: World, packs: dict[str, Path]
) -> None:
    world.ask("uninstall", "acme/math")
    found = world.ask("install", packs["noise"], "--guard")
    assert found["notes"] == ["unguarded, because they have no probes: acme/noise"]


def test_install_guard_names_all_culprits_and_the_remedy_passes(
    world: World, packs: dict[str, Path]
) -> None:
    said = refused(world, "install", packs["noise"], packs["slight"], packs["gentle"])
    culprits = {line.split("`")[1] for line in said.splitlines() if "culprit" in line}
    assert culprits <= {"acme/noise 1.0.0", "acme/slight 1.0.0"}
    assert "leave out `acme/noise`, `acme/slight`; the probes of all other skills then pass" in said
    assert "`acme/gentle" not in said


def test_install_guard_names_both_skills_that_harm_each_other(
    world: World, packs: dict[str, Path]
) -> None:
    said = refused(world, "install", packs["colors"])
    culprits = {line.strip() for line in said.splitlines() if "culprit" in line}
    assert culprits == {
        "culprit: `acme/math 1.0.0`; without it, the probes of `acme/colors` pass",
        "culprit: `acme/colors 1.0.0`; without it, the probes of `acme/math` pass",
    }
