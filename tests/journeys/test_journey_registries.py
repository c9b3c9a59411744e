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


def test_publish_uses_the_registry_of_the_namespace(bound: World, math: Pair) -> None:
    pack = bound.pack(math, "corp/math", "1.0.0")
    published = bound.ask("publish", pack, "-C", bound.project)
    assert published["registry"] == str(bound.project / "inner")
    assert bound.ask("search", "math")["results"] == []
    assert bound.ask("install", "corp/math")["generation"] == 1
    assert bound.ask("yank", "corp/math@1.0.0")["yanked"]
    assert "yanked" in {f["code"] for f in bound.ask("audit", code=3)["findings"]}


def test_install_of_two_files_publishes_none_if_one_is_refused(bound: World, math: Pair) -> None:
    good = bound.pack(math, "acme/math", "1.0.0")
    private = bound.pack(math, "corp/math", "1.0.0")
    for more in ((), ("--dry-run",)):
        said = bound.fail("install", good, private, *more, code=2, kind="usage")
        assert "bound to the registry `inner`" in said
    bound.fail("show", "acme/math", code=4, kind="not_found")


def test_install_refuses_another_file_of_a_published_version(
    bound: World, math: Pair, models: Models
) -> None:
    bound.publish(math, "acme/math", "1.0.0")
    _, other = models.tuned("attn", seed=2)
    again = bound.pack((math[0], other), "acme/math", "1.0.0")
    for more in ((), ("--dry-run",)):
        said = bound.fail("install", again, *more, code=1, kind="state")
        assert "releases are immutable" in said


def test_install_of_a_file_creates_the_named_registry(bound: World, math: Pair) -> None:
    pack = bound.pack(math, "acme/math", "1.0.0")
    url = bound.project / "fresh"
    assert bound.ask("install", pack, "--registry", url)["generation"] == 1
    assert (url / "registry.db").is_file()


def test_pack_cannot_require_its_own_skill(bound: World, math: Pair) -> None:
    more = ("--requires", "acme/self ^2")
    base, tuned = math
    said = bound.fail(
        "pack", base, tuned, "--name", "acme/self", "--version", "1.0.0", *more,
        code=1, kind="spec",
    )  # fmt: skip
    assert "requires[0]: a pack cannot name its own skill" in said


def test_interrupted_registry_creation_is_finished_by_the_next_command(
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


def test_rollback_names_a_registry_that_the_project_file_lacks(world: World, math: Pair) -> None:
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


def test_install_of_a_file_and_a_published_skill_succeeds(
    world: World, models: Models, math: Pair
) -> None:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    path = world.pack(models.tuned("attn"), "acme/sql", "1.0.0")
    assert len(world.ask("install", "acme/math", path)["added"]) == 2


def test_install_refuses_two_files_of_one_skill(world: World, models: Models, math: Pair) -> None:
    world.init(math[0])
    one = world.pack(math, "acme/math", "1.0.0")
    two = world.pack(models.tuned("mlp", seed=3), "acme/math", "1.1.0")
    assert "two pack files contain" in world.fail("install", one, two, code=2, kind="usage")
    assert world.ask("search")["results"] == []


def test_install_refuses_a_file_of_a_namespace_bound_elsewhere(world: World, math: Pair) -> None:
    world.init(math[0])
    world.ask("registry", "init", "team")
    bound = '[registries]\nteam = { url = "team", namespaces = ["acme"] }\n'
    world.file.write_text(world.file.read_text() + bound)
    before = snapshot(world.project)
    path = world.pack(math, "acme/math", "1.0.0")
    assert "bound to the registry `team`" in world.fail("install", path, code=2, kind="usage")
    after = {name: text for name, text in snapshot(world.project).items() if name in before}
    assert after == before


def test_requirement_with_an_unknown_registry_is_refused(world: World, math: Pair) -> None:
    world.init(math[0])
    requirement = '"acme/math" = { version = "*", registry = "team" }\n'
    world.file.write_text(world.file.read_text() + requirement)
    outcome = world.run("install", "--json")
    assert outcome.code in (1, 2)
    assert "team" in outcome.error["message"]
