"""Figure 4: 1,000 random kill points over all commands that write; a quarter are in a race.

`python -m benchmarks.commands.kills [--points N] [--seed N] [--only COMMAND]…`

Each kill is a SIGKILL in a fresh copy of the folders. Half of the kills are at a random system
call, half when a random timer expires. In a quarter of the points, another command runs in the
same project and home, and either or both are killed.

After each kill, reading commands must show a complete generation and write nothing. The next
command must leave no temporary files. The killed command, run again, must reach the same result as
an undisturbed run. A command that survives a race must succeed, or name the process that holds the
lock. The exit code is 0 if no state was broken, and nothing was lost or leaked.
"""

import argparse
import sys
import tempfile
from dataclasses import astuple, fields
from pathlib import Path

from benchmarks.commands.kills_points import Row, attack
from benchmarks.tools.table import Table, add_output, publish

TESTS = Path(__file__).parents[2] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "crash")]

from crash_case import Killer  # noqa: E402 - the tests own the judges
from crash_scenes import NAMES, make_scenes  # noqa: E402


def main() -> int:
    asked = _asked()
    names = asked.only or NAMES
    rows: dict[str, Row] = {}
    killer = Killer()
    with tempfile.TemporaryDirectory() as folder:
        scenes = make_scenes(killer, Path(folder))
        for at, name in enumerate(names):
            share = len(range(at, asked.points, len(names)))
            rows[name] = attack(killer, scenes[name], range(at, at + share), asked.seed)
            print(f"{name}: {rows[name]}", file=sys.stderr, flush=True)
    killer.close()
    total = Row(*map(sum, zip(*map(astuple, rows.values()), strict=True)))
    head = ("command", *(one.name.replace("_", " ") for one in fields(Row)))
    table = Table(f"{asked.points:,} kills, seed {asked.seed}", head)
    for name, row in {**rows, "all": total}.items():
        table.row(name, *astuple(row))
    publish(table, asked.append)
    return int(total.fails)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=NAMES)
    add_output(parser)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
