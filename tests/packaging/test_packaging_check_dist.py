"""`scripts/check_dist.py`: what the release workflow checks before it publishes."""

import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import check_dist
from skillpm.version import __version__

STEM = f"skillpm_graft-{__version__}"
INFO = f"{STEM}.dist-info"
MIGRATION = "skillpm_registry/_migrations/env.py"
Change = Callable[[dict[str, bytes]], object]


@pytest.fixture(scope="module")
def files(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_wheel_and_sdist_of_the_checkout_pass(
    dist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_dist.main([str(dist)]) == 0, capsys.readouterr().err
    assert f"{STEM}-py3-none-any.whl" in capsys.readouterr().out


@pytest.mark.parametrize(("change", "problem"), [
    (lambda files: files.pop(MIGRATION), f"the wheel lacks {MIGRATION}"),
    (lambda files: files.pop("skillpm/py.typed"), "the wheel lacks skillpm/py.typed"),
    (lambda files: files.update({"tests/conftest.py": b""}), "the wheel has tests/conftest.py"),
    (lambda files: files.update({"skillpm/left.py": b""}), "the wheel has skillpm/left.py"),
    (lambda files: files.update({"skillpm/cli/app.py": b""}), "digest of skillpm/cli/app.py"),
    (lambda files: files.pop(f"{INFO}/entry_points.txt"), "the wheel's command is not"),
    (lambda files: files.pop(f"{INFO}/licenses/LICENSE"), "the wheel has no licence"),
    (lambda files: files.pop(f"{INFO}/METADATA"), "no description"),
])  # fmt: skip
def test_changed_wheel_is_reported(files: dict[str, bytes], change: Change, problem: str) -> None:
    changed = dict(files)
    change(changed)
    assert any(problem in found for found in check_dist.wheel_problems(changed, STEM))
    assert not list(check_dist.wheel_problems(files, STEM))


def test_sdist_that_cannot_build_the_wheel_is_reported() -> None:
    problems = set(check_dist.sdist_problems({"README.md"}))
    assert "the sdist lacks hatch_build.py" in problems
    assert "the sdist lacks registry/skillpm_registry/service.py" in problems
    assert "the sdist lacks README.md" not in problems


def test_release_without_man_pages_fails(
    files: dict[str, bytes], dist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    man = f"{STEM}.data/data/share/man/man1/skillpm.1"
    assert (check_dist.main([str(dist), "--man"]) == 0) == (man in files)
    assert ("no man pages" in capsys.readouterr().err) == (man not in files)


def test_folder_with_another_file_fails(
    dist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(dist, tmp_path / "dist"))
    (folder / "skillpm_graft-0.0.1.tar.gz").touch()
    assert check_dist.main([str(folder)]) == 1
    assert "skillpm_graft-0.0.1.tar.gz" in capsys.readouterr().err


def test_tag_must_be_the_version_that_the_changelog_dates() -> None:
    assert not list(check_dist.version_problems("0.2.0", "v0.2.0")) or __version__ != "0.2.0"
    problems = " ".join(check_dist.version_problems("9.9.9", "v1.0.0"))
    assert re.search(
        r"version\.py.*the tag is v1\.0\.0.*no section `## \[9\.9\.9\] - DATE`", problems
    )
