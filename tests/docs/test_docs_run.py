"""The command blocks of README and documentation run, from the top of each page to its bottom.

Each page runs in a folder with tiny models under the names that the pages use. What a page needs
beside them stands in `SETUP`. `docs/_site/command_blocks.py` reads the blocks and their marks.
"""

import json
import re
from pathlib import Path

import pytest
from command_blocks import CommandBlock, blocks_of, pages
from page_shell import PageShell
from skillpm_world import REPOSITORY, World
from tiny_adapters import CASES
from tiny_adapters import make as make_adapter
from tiny_learners import (
    COLOR_PROBES,
    COLORS,
    GENERAL,
    MATH,
    MATH_PROBES,
    Learners,
    store,
    write_probes,
)
from tiny_models import Models, nudge
from transformers import LlamaForCausalLM

ELISION = "…"
INIT = "skillpm init --base ./model"
SKILLS = (
    "skillpm publish acme-math-1.0.0.skillpack", "skillpm publish acme-sql-1.0.0.skillpack",
    "skillpm publish acme-tone-1.0.0.skillpack",
)  # fmt: skip
INSTALLED = (INIT, *SKILLS, "skillpm install acme/math")
SETUP: dict[str, tuple[str, ...]] = {
    "README.md": INSTALLED,
    "docs/tutorial.md": (),
    "docs/explanation/identity.md": (),
    "docs/how-to/run.md": (*INSTALLED, "skillpm install acme/sql"),
    "docs/how-to/serving.md": (*INSTALLED, "skillpm install acme/sql"),
    "docs/how-to/continual-learning.md": (SKILLS[2],),
    "docs/how-to/pack.md": ("rm acme-math-1.0.0.skillpack",),
    "docs/how-to/probes.md": (INIT, "rm acme-math-1.0.0.skillpack"),
    "docs/how-to/registry/upgrade.md": (
        "skillpm registry init /srv/skillpm-old",
        "skillpm publish acme-math-1.0.0.skillpack --registry /srv/skillpm-old",
    ),
    "docs/how-to/upgrade.md": (*INSTALLED, "skillpm publish acme-math-1.1.0.skillpack"),
    "docs/reference/configs.md": ("rm acme-math-1.0.0.skillpack",),
}
"""Commands before those of a page; without an entry, those of `INSTALLED`."""
WITH_ADAPTER = ("README.md", "docs/coming-from.md", "docs/how-to/adapters.md")
SERVER = """\
database = "sqlite:///{root}/srv/skillpm/registry.db"
blobs = "{root}/srv/skillpm/blobs"
url = "http://127.0.0.1:8765"
"""
RUN = [page for page in pages() if any(not block.not_run for block in blocks_of(page))]


def texts(path: Path, lines: tuple[str, ...]) -> None:
    path.write_text("".join(json.dumps({"text": line * 2}) + "\n" for line in lines))


def furnish(world: World, pairs: dict[str, tuple[Path, Path]], adapter: Path | None) -> None:
    """Put the models, the packs and the files of the pages into the page's folder."""
    here = world.project
    base, tuned = pairs["math"]
    for name, model in {
        "model": base, "base": base, "tuned": tuned, "tuned-on-sql": pairs["sql"][1],
        "tuned-further": pairs["further"][1],
    }.items():  # fmt: skip
        (here / name).symlink_to(model)
    if adapter is not None:
        (here / "lora").symlink_to(adapter)
    for name, version in (
        ("math", "1.0.0"),
        ("sql", "1.0.0"),
        ("tone", "1.0.0"),
        ("math", "1.1.0"),
    ):
        pair = pairs["further"] if version == "1.1.0" else pairs[name]
        pack = world.pack(pair, f"acme/{name}", version)
        pack.rename(here / pack.name)
    write_probes(here / "math-probes.jsonl", MATH_PROBES)
    write_probes(here / "sql-probes.jsonl", COLOR_PROBES)
    texts(here / "sql-examples.jsonl", (*COLORS, *(line * 2 for line in COLORS)))
    texts(here / "texts.jsonl", (*MATH, *GENERAL))
    (here / "index.json").write_text('{"skills": {"acme/math": {"1.0.0": {}, "1.1.0": {}}}}')
    (world.folder / "etc" / "skillpm").mkdir(parents=True)
    (world.folder / "srv" / "skillpm").mkdir(parents=True)
    config = world.folder / "etc" / "skillpm" / "server.toml"
    config.write_text(SERVER.format(root=world.folder))


@pytest.fixture(scope="module")
def learnt(
    learners: Learners, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, Path]]:
    """The base with each fine-tune; `further` was trained on `math`."""
    base, math = learners.math
    model = nudge(LlamaForCausalLM.from_pretrained(math), only="self_attn")
    further = store(model, tmp_path_factory.mktemp("further") / "model")
    return {
        "math": (base, math), "sql": learners.colors, "tone": learners.gentle,
        "further": (base, further),
    }  # fmt: skip


@pytest.fixture
def adapted(models: Models) -> dict[str, tuple[Path, Path]]:
    tuned = {
        "math": ("mlp", 1),
        "sql": ("self_attn", 1),
        "tone": ("norm", 1),
        "further": ("mlp", 2),
    }
    return {name: models.tuned(*how) for name, how in tuned.items()}


def run_page(page: str, shell: PageShell, *, slow: bool) -> None:
    for line in SETUP.get(page, INSTALLED):
        assert shell.run(line) == 0, shell.outcomes[-1]
    for block in blocks_of(page):
        if not (block.not_run or (block.slow and not slow)):
            run_block(shell, block)


def run_block(shell: PageShell, block: CommandBlock) -> None:
    if block.file:
        Path(block.file).write_text(block.text, encoding="utf-8")
        return
    *before, last = [line for line in block.commands if ELISION not in line]
    for line in before:
        assert shell.run(line) == 0, shell.outcomes[-1]
    assert shell.run(last) == block.exit_code, shell.outcomes[-1]


@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_run(
    page: str, world: World, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    if page == "docs/tutorial.md":
        pairs, adapter = None, None
    elif page in WITH_ADAPTER:
        pairs = request.getfixturevalue("adapted")
        adapter = make_adapter(tmp_path_factory.mktemp("adapter"), CASES["plain"]).adapter
    else:
        pairs, adapter = request.getfixturevalue("learnt"), None
    if pairs is not None:
        furnish(world, pairs, adapter)
    run_page(page, PageShell(world.folder, monkeypatch), slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", [
    page for page in RUN if any(block.slow for block in blocks_of(page))
])  # fmt: skip
def test_slow_commands_of_a_page_run(
    page: str, world: World, learnt: dict[str, tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish(world, learnt, None)
    run_page(page, PageShell(world.folder, monkeypatch), slow=True)


def test_a_block_that_does_not_run_has_a_reason() -> None:
    for page in pages():
        for block in blocks_of(page):
            for reason in filter(None, (block.not_run, block.slow)):
                assert len(reason.split()) > 1, page
            for path in re.findall(r"tests/[\w/.]+", block.not_run):
                assert (REPOSITORY / path).exists(), f"{page}: {path}"


def test_most_blocks_run() -> None:
    blocks = [block for page in pages() for block in blocks_of(page) if not block.file]
    assert sum(not block.not_run for block in blocks) > len(blocks) / 2
