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


def test_a_skill_that_hurts_no_other_skill_is_installed(
    world: World, packs: dict[str, Path]
) -> None:
    found = world.ask("install", packs["gentle"], "--guard")
    assert found["generation"] == 2
    assert any("the guard passed" in note for note in found["notes"])
    assert any("acme/gentle" in note for note in found["notes"])


def test_a_skill_that_hurts_another_is_stopped_and_named(
    world: World, packs: dict[str, Path]
) -> None:
    said = refused(world, "install", packs["noise"])
    assert "`acme/math` token_loss" in said
    assert "culprit: `acme/noise 1.0.0`" in said
    assert "leave out `acme/noise`; the probes of all other skills then pass" in said
    assert 'mode = "routed"' in said


def test_the_culprit_is_found_among_several_new_skills(
    world: World, learners: Learners, packs: dict[str, Path]
) -> None:
    more = []
    for n in range(2):
        pair = learners.tuned(f"gentle-{n}", ("the. ",), steps=2, rate=1e-4, only=f"layers.{n}.inp")
        more.append(world.pack(pair, f"acme/gentle-{n}", "1.0.0"))
    said = refused(world, "install", *more, packs["noise"], packs["gentle"])
    culprits = [line for line in said.splitlines() if "culprit" in line]
    assert culprits == [f"    {NOISE}"]


def test_a_file_that_was_stopped_was_not_published(world: World, packs: dict[str, Path]) -> None:
    refused(world, "install", packs["noise"])
    assert world.ask("search", "noise")["results"] == []


def test_a_dry_run_with_guard_reports_the_same_and_changes_nothing(
    world: World, packs: dict[str, Path]
) -> None:
    said = refused(world, "install", packs["noise"], "--dry-run")
    assert "acme/noise" in said
    before = snapshot(world.project)
    assert world.ask("install", packs["gentle"], "--dry-run", "--guard")["dry_run"]
    assert snapshot(world.project) == before


def test_an_upgrade_that_hurts_is_stopped(
    world: World, learners: Learners, packs: dict[str, Path]
) -> None:
    world.ask("install", packs["gentle"])
    world.publish(learners.noise, "acme/gentle", "1.1.0")
    said = refused(world, "upgrade", "acme/gentle")
    assert "culprit: `acme/gentle 1.1.0`" in said
    assert world.installed()["acme/gentle"] == "1.0.0"


def test_a_rollback_and_a_saved_plan_are_guarded_too(world: World, packs: dict[str, Path]) -> None:
    world.ask("install", packs["noise"])
    world.ask("uninstall", "acme/noise")
    assert "acme/noise" in refused(world, "rollback")
    outcome = world.run("install", "acme/noise", "--dry-run", "--json")
    (world.folder / "plan.json").write_text(outcome.out)
    assert "acme/noise" in refused(world, "apply", world.folder / "plan.json")


def test_a_newcomer_that_an_installed_skill_hurts_is_stopped(
    world: World, packs: dict[str, Path]
) -> None:
    world.ask("uninstall", "acme/math")
    world.ask("install", packs["noise"])
    said = refused(world, "install", packs["math"])
    assert NOISE in said
    assert "leave out `acme/math`" in said


def test_a_skill_that_failed_before_stops_nothing_and_is_reported(
    world: World, packs: dict[str, Path]
) -> None:
    world.ask("install", packs["noise"])
    done = world.ask("install", packs["gentle"], "--guard")
    said = "fails without this change too, and is ignored: `acme/math` token_loss is"
    assert any(said in note for note in done["notes"])


def test_a_pack_whose_probes_fail_alone_is_its_own_culprit(
    world: World, learners: Learners, packs: dict[str, Path]
) -> None:
    probes = write_probes(world.folder / "lossy.jsonl", COLOR_PROBES)
    lossy = world.pack(learners.colors, "acme/colors", "2.0.0", "--probes", probes, "--keep", "0.2")
    said = refused(world, "install", lossy)
    assert "culprit: `acme/colors 2.0.0`; alone on the base, it does not reach" in said
    assert "leave out `acme/colors`" in said


def test_the_largest_weight_at_which_all_hold_is_named_and_holds(
    world: World, packs: dict[str, Path]
) -> None:
    said = refused(world, "install", packs["slight"])
    line = said.split("all probes pass: `")[1].split("`")[0]
    assert line.startswith('"acme/slight" = { version = "^1.0.0", weight = 0.')
    world.file.write_text(world.file.read_text().replace("[skills]", f"[skills]\n{line}"))
    found = world.ask("install", packs["slight"], "--guard")
    assert any("the guard passed" in note for note in found["notes"])


def test_nothing_to_change_is_nothing_to_guard(world: World, packs: dict[str, Path]) -> None:
    found = world.ask("install", "--guard")
    assert (found["generation"], found["notes"]) == (1, [])


def test_a_set_without_probes_is_installed_with_a_note(
    world: World, packs: dict[str, Path]
) -> None:
    world.ask("uninstall", "acme/math")
    found = world.ask("install", packs["noise"], "--guard")
    assert found["notes"] == ["unguarded, because they have no probes: acme/noise"]


def test_all_causes_are_named_so_that_leaving_them_out_is_a_way_out(
    world: World, packs: dict[str, Path]
) -> None:
    said = refused(world, "install", packs["noise"], packs["slight"], packs["gentle"])
    culprits = {line.split("`")[1] for line in said.splitlines() if "culprit" in line}
    assert culprits <= {"acme/noise 1.0.0", "acme/slight 1.0.0"}
    assert "leave out `acme/noise`, `acme/slight`; the probes of all other skills then pass" in said
    assert "`acme/gentle" not in said


def test_two_skills_that_hurt_each_other_are_not_blamed_for_their_own_loss(
    world: World, packs: dict[str, Path]
) -> None:
    said = refused(world, "install", packs["colors"])
    culprits = {line.strip() for line in said.splitlines() if "culprit" in line}
    assert culprits == {
        "culprit: `acme/math 1.0.0`; without it, the probes of `acme/colors` pass",
        "culprit: `acme/colors 1.0.0`; without it, the probes of `acme/math` pass",
    }
