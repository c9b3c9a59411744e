"""The commonest mistakes: each case prepares a project and names the command that fails.

A case is a function of a `Desk`. Its name is that of its snapshot.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from changed_packs import written
from safetensors.numpy import load_file, save_file
from skillpm_world import World
from tiny_models import Models, Pair

from skillpm.archive.reader import open_pack
from skillpm.spec.digests import Digest

PACK = "../acme-math-1.0.0.skillpack"
NAMED = ("--name", "acme/math", "--version", "1.0.0")


@dataclass(frozen=True)
class Desk:
    """A person's folders: the models `../base` and `../tuned`, and the project."""

    world: World
    models: Models

    def __post_init__(self) -> None:
        for source, name in zip(self.models.tuned("mlp"), ("base", "tuned"), strict=True):
            shutil.copytree(source, self.world.folder / name)

    @property
    def base(self) -> Path:
        return self.world.folder / "base"

    def init(self) -> None:
        self.run("init", "--base", "../base")

    def run(self, *arguments: str) -> None:
        """Run a command that must succeed."""
        outcome = self.world.run(*arguments)
        assert outcome.code == 0, outcome

    def pack(self, name: str = "acme/math", version: str = "1.0.0", *more: str) -> str:
        """Build a pack of the base; its path."""
        seed = 1 if name == "acme/math" else 2
        return self._written(self.models.tuned("mlp", seed), name, version, *more)

    def change_base(self) -> None:
        """Make `../base` another model of the same shapes."""
        path = self.base / "model.safetensors"
        tensors = {name: tensor + 1 for name, tensor in load_file(path).items()}
        save_file(tensors, path, metadata={"format": "pt"})

    def foreign_pack(self) -> str:
        """A pack of another base."""
        return self._written(self.models.pair("tied"), "acme/math", "1.0.0")

    def _written(self, pair: Pair, name: str, version: str, *more: str) -> str:
        return f"../{self.world.pack(pair, name, version, *more).name}"

    def publish(self, name: str = "acme/math", version: str = "1.0.0", *more: str) -> None:
        self.run("publish", self.pack(name, version, *more))

    def install(self) -> None:
        """A project with `acme/math` 1.0.0."""
        self.init()
        self.run("install", self.pack())

    def edit(self, old: str, new: str) -> None:
        """Edit skillpm.toml."""
        text = self.world.file.read_text()
        assert old in text
        self.world.file.write_text(text.replace(old, new))


Case = Callable[[Desk], tuple[str, ...]]
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


@case
def unknown_command(desk: Desk) -> tuple[str, ...]:
    return ("instal", "acme/math")


@case
def unknown_option(desk: Desk) -> tuple[str, ...]:
    return ("install", "--frozn")


@case
def missing_option(desk: Desk) -> tuple[str, ...]:
    return ("pack", "../base", "../tuned", "--version", "1.0.0")


@case
def missing_argument(desk: Desk) -> tuple[str, ...]:
    return ("uninstall",)


@case
def too_many_arguments(desk: Desk) -> tuple[str, ...]:
    return ("list", "acme/math")


@case
def option_that_is_not_a_number(desk: Desk) -> tuple[str, ...]:
    return ("tree", "--depth", "all")


@case
def option_that_is_not_a_choice(desk: Desk) -> tuple[str, ...]:
    return ("export", "acme/math", "../out", "--format", "gguf")


@case
def option_without_its_value(desk: Desk) -> tuple[str, ...]:
    return ("graft", "-o")


@case
def options_that_exclude_each_other(desk: Desk) -> tuple[str, ...]:
    desk.init()
    return ("install", "--frozen", "--lowest")


@case
def no_project(desk: Desk) -> tuple[str, ...]:
    return ("install", "acme/math")


@case
def init_without_a_base(desk: Desk) -> tuple[str, ...]:
    return ("init",)


@case
def init_with_no_model(desk: Desk) -> tuple[str, ...]:
    return ("init", "--base", "../bas")


@case
def init_again_with_another_base(desk: Desk) -> tuple[str, ...]:
    desk.init()
    return ("init", "--base", "../tuned")


