"""Transfer of skills from small foreign sources to one base.

`python -m benchmarks.transfer table1 --base DIR --cache DIR [--skills sql,numbers] [--seeds 0]
[--rows base,keep] [--write FILE]` trains, packs and measures. Cells are kept by the digest of their
inputs, so a killed run continues. `--table` only prints. `python -m benchmarks.transfer kills
[--points 50]` kills a transfer of tiny models at random times. Both need the extras `transfer` and
`dev`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

CACHE = Path(__file__).parents[1] / ".cache" / "transfer"


def table1(asked: argparse.Namespace) -> int:
    """Finish the cells skill by skill; print the table after each skill and row."""
    from benchmarks.transfer.cells import finish_cell
    from benchmarks.transfer.experiment import Experiment
    from benchmarks.transfer.rows import ROWS
    from benchmarks.transfer.skills.catalogue import SKILLS
    from benchmarks.transfer.table import table_of

    rows = _chosen(asked.rows, list(ROWS))
    experiments = [
        Experiment(asked.base.absolute(), asked.cache.absolute(), SKILLS[name], int(seed))
        for name in _chosen(asked.skills, list(SKILLS))
        for seed in asked.seeds.split(",")
    ]
    for experiment in [] if asked.table else experiments:
        for row in rows:
            finish_cell(experiment, row)
            if asked.write:
                asked.write.write_text(table_of(experiments, rows).markdown(), encoding="utf-8")
    found = table_of(experiments, rows).markdown()
    print(found)
    if asked.write:
        asked.write.write_text(found, encoding="utf-8")
    return 0


def kills(asked: argparse.Namespace) -> int:
    """Kill transfers, and print what held."""
    from benchmarks.transfer.kills import attack

    return attack(asked.points, asked.seed)


def _chosen(names: str | None, known: list[str]) -> list[str]:
    chosen = known if names is None else names.split(",")
    if unknown := [name for name in chosen if name not in known]:
        sys.exit(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfer", description=__doc__)
    parts = parser.add_subparsers(required=True)
    first = parts.add_parser("table1", help="transfer and compression")
    first.add_argument("--base", type=Path, required=True, help="the folder of the base")
    first.add_argument("--cache", type=Path, default=CACHE)
    first.add_argument("--skills", help="separated by commas (default: all)")
    first.add_argument("--seeds", default="0", help="separated by commas")
    first.add_argument("--rows", help="separated by commas (default: all)")
    first.add_argument("--write", type=Path, metavar="FILE", help="write the Markdown table")
    first.add_argument("--table", action="store_true", help="only print what is finished")
    first.set_defaults(part=table1)
    second = parts.add_parser("kills", help="a transfer that is killed at random times")
    second.add_argument("--points", type=int, default=50)
    second.add_argument("--seed", type=int, default=1)
    second.set_defaults(part=kills)
    asked = parser.parse_args()
    code: int = asked.part(asked)
    return code


if __name__ == "__main__":
    sys.exit(main())
