"""The site of the documentation builds without a warning, and its pages agree with the source."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from command_blocks import drawing_name, drawings_of, pages
from skillpm_world import REPOSITORY

from skillpm.cli.described import described_commands
from skillpm.cli.manual import EXIT_CODES
from skillpm.errors import SkillpmError

DOCS = REPOSITORY / "docs"
SOURCES = [*(REPOSITORY / "skillpm").rglob("*.py"), *(REPOSITORY / "registry").rglob("*.py")]
OTHER_HOST = re.compile(r"""(?:src|href)=["'](?:https?:)?//[^"']*["']""")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("sphinx") is None, reason="needs the extra `docs`")
def test_the_site_builds_without_a_warning_and_loads_nothing_from_another_host(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    done = subprocess.run(
        [*command, DOCS, tmp_path], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert (done.returncode, done.stderr) == (0, "")
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(list(DOCS.rglob("*.md"))) / 2
    for page in pages:
        head = page.read_text(encoding="utf-8").partition("<body")[0]
        assert not OTHER_HOST.findall(head), page


def test_every_drawing_has_been_rendered() -> None:
    drawings = [drawing for page in pages() for drawing in drawings_of(page)]
    assert drawings
    names = {drawing_name(drawing) for drawing in drawings}
    stored = {path.name for path in (DOCS / "images").glob("drawing-*.svg")}
    assert names == stored, "run `make drawings`, and remove the old drawing"


def test_every_variable_of_the_source_is_documented() -> None:
    page = (DOCS / "reference" / "environment.md").read_text(encoding="utf-8")
    text = "".join(path.read_text(encoding="utf-8") for path in SOURCES)
    names = {name.rstrip("_") for name in re.findall(r"SKILLPM_[A-Z_]+", text)}
    missing = {name for name in names if f"`{name}`" not in page}
    assert missing <= {"SKILLPM_SERVER"}, missing


def test_every_exit_code_is_documented() -> None:
    page = (DOCS / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", page, flags=re.MULTILINE)}
    families: list[type[SkillpmError]] = [
        SkillpmError,
        *(kind for kind in SkillpmError.__subclasses__() if kind.__module__ == "skillpm.errors"),
    ]
    assert documented == set(EXIT_CODES)
    assert {family.exit_code for family in families} <= documented
    for family in families:
        row = re.search(rf"^\| {family.exit_code} \|.*`{family.kind}`", page, flags=re.MULTILINE)
        assert row or family.kind == "interrupted", family


def test_every_table_of_the_project_file_is_documented() -> None:
    from skillpm.spec.project import ProjectFile

    page = (DOCS / "reference" / "project-file.md").read_text(encoding="utf-8")
    for table in (*ProjectFile.model_fields, "config"):
        assert f"\n## [{table}]\n" in page, table


def test_commands_are_described_by_their_own_help() -> None:
    described = {command.name: command for command in described_commands()}
    install = described["skillpm install"]
    assert ("--dry-run", "Show the plan without applying it.") in install.options
    assert not {"--json", "--help"} & {term for term, _ in install.options}, "global options"
    assert any(paragraph.verbatim for paragraph in install.help)
    assert dict(described["skillpm registry token"].commands).keys() >= {"create", "list", "revoke"}
