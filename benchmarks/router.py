"""Issue 5, figure 3: the router at 2, 5, 10, 25 and 50 skills, on the real encoder.

`python -m benchmarks.router [--project] [--plot FILE.png]`. Skills are subjects: what parts of
libraries write about themselves; 50 of 62 may be skills, the other twelve are foreign. Each of
three seeds draws subjects, 32 examples and 12 queries of each. `general` is prose about everything:
half of it is the base's background (`--router-background`), the other half must go to the base.
Signatures are written and read again as `pack --router` and `route` do it. A pack's signature alone
matters here, so no pack is cut, but for `--project`: ten packs that share one small delta are
packed, published, installed and routed by the commands. Features are kept in .cache/router.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from benchmarks.router_plot import draw_router
from benchmarks.router_topics import SUBJECTS, general_texts, texts_of
from benchmarks.table import Table, add_output, publish
from examples.code_search.encoder import packaged_model
from skillpm.routing.features import features
from skillpm.routing.router import Router
from skillpm.routing.signature import Signature, parse_signature
from skillpm.running.runner import Runner
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName

if TYPE_CHECKING:
    from collections.abc import Iterable

    from skillpm.routing.signature import Array

CACHE = Path(__file__).parent / ".cache" / "router"
SIZES = (2, 5, 10, 25, 50)
SEEDS = (0, 1, 2)
EXAMPLES, QUERIES, BACKGROUND = 32, 12, 80
MOST_SKILLS = 50
BASE = Digest.of(b"all-MiniLM-L6-v2")
KEYS = ("right", "other skill", "to the base", "general kept", "foreign kept")


@dataclass(frozen=True)
class Corpus:
    """Texts of each subject and general ones; and their features, in the same order."""

    texts: dict[str, list[str]]
    seen: dict[str, Array]


@dataclass(frozen=True)
class Draw:
    """One seed's subjects: skills in the order that they are installed in, and foreign ones."""

    skills: list[str]
    foreign: list[str]
    order: dict[str, Array]


def corpus(runner: Runner) -> Corpus:
    """Read all texts and look at each once; kept by the digest of all texts."""
    kept = CACHE / "texts.json"
    if kept.exists():
        texts = json.loads(kept.read_text(encoding="utf-8"))
    else:
        texts = {subject: texts_of(subject)[: EXAMPLES + QUERIES] for subject in SUBJECTS}
        texts["general"] = general_texts()[: 2 * BACKGROUND]
        CACHE.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(texts), encoding="utf-8")
    digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:12]
    seen = {name: _seen(runner, f"{digest}-{name}", found) for name, found in texts.items()}
    return Corpus(texts, seen)


def _seen(runner: Runner, name: str, texts: list[str]) -> Array:
    path = CACHE / f"{name}.npy"
    if not path.exists():
        np.save(path, features(runner, texts))
        print(f"{name}: {len(texts)} texts", file=sys.stderr, flush=True)
    found: Array = np.load(path)
    return found


def draw(corpus: Corpus, seed: int) -> Draw:
    chance = np.random.default_rng(seed)
    names = [str(name) for name in chance.permutation(sorted(SUBJECTS))]
    order = {name: chance.permutation(len(one)) for name, one in sorted(corpus.seen.items())}
    return Draw(names[:MOST_SKILLS], names[MOST_SKILLS:], order)


def signatures(
    corpus: Corpus, drawn: Draw, size: int, *, background: bool
) -> dict[SkillName, Signature]:
    """The signatures of the first skills, as they are read from their packs."""
    general = corpus.seen["general"][drawn.order["general"][: BACKGROUND if background else 0]]
    found = {}
    for name in drawn.skills[:size]:
        examples = corpus.seen[name][drawn.order[name][:EXAMPLES]]
        data = Signature(BASE, examples, general, "file").dumps()
        found[SkillName.parse(f"bench/{name}")] = parse_signature(data, BASE, name)
    return found


def measure(corpus: Corpus, drawn: Draw, size: int, *, background: bool) -> dict[str, float]:
    """Shares of queries, of foreign and of general texts; seconds and milliseconds."""
    started = time.perf_counter()
    router = Router.of(signatures(corpus, drawn, size, background=background))
    built = time.perf_counter() - started
    own: list[tuple[str, SkillName | None]] = []
    started, count = time.perf_counter(), 0
    for name in drawn.skills[:size]:
        queries = corpus.seen[name][drawn.order[name][EXAMPLES:]]
        own += [(name, one.skill) for one in router.decide(queries)]
        count += len(queries)
    spent = time.perf_counter() - started
    foreign = np.concatenate(
        [corpus.seen[name][drawn.order[name][EXAMPLES:]] for name in drawn.foreign]
    )
    general = corpus.seen["general"][drawn.order["general"][BACKGROUND:]]
    return {
        "right": _share(skill is not None and skill.name == name for name, skill in own),
        "other skill": _share(skill is not None and skill.name != name for name, skill in own),
        "to the base": _share(skill is None for _, skill in own),
        "general kept": _share(one.skill is None for one in router.decide(general)),
        "foreign kept": _share(one.skill is None for one in router.decide(foreign)),
        "build s": built,
        "decide ms": 1000 * spent / count,
    }


