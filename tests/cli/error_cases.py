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
