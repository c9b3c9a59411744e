"""Links of README and documentation: pages, anchors and drawings exist, and addresses are valid.

No link is followed to another host.
"""

import re
from functools import cache
from urllib.parse import urlsplit

import pytest
from skillpm_world import REPOSITORY

PAGES = sorted(
    str(page.relative_to(REPOSITORY))
    for page in (*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"))
)
_FENCE = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *#*$", re.MULTILINE)


@cache
def prose(page: str) -> str:
    """The text of a page without code."""
    return _FENCE.sub("", (REPOSITORY / page).read_text(encoding="utf-8"))


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub and the site make it."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(page: str) -> set[str]:
    return {slug(heading) for heading in _HEADING.findall(prose(page))}


def problems(page: str, target: str) -> str | None:
    """What is wrong with a link of a page; None if it is right."""
    address = urlsplit(target)
    if address.scheme or address.netloc:
        right = address.scheme in ("http", "https") and "." in address.netloc
        return None if right else f"{target}: not an address on the web"
    path = (REPOSITORY / page).parent / address.path if address.path else REPOSITORY / page
    if not path.exists():
        return f"{target}: no such file"
    name = str(path.resolve().relative_to(REPOSITORY.resolve()))
    if address.fragment and address.fragment not in anchors(name):
        return f"{target}: no such heading"
    return None


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_somewhere(page: str) -> None:
    targets = _LINK.findall(_CODE.sub("", prose(page)))
    assert not [found for target in targets if (found := problems(page, target))]


@pytest.mark.parametrize("target", [
    "nothing.md", "docs/glossary.md#nothing", "#nothing", "htp://example.org", "http://localhost/x",
])  # fmt: skip
def test_a_broken_link_is_detected(target: str) -> None:
    assert problems("README.md", target)


def test_a_link_to_a_heading_is_accepted() -> None:
    assert problems("README.md", "docs/glossary.md#skillpms-own-terms") is None
