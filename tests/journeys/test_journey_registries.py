"""Several registries: a namespace is bound to one registry in every command."""

import shutil

import pytest
from skillpm_world import World, snapshot
from tiny_models import Models, Pair


@pytest.fixture
def bound(world: World, math: Pair) -> World:
    world.init(math[0])
    with world.file.open("a") as file:
        file.write('\n[registries.inner]\nurl = "./inner"\nnamespaces = ["corp"]\n')
    return world


def test_a_private_pack_is_published_to_the_registry_of_its_namespace(
    bound: World, math: Pair
) -> None:
    pack = bound.pack(math, "corp/math", "1.0.0")
    published = bound.ask("publish", pack, "-C", bound.project)
    assert published["registry"] == str(bound.project / "inner")
    assert bound.ask("search", "math")["results"] == []
    assert bound.ask("install", "corp/math")["generation"] == 1
    assert bound.ask("yank", "corp/math@1.0.0")["yanked"]
    assert "yanked" in {f["code"] for f in bound.ask("audit", code=3)["findings"]}


def test_of_two_files_none_is_published_where_one_is_refused(bound: World, math: Pair) -> None:
    good = bound.pack(math, "acme/math", "1.0.0")
    private = bound.pack(math, "corp/math", "1.0.0")
    for more in ((), ("--dry-run",)):
        said = bound.fail("install", good, private, *more, code=2, kind="usage")
        assert "bound to the registry `inner`" in said
    bound.fail("show", "acme/math", code=4, kind="not_found")


def test_another_file_of_a_published_version_is_refused_before_anything(
    bound: World, math: Pair, models: Models
) -> None:
    bound.publish(math, "acme/math", "1.0.0")
    _, other = models.tuned("attn", seed=2)
    again = bound.pack((math[0], other), "acme/math", "1.0.0")
    for more in ((), ("--dry-run",)):
        said = bound.fail("install", again, *more, code=1, kind="state")
        assert "releases are immutable" in said


def test_a_named_registry_is_made_by_the_first_file(bound: World, math: Pair) -> None:
    pack = bound.pack(math, "acme/math", "1.0.0")
    url = bound.project / "fresh"
    assert bound.ask("install", pack, "--registry", url)["generation"] == 1
    assert (url / "registry.db").is_file()


def test_a_pack_cannot_require_itself(bound: World, math: Pair) -> None:
    more = ("--requires", "acme/self ^2")
    base, tuned = math
    said = bound.fail(
        "pack", base, tuned, "--name", "acme/self", "--version", "1.0.0", *more,
        code=1, kind="spec",
    )  # fmt: skip
    assert "requires[0]: a pack cannot name its own skill" in said


def test_a_registry_whose_creation_was_interrupted_is_created_by_the_next_command(
    bound: World, math: Pair
) -> None:
    pack = bound.pack(math, "acme/math", "1.0.0")
    folder = bound.home / "registry"
    (folder / "tmp").mkdir(parents=True)
    (folder / "registry.lock").touch()
    (folder / "tmp" / "registry.db").write_bytes(b"half")
    assert bound.ask("search", "math")["results"] == []
    assert bound.ask("install", pack, "--dry-run")["generation"] == 1
    assert bound.ask("install", pack)["generation"] == 1
    assert (folder / "registry.db").is_file()


def test_a_registry_that_the_project_forgot_is_named_when_it_is_needed(
    world: World, math: Pair
) -> None:
    world.init(math[0])
    world.ask("publish", world.pack(math, "acme/math", "1.0.0"), "--registry", "team")
    text = world.file.read_text()
    bound = '[registries]\nteam = { url = "team", namespaces = ["acme"] }\n'
    world.file.write_text(text + bound)
    world.ask("install", "acme/math")
    world.ask("uninstall", "acme/math")
    world.file.write_text(text)
    shutil.rmtree(world.home / "store")
    assert "no registry `team`" in world.fail("rollback", 1, code=2, kind="usage")
    assert world.ask("history")["current"] == 2


def test_a_file_and_a_published_skill_are_installed_together(
    world: World, models: Models, math: Pair
) -> None:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    path = world.pack(models.tuned("attn"), "acme/sql", "1.0.0")
    assert len(world.ask("install", "acme/math", path)["added"]) == 2


def test_two_files_of_one_skill_cannot_both_be_installed(
    world: World, models: Models, math: Pair
) -> None:
    world.init(math[0])
    one = world.pack(math, "acme/math", "1.0.0")
    two = world.pack(models.tuned("mlp", seed=3), "acme/math", "1.1.0")
    assert "two pack files contain" in world.fail("install", one, two, code=2, kind="usage")
    assert world.ask("search")["results"] == []


def test_a_file_of_a_namespace_that_is_bound_elsewhere_is_not_installed(
    world: World, math: Pair
) -> None:
    world.init(math[0])
    world.ask("registry", "init", "team")
    bound = '[registries]\nteam = { url = "team", namespaces = ["acme"] }\n'
    world.file.write_text(world.file.read_text() + bound)
    before = snapshot(world.project)
    path = world.pack(math, "acme/math", "1.0.0")
    assert "bound to the registry `team`" in world.fail("install", path, code=2, kind="usage")
    after = {name: text for name, text in snapshot(world.project).items() if name in before}
    assert after == before


def test_a_requirement_may_only_name_a_registry_of_the_project_file(
    world: World, math: Pair
) -> None:
    world.init(math[0])
    requirement = '"acme/math" = { version = "*", registry = "team" }\n'
    world.file.write_text(world.file.read_text() + requirement)
    outcome = world.run("install", "--json")
    assert outcome.code in (1, 2)
    assert "team" in outcome.error["message"]
