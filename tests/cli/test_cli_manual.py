"""Man pages of all commands."""

import shutil
import subprocess
from pathlib import Path

import pytest
from documented import leaves

from skillpm.cli.manual import man_pages, write_man_pages

DAY = "2026-11-30"
PAGES = man_pages(DAY)


def test_every_command_has_a_page() -> None:
    commands = {f"skillpm-{words.replace(' ', '-')}.1" for words in leaves()}
    assert commands | {"skillpm.1"} <= PAGES.keys()


def test_a_page_has_synopsis_options_and_examples() -> None:
    page = PAGES["skillpm-install.1"]
    assert page.startswith('.TH "SKILLPM\\-INSTALL" "1" "2026-11-30" "skillpm ')
    for part in (
        ".SH SYNOPSIS",
        ".SH OPTIONS",
        ".B \\-\\-dry\\-run",
        "skillpm install \\-\\-frozen",
    ):
        assert part in page


def test_pages_are_plain_text_of_roff() -> None:
    for name, page in PAGES.items():
        assert page.isascii(), name
        assert "\b" not in page, name
        requests = {line.split()[0] for line in page.splitlines() if line.startswith(".")}
        assert requests <= {".TH", ".nh", ".ad", ".SH", ".B", ".PP", ".TP", ".nf", ".fi"}, name


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="needs mandoc")
def test_mandoc_has_no_warning(tmp_path: Path) -> None:
    write_man_pages(tmp_path, DAY)
    files = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *files],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
