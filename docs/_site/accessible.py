"""Corrects the pages that the theme writes, where axe finds barriers.

Scrollable boxes get the keyboard's focus, landmarks get names, an empty corner of a table is no
heading, and the search has a heading.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

_CHANGES = (
    ('<aside class="sidebar-drawer">', '<aside class="sidebar-drawer" aria-label="Site">'),
    ('<aside class="toc-drawer', '<aside aria-label="On this page" class="toc-drawer'),
    ("<pre>", '<pre tabindex="0">'),
    ('<div class="table-wrapper', '<div tabindex="0" class="table-wrapper'),
    ('<div id="search-results">', '<h1>Search</h1>\n<div id="search-results">'),
)
_EMPTY_HEADING = re.compile(r"<th[^>]*><p></p></th>")


def correct_pages(app: Sphinx, problem: Exception | None) -> None:
    """Rewrite every page after a build that succeeded."""
    if problem is None and app.builder.format == "html":
        for page in Path(app.outdir).rglob("*.html"):
            page.write_text(corrected(page.read_text(encoding="utf-8")), encoding="utf-8")


def corrected(html: str) -> str:
    """A page without the barriers; a page that was corrected before stays as it is."""
    for old, new in _CHANGES:
        if new not in html:
            html = html.replace(old, new)
    return _EMPTY_HEADING.sub("<td></td>", html)
