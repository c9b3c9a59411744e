"""Law 3 as properties: the history of an environment does not affect its lock or its graft."""

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from laws_registry import SKILLS, Market, Shopper
from thoroughness import examples

QUICK = settings(
    max_examples=examples(50),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
THOROUGH = settings(QUICK, max_examples=300)
FEW = settings(QUICK, max_examples=examples(20))
REFUSED = {(1, "state"), (4, "resolution"), (4, "not_found"), (1, "not_found")}
"""Expected failures of a step: a conflict, nothing to uninstall, no earlier generation."""

WANTED = (
    "acme/alpha", "acme/alpha@^1", "acme/alpha@=1.0.0", "acme/alpha@^2", "acme/beta",
    "acme/beta@=1.0.0", "acme/gamma", "acme/gamma@=1.0.0", "acme/gamma@^1.2", "other/delta",
    "other/foe",
)  # fmt: skip
Step = tuple[str, ...]
"""A command; `NTH` stands for one of the project's requirements, `ALL` for all of them."""

NTH, ALL = tuple(f"nth {number}" for number in range(4)), "all"


def _skill(wanted: str) -> str:
    return wanted.partition("@")[0]


def _installs(most: int) -> Any:
    wanted = st.lists(st.sampled_from(WANTED), min_size=1, max_size=most, unique_by=_skill)
    return wanted.map(lambda several: ("install", *several))


STEPS = st.one_of(
    _installs(2),
    st.sampled_from([("uninstall", nth) for nth in NTH]),
    st.sampled_from([("upgrade",), *(("upgrade", skill) for skill in SKILLS)]),
    st.sampled_from([("rollback",), *(("rollback", str(number)) for number in range(6))]),
    st.tuples(st.just("weigh"), st.sampled_from(NTH), st.sampled_from(["0.5", "1.0", "2.0"])),
    st.sampled_from([("graft",), ("graft",), ("install",), ("uninstall", ALL)]),
)
SEQUENCES = st.tuples(_installs(3), st.lists(STEPS, max_size=7)).map(lambda two: [two[0], *two[1]])


def _named(project: Shopper, step: Step) -> Step | None:
    """The step with the project's own skills in it; None if it has none."""
    own = list(project.requirements)
    if not {*NTH, ALL} & {*step}:
        return step
    named = [own[int(w.split()[1]) % len(own)] if own and w in NTH else w for w in step]
    every = [name for word in named for name in (own if word == ALL else [word])]
    return tuple(every) if own else None


def take(project: Shopper, step: Step | None) -> bool:
    """Run a step; a refused step changes no file. False if it was refused."""
    if step is None:
        return False
    text = project.file.read_text()
    if step[0] == "weigh":
        _, skill, weight = step
        project.set_requirements(
            {
                **project.requirements,
                skill: {**project.requirements[skill], "weight": float(weight)},
            }
        )
        step = ("install",)
    before, outcome = project.seen(), project.run(*step)
    if outcome.code:
        assert (outcome.code, outcome.error["kind"]) in REFUSED, (step, outcome)
        assert project.seen() == before
        project.file.write_text(text)
        return False
    return True


def walk(project: Shopper, steps: list[Step]) -> None:
    """Run all steps; every change gets the next number, and a step without a change gets none."""
    for step in steps:
        shown = project.ask("list")
        taken = take(project, _named(project, step))
        after = project.ask("list")
        moved = (shown["skills"] != after["skills"]) or _asks(project, -1) != _asks(project, -2)
        gained = after["generation"] - shown["generation"]
        assert gained in ((0, 1) if taken else (0,)), step
        assert gained == 0 or moved, step
        assert gained == 1 or shown["skills"] == after["skills"], step
    document = project.ask("history")
    numbers = [one["number"] for one in document["generations"]]
    assert numbers == list(range(document["current"] + 1))


def _asks(project: Shopper, place: int) -> Any:
    """The requirements and settings of the generation at a place of the history."""
    folder = project.folder / ".skillpm" / "generations"
    files = sorted(folder.iterdir(), key=lambda path: int(path.stem))
    text = files[place].read_text() if len(files) >= -place else ""
    return re.sub(r'"(number|created|action)": .*', "", text)


def check_path_does_not_show(market: Market, steps: list[Step]) -> None:
    """Check that the result equals that of a new project with the same requirements."""
    project = market.project()
    walk(project, steps)
    lock, root = project.final()
    assert (lock, root) == market.straight(project.requirements, project.versions)
    assert f'root = "{root}"' in lock
    if not project.versions:
        assert root == market.base_root
    project.leave()


@given(steps=SEQUENCES)
@example(  # a skill that another one requires kept the weight of its removed requirement
    steps=[
        ("install", "acme/beta", "acme/gamma"),
        ("weigh", "nth 1", "0.5"),
        ("uninstall", "nth 1"),
    ]
)
@QUICK
def test_sequences_with_the_same_final_set_have_the_same_lock_and_graft(
    market: Market, steps: list[Step]
) -> None:
    check_path_does_not_show(market, steps)


@pytest.mark.slow
@given(steps=SEQUENCES)
@THOROUGH
def test_many_sequences_with_the_same_final_set_have_the_same_lock_and_graft(
    market: Market, steps: list[Step]
) -> None:
    check_path_does_not_show(market, steps)


@given(steps=st.lists(STEPS, max_size=3), wanted=st.sampled_from(WANTED))
@QUICK
def test_uninstall_after_an_install_that_only_added_restores_lock_and_graft(
    market: Market, steps: list[Step], wanted: str
) -> None:
    project = market.project()
    walk(project, steps)
    before, skill = project.final(), _skill(wanted)
    assume(skill not in project.versions)
    outcome = project.run("install", wanted)
    assume(outcome.code == 0 and not outcome.json["changed"] and not outcome.json["removed"])
    project.ask("uninstall", skill)
    assert project.final() == before
    project.leave()


@given(steps=SEQUENCES)
@QUICK
def test_two_rollbacks_restore_the_last_change(market: Market, steps: list[Step]) -> None:
    project = market.project()
    walk(project, steps)
    assume(project.ask("list")["generation"] > 0)  # the first may have an unsatisfiable requirement
    before, requirements = project.final(), project.requirements
    project.ask("rollback")
    assert project.ask("rollback")["generation"] == project.ask("list")["generation"]
    assert (project.final(), project.requirements) == (before, requirements)
    project.leave()


@given(order=st.permutations(["acme/alpha@^1", "acme/beta", "acme/gamma", "other/delta"]))
@FEW
def test_install_order_of_independent_skills_does_not_affect_lock_and_graft(
    market: Market, order: list[str]
) -> None:
    project, other = market.project(), market.project()
    for wanted in order:
        project.ask("install", wanted)
    other.ask("install", *sorted(order))
    assert project.versions == other.versions
    assert project.final() == other.final()
    assert project.requirements == other.requirements
    for one in (project, other):
        one.leave()


@given(steps=SEQUENCES)
@FEW
def test_every_generation_grafts_offline_to_its_recorded_root(
    market: Market, steps: list[Step]
) -> None:
    project, roots = market.project(), dict[int, str]()
    for step in steps:
        walk(project, [step])
        roots[project.ask("list")["generation"]] = project.final()[1]
    nowhere = ("--offline", "--registry", market.folder / "nowhere")
    for number, root in roots.items():
        project.ask("rollback", number, *nowhere)
        assert project.ask("graft", *nowhere)["root"] == root
    project.leave()


def test_history_numbers_each_change_and_no_step_without_a_change(
    market: Market,
) -> None:
    steps = (
        ("install", "acme/beta@=1.0.0"), ("install",), ("install", "acme/beta@^1"), ("upgrade",),
        ("upgrade",), ("uninstall", "acme/beta"), ("rollback", "4"), ("rollback", "2"),
        ("rollback",), ("rollback",),
    )  # fmt: skip
    project = market.project()
    found = [project.ask(*step)["generation"] for step in steps]
    assert found == [1, 1, 2, 3, 3, 4, 4, 5, 6, 7]
    assert project.versions == {"acme/beta": "1.0.0"}
    project.leave()
