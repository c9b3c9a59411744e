"""The files of both transfers: prompts, held-out items, keep prompts, answers, transfer.toml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from examples.transfer import text_to_sql
from examples.transfer.dates import dates
from examples.transfer.general import keep_lines
from examples.transfer.items import write_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from examples.transfer.items import Item

SQL, DATES = "acme/text-to-sql", "acme/dates"
_FILE = """\
[target]
base = "{base}"
skill = "{skill}"
version = "1.0.0"

[[source]]
{source}

[prompts]
file = "prompts.jsonl"
keep = "general.jsonl"
held_out = "held-out.jsonl"

[sample]
draws = 1
temperature = 0
max_tokens = 28
batch = 64

[select]
sft_share = 1.0

[train]
sft = {{ epochs = {epochs}, lr = {rate} }}
dpo = {{ epochs = 0 }}
keep_share = {keep_share}
batch = 4
micro = 4
max_tokens = 256
interpolate = [0.85, 0.7, 0.5]

[evaluate]
skill = {held_out}
general = {general}
tokens = {tokens}
"""


@dataclass(frozen=True, slots=True)
class TransferSettings:
    """How much a transfer reads, trains and measures.

    `prompts` are learnt. `keep` general questions are asked: a quarter of them, at most `general`,
    measure, and `keep_share` of the rows are others of them. `tokens` limits a general answer.
    """

    prompts: int
    held_out: int
    keep: int
    general: int
    keep_share: float = 0.3
    epochs: int = 1
    rate: float = 1.5e-4
    tokens: int = 32


TEXT_TO_SQL = TransferSettings(prompts=125, held_out=100, keep=400, general=100)
DATES_TO_JSON = TransferSettings(prompts=64, held_out=24, keep=200, general=50)


def write_text_to_sql(
    folder: Path, base: Path, source: Path, settings: TransferSettings = TEXT_TO_SQL
) -> Path:
    """Write the files of the transfer from a model folder; return its transfer file."""
    items = text_to_sql.learnt(settings.prompts)
    table = f'name = "gpt2"\nmodel = "{source}"\nterms = "trained by this example"'
    held_out = text_to_sql.held_out(settings.held_out)
    return _write(folder, SQL, base, (items, held_out), (table, settings))


def write_dates(folder: Path, base: Path, settings: TransferSettings = DATES_TO_JSON) -> Path:
    """Write the files of the transfer from a file of answers; return its transfer file."""
    items = dates(settings.prompts, seed="learnt")
    known = {item.prompt for item in items}
    more = dates(settings.held_out + settings.prompts, seed="held-out")
    held_out = [item for item in more if item.prompt not in known][: settings.held_out]
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(folder / "answers.jsonl", (item.answer_line() for item in (*items, *held_out)))
    table = 'name = "file"\nanswers = "answers.jsonl"\nterms = "written by this example"'
    return _write(folder, DATES, base, (items, held_out), (table, settings))


def _write(
    folder: Path,
    skill: str,
    base: Path,
    items: tuple[Sequence[Item], Sequence[Item]],
    how: tuple[str, TransferSettings],
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    learnt, held_out = items
    source, settings = how
    write_lines(folder / "prompts.jsonl", (item.prompt_line() for item in learnt))
    write_lines(folder / "held-out.jsonl", (item.prompt_line() for item in held_out))
    write_lines(folder / "general.jsonl", keep_lines(settings.keep))
    file = folder / "transfer.toml"
    file.write_text(
        _FILE.format(
            base=base, skill=skill, source=source, epochs=settings.epochs, rate=settings.rate,
            keep_share=settings.keep_share, held_out=settings.held_out,
            general=settings.general, tokens=settings.tokens,
        ),
        encoding="utf-8",
    )  # fmt: skip
    return file
