"""The configuration of the documentation site: Sphinx, MyST Markdown and the theme furo.

`make docs` builds it into `build/docs`. The pages request nothing from another host.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_site"))

project = "skillpm"
author = "the skillpm developers"
project_copyright = "the skillpm developers"
language = "en"
root_doc = "index"

extensions = ["myst_parser", "skillpm_site"]
exclude_patterns = ["_site", "README.md"]
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
nitpicky = True
suppress_warnings = ["misc.highlighting_failure"]  # a transcript is no program
smartquotes = False  # two hyphens are the beginning of an option, not a dash

html_theme = "furo"
html_title = "skillpm"
html_static_path = ["_site/static"]
html_css_files = ["skillpm.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
