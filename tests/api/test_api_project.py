"""`skillpm.open_project`: the methods of a project."""

import warnings
from pathlib import Path

import pytest
from skillpm_world import World
from tiny_models import Models

import skillpm


@pytest.fixture
def project(world: World, models: Models) -> skillpm.Project:
    """A project with a base and no installed skill."""
    return skillpm.init_project(world.project, models.pair("fp32")[0])


def test_skill_of_a_pack_file_is_installed_listed_and_removed(
    project: skillpm.Project, world: World, models: Models
) -> None:
    pack = world.pack(models.pair("fp32"), "acme/math", "1.0.0")
    change = project.install(pack)
    assert (change.generation, change.kept, change.dry_run) == (1, 0, False)
    (skill,) = change.added
    assert project.skills == (skill,)
    assert (skill.name, skill.version, skill.weight) == ("acme/math", "1.0.0", 1.0)
    assert skill.scheme == "lossless"
    assert skill.digest == skillpm.inspect(pack).digest
    removed = project.uninstall("acme/math")
    assert [gone.name for gone in removed.removed] == ["acme/math"]
    assert not project.skills
    assert repr(project) == f"<skillpm.Project {str(world.project)!r}, 0 skills>"


def test_upgrade_and_rollback_change_the_version(
    project: skillpm.Project, world: World, models: Models
) -> None:
    pair = models.pair("fp32")
    world.ask("publish", world.pack(pair, "acme/math", "1.0.0"))
    project.install("acme/math ^1")
    world.ask("publish", world.pack(pair, "acme/math", "1.1.0"))
    planned = project.upgrade("acme/math", dry_run=True)
    assert (planned.dry_run, [s.version for s in planned.changed]) == (True, ["1.1.0"])
    assert [s.version for s in project.skills] == ["1.0.0"]
    assert [s.version for s in project.upgrade().changed] == ["1.1.0"]
    assert project.rollback().generation == project.generation == 3
    assert [s.version for s in project.skills] == ["1.0.0"]


def test_graft_has_the_root_of_the_tuned_model(
    project: skillpm.Project, world: World, models: Models
) -> None:
    base, tuned = models.pair("fp32")
    project.install(world.pack((base, tuned), "acme/math", "1.0.0"))
    grafted = project.graft("out", link=False)
    assert grafted.root == skillpm.identify(tuned).root == skillpm.identify("out").root
    assert grafted.path == Path("out")
    assert grafted.written_bytes > 0
    assert grafted.seconds > 0
    assert grafted.skills == ("acme/math",)
    assert project.graft("out").unchanged


def test_audit_returns_its_findings(project: skillpm.Project, world: World, models: Models) -> None:
    project.install(world.pack(models.pair("fp32"), "acme/math", "1.0.0"))
    report = project.audit()
    assert report.passed
    assert report.checked > 0
    assert {finding.level for finding in report.findings} <= {"low", "medium"}
    assert all(isinstance(finding.message, str) for finding in report.findings)


def test_live_model_switches_to_an_installed_skill(
    project: skillpm.Project, world: World, models: Models
) -> None:
    project.install(world.pack(models.pair("fp32"), "acme/math", "1.0.0"))
    with project:
        model = project.load_model(cache_bytes=1 << 20)
        with model.use_skill("acme/math"):
            assert model.active == "acme/math"
        with pytest.warns(DeprecationWarning, match="use_skill"):
            model.skill("acme/math")


def test_every_failure_is_a_skillpm_error(project: skillpm.Project) -> None:
    with pytest.raises(skillpm.SkillpmError, match="there is no skill"):
        project.install("acme/nothing")
    with pytest.raises(skillpm.UsageError, match="URL"):
        project.install("https://example.org/acme-math-1.0.0.skillpack")
    with pytest.raises(skillpm.SpecError):
        project.uninstall("Not A Name")
    with pytest.raises(skillpm.SkillpmError):
        project.rollback(7)
    assert issubclass(skillpm.IntegrityError, skillpm.SkillpmError)


def test_folder_that_is_not_a_project_is_refused(world: World) -> None:
    with pytest.raises(skillpm.NotFoundError, match=r"skillpm\.toml"):
        skillpm.open_project(world.folder)


def test_names_of_version_0_1_are_deprecated_and_work(
    project: skillpm.Project, world: World, models: Models
) -> None:
    project.install(world.pack(models.pair("fp32"), "acme/math", "1.0.0"))
    with pytest.warns(DeprecationWarning, match="open_project"):
        workspace = skillpm.open(world.project)
    with pytest.warns(DeprecationWarning, match="load_model"):
        model = workspace.load(warm_bytes=1 << 20)
    assert model.skills == ("acme/math",)
    workspace.close()


def test_public_names_are_documented_and_complete() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in skillpm.__all__:
            assert getattr(skillpm, name).__doc__ or name == "__version__"
    assert dir(skillpm) == sorted(skillpm.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        _ = skillpm.nothing
