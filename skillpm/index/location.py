"""What the URL of a registry says; nothing is opened."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from skillpm.errors import UsageError


def folder_of(url: str) -> Path | None:
    """The folder that a URL of an embedded registry names, None for other schemes.

    Raises `UsageError` where the URL is none.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise UsageError(f"`{url}` names the host `{parts.netloc}`; expected `file:///path`")
        return Path(unquote(parts.path))
    return None if "://" in url else Path(os.path.expanduser(url))  # noqa: PTH111 - never raises
