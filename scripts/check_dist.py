"""Check the wheel and the sdist of a release: `python -m scripts.check_dist dist`.

Reads both archives, without importing or installing them. Needs the standard library alone.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import re
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from email.parser import HeaderParser
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("skillpm", "registry/skillpm_registry")
MIGRATIONS = "skillpm_registry/_migrations"
COMMAND = "[console_scripts]\nskillpm = skillpm.cli:main"
Files = Mapping[str, bytes]
"""The files of an archive, by path."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every problem; return 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m scripts.check_dist", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with one wheel and one sdist")
    parser.add_argument("--tag", help="the release's Git tag, such as v0.2.0")
    parser.add_argument("--man", action="store_true", help="require the man pages of `make man`")
    options = parser.parse_args(arguments)
    problems = list(dist_problems(options.folder, options.tag, man=options.man))
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if not problems:
        names = ", ".join(sorted(path.name for path in options.folder.iterdir()))
        print(f"{names}: no problems")
    return 1 if problems else 0


def dist_problems(folder: Path, tag: str | None, *, man: bool) -> Iterator[str]:
    """Yield what is wrong with the wheel and the sdist of a folder."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = project["version"]
    stem = f"{project['name'].replace('-', '_')}-{version}"
    expected = {f"{stem}-py3-none-any.whl", f"{stem}.tar.gz"}
    found = {path.name for path in folder.iterdir()}
    if found != expected:
        yield f"{folder} has {sorted(found)}; expected {sorted(expected)}"
        return
    yield from version_problems(version, tag)
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    yield from wheel_problems(files, stem)
    if man and f"{_man(stem)}skillpm.1" not in files:
        yield "the wheel has no man pages; `make man` writes them"
    with tarfile.open(folder / f"{stem}.tar.gz") as archive_:
        yield from sdist_problems({name.partition("/")[2] for name in archive_.getnames()})


def version_problems(version: str, tag: str | None) -> Iterator[str]:
    """Yield differences between pyproject.toml, skillpm/version.py, CHANGELOG.md and the tag."""
    source = (REPOSITORY / "skillpm" / "version.py").read_text(encoding="utf-8")
    if f'"{version}"' not in source:
        yield f"pyproject.toml has version {version}; skillpm/version.py has another one"
    if tag is None:
        return
    if tag != f"v{version}":
        yield f"the tag is {tag}; pyproject.toml has version {version}"
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE
    ):
        yield f"CHANGELOG.md has no section `## [{version}] - DATE`"


def wheel_problems(files: Files, stem: str) -> Iterator[str]:
    """Yield what is wrong with the files of a wheel; `stem` is `NAME-VERSION`."""
    info = f"{stem}.dist-info"
    sources = _wheel_sources()
    for name in sorted(sources - set(files)):
        yield f"the wheel lacks {name}"
    known = (f"{info}/", f"{_man(stem)}skillpm")
    rest = sorted(name for name in set(files) - sources if not name.startswith(known))
    for name in rest:
        yield f"the wheel has {name}, which is not a file of the checkout's packages"
    if files.get(f"{info}/entry_points.txt", b"").decode().strip() != COMMAND:
        yield "the wheel's command is not `skillpm = skillpm.cli:main`"
    if f"{info}/licenses/LICENSE" not in files:
        yield "the wheel has no licence"
    metadata = HeaderParser().parsestr(files.get(f"{info}/METADATA", b"").decode())
    if not metadata["Description-Content-Type"] or not metadata.get_payload():
        yield "the wheel's metadata has no description"
    yield from _record_problems(files, f"{info}/RECORD")


def sdist_problems(names: set[str]) -> Iterator[str]:
    """Yield the files that a wheel is built from, or that tests need, and an sdist lacks."""
    needed = {
        "pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "CHANGELOG.md", "Makefile",
        "CONTRIBUTING.md", "SECURITY.md", "constraints.txt", "tests/conftest.py",
        "scripts/check_dist.py", *_below("skillpm"), *_below("migrations"), *_below("registry"),
    }  # fmt: skip
    for name in sorted(needed - names):
        yield f"the sdist lacks {name}"


def _man(stem: str) -> str:
    """The folder of man pages in a wheel."""
    return f"{stem}.data/data/share/man/man1/"


def _wheel_sources() -> set[str]:
    """The paths in a wheel of the checkout's packages and migrations."""
    packages = {name for folder in PACKAGES for name in _below(folder)}
    return packages | {name.replace("migrations", MIGRATIONS, 1) for name in _below("migrations")}


def _below(folder: str) -> Iterator[str]:
    """The files of a folder of the checkout, as paths from the folder's parent."""
    root = REPOSITORY / folder
    for path in root.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(root.parent).as_posix()


def _record_problems(files: Files, record: str) -> Iterator[str]:
    """Yield files whose SHA-256 is not the one that RECORD has."""
    rows = csv.reader(io.StringIO(files.get(record, b"").decode()))
    recorded = {row[0]: row[1] for row in rows if row}
    for name in sorted(set(files) - {record}):
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=")
        if recorded.get(name) != f"sha256={digest.decode()}":
            yield f"RECORD has no or another digest of {name}"


if __name__ == "__main__":
    sys.exit(main())