@case
def unknown_skill(desk: Desk) -> tuple[str, ...]:
    desk.init()
    desk.publish()
    return ("install", "acme/maths")


@case
def bad_skill_name(desk: Desk) -> tuple[str, ...]:
    desk.init()
    return ("install", "math")


@case
def double_equals(desk: Desk) -> tuple[str, ...]:
    desk.init()
    return ("install", "acme/math ==1.0.0")


@case
def no_version_fits(desk: Desk) -> tuple[str, ...]:
    desk.init()
    desk.publish()
    return ("install", "acme/math ^2")


@case
def yanked_release(desk: Desk) -> tuple[str, ...]:
    desk.init()
    desk.publish()
    desk.run("yank", "acme/math@1.0.0", "--reason", "overfits")
    return ("install", "acme/math")


@case
def missing_pack_file(desk: Desk) -> tuple[str, ...]:
    desk.init()
    return ("install", "./acme-math-1.0.0.skillpack")


@case
def damaged_pack(desk: Desk) -> tuple[str, ...]:
    desk.init()
    path = desk.world.project / desk.pack()
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    path.write_bytes(data)
    return ("install", PACK)


@case
def not_a_pack(desk: Desk) -> tuple[str, ...]:
    (desk.world.project / "notes.skillpack").write_text("not a pack\n")
    return ("inspect", "notes.skillpack")


@case
def unknown_codec(desk: Desk) -> tuple[str, ...]:
    desk.init()
    opened = open_pack(desk.world.project / desk.pack())
    manifest = json.loads(opened.read(opened.image.config.digest))
    text = json.dumps(manifest).replace('"codec": "lossless"', '"codec": "wavelet2"')
    layers = []
    for layer in opened.image.layers:
        data = opened.read(layer.digest).replace(b"lossless", b"wavelet2")
        text = text.replace(str(layer.digest), str(Digest.of(data)))
        layers.append((layer.media_type, data))
    written(desk.world.project / PACK, opened.image_bytes, json.loads(text), layers)
    return ("install", PACK)


@case
def wrong_base(desk: Desk) -> tuple[str, ...]:
    desk.change_base()
    desk.init()
    return ("install", desk.pack())


@case
def base_that_is_nearly_right(desk: Desk) -> tuple[str, ...]:
    desk.init()
    return ("install", desk.foreign_pack())


@case
def no_release_for_the_base(desk: Desk) -> tuple[str, ...]:
    desk.change_base()
    desk.init()
    desk.publish()
    return ("install", "acme/math")


@case
def conflicting_packs(desk: Desk) -> tuple[str, ...]:
    desk.install()
    return ("install", desk.pack("acme/sql", "1.0.0", "--conflicts", "acme/math ^1"))


@case
def url_as_path(desk: Desk) -> tuple[str, ...]:
    desk.init()
    return ("install", "https://example.com/acme-math-1.0.0.skillpack")


@case
def locked_project(desk: Desk) -> tuple[str, ...]:
    desk.init()
    return ("install", "--no-wait")


@case
def lock_out_of_date_with_frozen(desk: Desk) -> tuple[str, ...]:
    desk.install()
    desk.edit('"^1.0.0"', '"^1.0.0"\n"acme/sql" = "^2"')
    return ("install", "--frozen")


@case
def lock_check(desk: Desk) -> tuple[str, ...]:
    desk.install()
    desk.edit('"^1.0.0"', '"^1.0.0"\n"acme/sql" = "^2"')
    return ("lock", "--check")


