"""The option `--postgres [URL]`: measure on PostgreSQL, on a server of the benchmark's own."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).parents[2] / "tests"
sys.path[:0] = [str(TESTS)]

from services import postgres  # noqa: E402 - the tests own the services

_OWN = "own"


def add_postgres(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--postgres", metavar="URL", nargs="?", const=_OWN,
        help="an empty database; without a URL, a PostgreSQL server is started",
    )  # fmt: skip


@contextmanager
def database_url(given: str | None) -> Iterator[str | None]:
    """The URL of an empty database; None for SQLite."""
    if given != _OWN:
        yield given
        return
    with postgres() as cluster:
        yield cluster.new_database()
