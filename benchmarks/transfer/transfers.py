"""The product's own stages: one transfer with keep rows, and one on the same answers without.

The second transfer reads the answers that the first one recorded, so both learn the same rows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from examples.transfer.items import write_lines
from skillpm.api.client import Client
from skillpm.api.options import Options
from skillpm.api.transferring import TransferOptions, transfer
from skillpm.transfer.stages import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.transfer.experiment import Experiment
    from skillpm.api.results import Transferred

_FILE = """\
[target]
base = "{base}"
skill = "acme/{skill}"
version = "1.0.0"
[[source]]
name = "source"
{source}
[prompts]
file = "prompts.jsonl"
keep = "keep.jsonl"
[sample]
draws = {recipe.draws}
temperature = {recipe.temperature}
max_tokens = {recipe.answer_tokens}
batch = {batch}
[select]
sft_share = {recipe.sft_share}
[train]
sft = {{ epochs = {recipe.sft_epochs}, lr = {recipe.sft_rate} }}
dpo = {{ epochs = {recipe.dpo_epochs}, lr = {recipe.dpo_rate}, beta = {recipe.beta} }}
keep_share = {keep_share}
batch = {recipe.batch}
micro = {recipe.batch}
max_tokens = 256
[evaluate]
skill = {recipe.chosen_on[0]}
general = {recipe.chosen_on[1]}
tokens = {tokens}
"""
_STAGES = (Stage.FILTER, Stage.SFT, Stage.DPO, Stage.EVALUATE)
ANSWERS = "answers.jsonl"


def up_to(experiment: Experiment, stage: Stage, *, keep: bool = True) -> Transferred:
    """Run a transfer up to a stage, and charge the processor seconds of each stage on the way."""
    file = _write(experiment, keep=keep)
    name = "keep" if keep else "plain"
    for each in _STAGES[: _STAGES.index(stage)]:
        if not experiment.costs.is_done(f"{name} {each}"):
            _run(experiment, file, each, name)
    return _run(experiment, file, stage, name)


def _run(experiment: Experiment, file: Path, stage: Stage, name: str) -> Transferred:
    options = Options(experiment.work, home=experiment.home, workers=1)
    with experiment.costs.charged(f"{name} {stage}"), Client(options) as client:
        asked = TransferOptions(file=file, until=stage, accept_loss=True, allow_exec=True)
        return transfer(client, asked)


def _write(experiment: Experiment, *, keep: bool) -> Path:
    experiment.write_prompts()
    source = f'model = "{experiment.source}"'
    if not keep:
        recorded = _recorded_answers(up_to(experiment, Stage.FILTER))
        write_lines(experiment.work / ANSWERS, recorded)
        source = f'answers = "{ANSWERS}"'
    text = _FILE.format(
        base=experiment.base,
        skill=experiment.skill.name,
        source=source,
        recipe=experiment.recipe,
        batch=experiment.sizes.batch,
        tokens=experiment.sizes.tokens,
        keep_share=experiment.recipe.keep_share if keep else 0.0,
    )
    file = experiment.work / ("keep.toml" if keep else "plain.toml")
    file.write_text(text, encoding="utf-8")
    return file


def _recorded_answers(transferred: Transferred) -> Iterator[Mapping[str, str]]:
    """The answers that the source ended, as lines of a file of answers."""
    for line in jsonl(transferred, "answers/source.jsonl"):
        if line["finish"] == "stop":
            yield {"id": line["id"], "text": line["text"]}


def jsonl(transferred: Transferred, name: str) -> list[dict[str, str]]:
    """The lines of a file of a transfer's folder."""
    text = (Path(transferred.workspace) / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