@case
def lock_with_conflict_markers(desk: Desk) -> tuple[str, ...]:
    desk.install()
    lock = desk.world.project / "skillpm.lock"
    text = lock.read_text()
    lock.write_text(f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n")
    return ("install", "--frozen")


@case
def unknown_key_in_the_project_file(desk: Desk) -> tuple[str, ...]:
    desk.init()
    desk.world.file.write_text(desk.world.file.read_text() + "\n[skils]\n")
    return ("install",)


@case
def bad_requirement_in_the_project_file(desk: Desk) -> tuple[str, ...]:
    desk.install()
    desk.edit('"^1.0.0"', '"latest"')
    return ("install",)


@case
def project_file_is_not_toml(desk: Desk) -> tuple[str, ...]:
    desk.init()
    desk.edit("[project]", "[project")
    return ("install",)


@case
def offline_registry(desk: Desk) -> tuple[str, ...]:
    return ("search", "math", "--offline", "--registry", "https://skills.example.com")


@case
def missing_registry(desk: Desk) -> tuple[str, ...]:
    return ("search", "math", "--registry", "./team-registry")


@case
def unreachable_registry(desk: Desk) -> tuple[str, ...]:
    return ("search", "math", "--registry", "http://127.0.0.1:9")


@case
def published_already_with_other_content(desk: Desk) -> tuple[str, ...]:
    desk.publish()
    return ("publish", desk.pack("acme/math", "1.0.0", "--summary", "other"))


@case
def show_unknown_skill(desk: Desk) -> tuple[str, ...]:
    desk.publish()
    return ("show", "acme/maths")


@case
def nothing_to_pack(desk: Desk) -> tuple[str, ...]:
    return ("pack", "../base", "../base", *NAMED)


@case
def pack_version_is_not_semver(desk: Desk) -> tuple[str, ...]:
    return ("pack", "../base", "../tuned", "--name", "acme/math", "--version", "1.0")


@case
def budget_too_small(desk: Desk) -> tuple[str, ...]:
    return ("pack", "../base", "../tuned", *NAMED, "--budget", "1kB")


@case
def budget_without_unit(desk: Desk) -> tuple[str, ...]:
    return ("pack", "../base", "../tuned", *NAMED, "--budget", "5")


@case
def unwritable_output(desk: Desk) -> tuple[str, ...]:
    return ("pack", "../base", "../tuned", *NAMED, "-o", "../packs/math.skillpack")


@case
def option_of_another_scheme(desk: Desk) -> tuple[str, ...]:
    return ("pack", "../base", "../tuned", *NAMED, "--scheme", "lossless", "--keep", "0.9")


@case
def weights_are_a_git_lfs_pointer(desk: Desk) -> tuple[str, ...]:
    for path in desk.base.glob("*.safetensors"):
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    return ("identify", "../base")


@case
def no_generation_before(desk: Desk) -> tuple[str, ...]:
    desk.init()
    return ("rollback",)


@case
def unknown_generation(desk: Desk) -> tuple[str, ...]:
    desk.install()
    return ("rollback", "9")


@case
def not_installed(desk: Desk) -> tuple[str, ...]:
    desk.install()
    return ("uninstall", "acme/maths")


@case
def required_by_another_skill(desk: Desk) -> tuple[str, ...]:
    desk.install()
    desk.run("install", desk.pack("acme/sql", "1.0.0", "--requires", "acme/math ^1"))
    return ("uninstall", "acme/math")


@case
def needless_reinstall(desk: Desk) -> tuple[str, ...]:
    desk.install()
    return ("install", "acme/math")


@case
def graft_of_a_base_that_changed(desk: Desk) -> tuple[str, ...]:
    desk.install()
    desk.change_base()
    return ("graft",)


@case
def graft_of_a_base_that_is_gone(desk: Desk) -> tuple[str, ...]:
    desk.install()
    desk.base.rename(desk.world.folder / "moved")
    return ("graft",)


@case
def graft_into_a_folder_with_other_files(desk: Desk) -> tuple[str, ...]:
    desk.install()
    (desk.world.project / "served").mkdir()
    (desk.world.project / "served" / "notes.txt").write_text("mine\n")
    return ("graft", "-o", "./served")


@case
def plan_of_another_state(desk: Desk) -> tuple[str, ...]:
    desk.init()
    desk.publish()
    planned = desk.world.run("install", "acme/math", "--dry-run", "--json")
    (desk.world.project / "plan.json").write_text(planned.out)
    desk.run("install", "acme/math")
    return ("apply", "plan.json")


@case
def advisory_is_not_osv(desk: Desk) -> tuple[str, ...]:
    (desk.world.project / "bad.json").write_text('{"id": "ACME-1"}\n')
    return ("registry", "advisory", "add", "bad.json")


@case
def json_error(desk: Desk) -> tuple[str, ...]:
    return ("list", "--json")
