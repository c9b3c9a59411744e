"""The wheel and the sdist: what they hold, and that the wheel works without the checkout."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from distributions import REPOSITORY, build
from skillpm_world import World

VERSION = "0.2.0"
PACKAGES = {"skillpm", "skillpm_registry", f"skillpm_graft-{VERSION}.dist-info"}
MIGRATIONS = "skillpm_registry/_migrations"
MAN_PAGES = f"skillpm_graft-{VERSION}.data/data/share/man/man1/"
"""`make man` writes them; a wheel that is built without has none."""


def names_in(path: Path) -> set[str]:
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist())
    with tarfile.open(path) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def source_files(folder: str) -> set[str]:
    """The files of a folder of the checkout, as paths relative to that folder's parent."""
    root = REPOSITORY / folder
    return {
        str(path.relative_to(root.parent))
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def run(installed: Path, folder: Path, home: Path, *words: Any) -> str:
    """`python -m skillpm` with the unpacked wheel alone on the path; what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SKILLPM_")}
    command = [sys.executable, "-P", "-m", "skillpm", *map(str, words)]
    done = subprocess.run(
        command,
        env={**kept, "PYTHONPATH": str(installed), "SKILLPM_HOME": str(home)},
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wheel_contains_the_two_packages_and_the_migrations(wheel: Path) -> None:
    names = {name for name in names_in(wheel) if not name.startswith(MAN_PAGES)}
    assert {name.partition("/")[0] for name in names} == PACKAGES
    assert source_files("skillpm") <= names
    assert source_files("registry/skillpm_registry") <= names
    migrations = {name.removeprefix("migrations/") for name in source_files("migrations")}
    carried = {name.removeprefix(f"{MIGRATIONS}/") for name in names if MIGRATIONS in name}
    assert carried == migrations


def test_wheel_contains_no_file_that_the_checkout_lacks(wheel: Path) -> None:
    known = source_files("skillpm") | source_files("registry/skillpm_registry")
    placed = (MIGRATIONS, MAN_PAGES)
    rest = {name for name in names_in(wheel) - known if not name.startswith(placed)}
    assert {name.partition("/")[0] for name in rest} == {f"skillpm_graft-{VERSION}.dist-info"}


def test_sdist_contains_sources_tests_and_documentation(sdist: Path) -> None:
    names = names_in(sdist)
    for folder in ("skillpm", "migrations", "docs", "benchmarks", "examples"):
        assert {n for n in source_files(folder) if not n.startswith("benchmarks/.")} <= names
    assert {f"registry/{name}" for name in source_files("registry/skillpm_registry")} <= names
    assert {
        "pyproject.toml", "hatch_build.py", "Makefile", "constraints.txt", "README.md",
        "CHANGELOG.md", "LICENSE", "tests/conftest.py", "PKG-INFO",
    } <= names  # fmt: skip


def test_unpacked_wheel_creates_a_project_and_installs_a_pack(
    installed: Path, world: World, math: Any, tmp_path: Path
) -> None:
    pack = world.pack(math, "acme/math", "1.0.0")
    folder, home = tmp_path / "elsewhere", tmp_path / "fresh-home"
    folder.mkdir()
    assert "Usage: skillpm" in run(installed, folder, home, "--help")
    run(installed, folder, home, "init", "--base", math[0])
    assert "acme/math 1.0.0" in run(installed, folder, home, "install", pack)
    assert "acme/math" in run(installed, folder, home, "list")
    run(installed, folder, home, "graft")
    assert (folder / "graft" / "model.safetensors").is_file()


def test_packages_are_imported_from_the_unpacked_wheel(installed: Path, tmp_path: Path) -> None:
    code = (
        "import skillpm, skillpm_registry.service as service, skillpm_registry.db.migrate as m\n"
        "print(skillpm.__file__, service.__file__, m.alembic_config(None)"
        ".get_main_option('script_location'))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert all(Path(path).is_relative_to(installed) for path in done.stdout.split())


def test_editable_install_exposes_only_the_two_packages(tmp_path: Path) -> None:
    path = build("wheel:editable", tmp_path)
    files = {name for name in names_in(path) if ".dist-info/" not in name}
    finder = "_editable_impl_skillpm_graft.py"
    assert files == {finder, finder.replace(".py", ".pth")}
    with zipfile.ZipFile(path) as archive:
        text = archive.read(finder).decode()
    assert set(re.findall(r"map_module\('(\w+)'", text)) == {"skillpm", "skillpm_registry"}