def _share(found: Iterable[bool]) -> float:
    return float(np.mean(list(found)))


def sweep(corpus: Corpus, *, background: bool) -> dict[int, list[dict[str, float]]]:
    """All sizes and seeds."""
    draws = [draw(corpus, seed) for seed in SEEDS]
    return {
        size: [measure(corpus, one, size, background=background) for one in draws] for size in SIZES
    }


def tabled(title: str, found: dict[int, list[dict[str, float]]]) -> Table:
    table = Table(title, ("skills", *KEYS, "build, s", "decide, ms"))
    for size, rows in found.items():
        shares = [_with_spread([row[key] for row in rows]) for key in KEYS]
        built, spent = (
            statistics.mean(row[key] for row in rows) for key in ("build s", "decide ms")
        )
        table.row(size, *shares, f"{built:.2f}", f"{spent:.2f}")
    return table


def _with_spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.1%} ± {statistics.stdev(values):.1%}"


def query_ms(runner: Runner, texts: list[str]) -> float:
    """The median time of one text's features."""
    spent = []
    for text in texts:
        started = time.perf_counter()
        features(runner, [text])
        spent.append(1000 * (time.perf_counter() - started))
    return statistics.median(spent)


def through_commands(corpus: Corpus, folder: Path, size: int = 10) -> Table:
    """Pack, install and route by the commands, seed 0; the share decided as in this process."""
    drawn = draw(corpus, 0)
    base, tuned = packaged_model(), _tuned(folder)
    _files(corpus, drawn, folder, size)
    _command(folder, "init", "--base", base)
    for name in drawn.skills[:size]:
        pack = folder / f"{name}.skillpack"
        _command(
            folder, "pack", base, tuned, "--name", f"bench/{name}", "--version", "1.0.0",
            "-o", pack, "--router", folder / f"{name}.jsonl",
            "--router-background", folder / "general.jsonl",
        )  # fmt: skip
        _command(folder, "publish", pack)
    _command(folder, "install", *(f"bench/{name}" for name in drawn.skills[:size]))
    answers = _command(folder, "route", "--file", folder / "asked.jsonl")
    got = [one["skill"] for one in answers["results"]]
    general = got[len(got) - BACKGROUND :]
    own = got[: len(got) - BACKGROUND]
    table = Table(f"{size} skills by `pack --router`, `publish`, `install`, `route`",
                  ("texts", "count", "share"))  # fmt: skip
    right = [
        skill == wanted for skill, wanted in zip(own, _wanted(corpus, drawn, size), strict=True)
    ]
    table.row("queries that go to their skill", len(own), f"{_share(right):.1%}")
    table.row("queries that go to the base", len(own), f"{_share(one is None for one in own):.1%}")
    table.row("general texts that go to the base", len(general),
              f"{_share(one is None for one in general):.1%}")  # fmt: skip
    return table


def _wanted(corpus: Corpus, drawn: Draw, size: int) -> list[str]:
    return [
        f"bench/{name}"
        for name in drawn.skills[:size]
        for _ in range(len(corpus.texts[name]) - EXAMPLES)
    ]


def _tuned(folder: Path) -> Path:
    """The encoder with one bias moved: the delta that all packs share."""
    tuned = Path(shutil.copytree(packaged_model(), folder / "tuned"))
    tensors = load_file(tuned / "model.safetensors")
    tensors["encoder.layer.5.output.LayerNorm.bias"] += 0.01
    save_file(tensors, tuned / "model.safetensors", metadata={"format": "pt"})
    return tuned


def _files(corpus: Corpus, drawn: Draw, folder: Path, size: int) -> None:
    def write(name: str, texts: list[str]) -> None:
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")

    def drawn_texts(name: str) -> list[str]:
        return [corpus.texts[name][place] for place in drawn.order[name]]

    asked: list[str] = []
    for name in drawn.skills[:size]:
        write(name, drawn_texts(name)[:EXAMPLES])
        asked += drawn_texts(name)[EXAMPLES:]
    write("general", drawn_texts("general")[:BACKGROUND])
    write("asked", asked + drawn_texts("general")[BACKGROUND:])


def _command(folder: Path, *arguments: object) -> dict[str, Any]:
    environment = {**os.environ, "SKILLPM_HOME": str(folder / "home")}
    (folder / "project").mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "skillpm", *map(str, arguments), "--json", "-y"],
        cwd=folder / "project", env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", action="store_true", help="also go through the commands")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="also draw the figure")
    add_output(parser)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    runner = Runner.load(packaged_model(), "cpu")
    found = corpus(runner)
    known, blind = (sweep(found, background=one) for one in (True, False))
    publish(tabled("The router with a background of general text", known), asked.append)
    publish(tabled("The router without a background", blind), asked.append)
    texts = [text for one in found.texts.values() for text in one[:1]][:20]
    print(f"one query's features: {query_ms(runner, texts):.1f} ms, one thread\n")
    if asked.plot:
        draw_router(known, blind, asked.plot)
    if asked.project:
        with tempfile.TemporaryDirectory() as folder:
            table = through_commands(found, Path(folder))
        publish(table, asked.append)


if __name__ == "__main__":
    main()
