"""Runs a skillpm command that dies by SIGKILL: rename|link PATTERN NUMBER before|after ARGUMENT...

The process dies just before or after the NUMBER-th call of `os.rename` or `os.link` whose new name
matches PATTERN.
"""

import os
import re
import signal
import sys
from typing import Any

from skillpm.cli import main


def die_at(function: str, pattern: str, number: int, moment: str) -> None:
    """Make this process kill itself at the n-th matching call."""
    call, seen = getattr(os, function), 0

    def counted(source: Any, target: Any, **options: Any) -> None:
        nonlocal seen
        matches = re.fullmatch(pattern, os.path.basename(target)) is not None  # noqa: PTH119
        seen += matches
        is_last = matches and seen == number
        if is_last and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        call(source, target, **options)
        if is_last:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(os, function, counted)


if __name__ == "__main__":
    die_at(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
    main(sys.argv[5:])
