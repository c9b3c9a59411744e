"""Numbers of a stranger's transfer.toml: bounded, or refused before a model is asked."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from skillpm.errors import SpecError, StateError
from skillpm.parallel import no_advance
from skillpm.spec.chat import asked
from skillpm.transfer.config import TransferFile, transfer_of
from skillpm.transfer.estimates import JUDGING_SECONDS_LIMIT, judging_limit
from skillpm.transfer.generated import Generated, SamplingSettings
from skillpm.transfer.memory import ModelSize, answers_need, generation_need, training_need
from skillpm.transfer.prompts import Prompt
from skillpm.transfer.sampling import Request, SamplingTask, requests_of, sample
from skillpm.transfer.workspace import TransferWorkspace

if TYPE_CHECKING:
    from transfer_world import TransferWorld

TABLES = {
    "target": {"base": "b", "skill": "acme/math", "version": "1.0.0"},
    "source": [{"name": "gpt", "model": "m"}],
    "prompts": {"file": "p"},
}
SMOLLM = ModelSize(
    134_515_008, 4 * 134_515_008, layers=30, hidden=576, intermediate=1536, key_values=384,
    vocabulary=49_152, window=8192,
)  # fmt: skip


def numbers(kind: type[BaseModel], *path: str) -> Iterator[tuple[str, ...]]:
    """The paths of all numbers of a document."""
    for name, field in kind.model_fields.items():
        annotation: Any = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from numbers(annotation, *path, name)
        elif "int" in str(annotation) or "float" in str(annotation):
            yield (*path, name)


NUMBERS = tuple(numbers(TransferFile))
LISTS = {("train", "interpolate")}


def read(path: tuple[str, ...], value: object) -> TransferFile:
    tables: dict[str, Any] = json.loads(json.dumps(TABLES))
    inner = tables
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
    inner[path[-1]] = [value] if path in LISTS else value
    return transfer_of(tables, "transfer.toml")


def test_every_number_is_found() -> None:
    assert {path[0] for path in NUMBERS} == {"sample", "select", "train", "evaluate", "budget"}
    assert len(NUMBERS) == 21


@pytest.mark.parametrize("path", NUMBERS, ids=".".join)
@pytest.mark.parametrize("value", [10**18, 1e300, -1, float("inf"), float("nan")], ids=str)
def test_number_out_of_bounds_is_refused_with_its_path(
    path: tuple[str, ...], value: object
) -> None:
    with pytest.raises(SpecError) as caught:
        read(path, value)
    place = "[0]" if path in LISTS else ""
    assert f"{'.'.join(path)}{place}: expected" in caught.value.message


def test_temperature_near_zero_is_refused() -> None:
    assert read(("sample", "temperature"), 0).sample.temperature == 0
    assert read(("sample", "temperature"), 0.01).sample.temperature == 0.01
    with pytest.raises(SpecError, match=r"sample\.temperature: expected 0, or 0\.01 to 2"):
        read(("sample", "temperature"), 1e-310)


def test_training_needs_weights_and_the_values_of_each_token() -> None:
    small, large = training_need(SMOLLM, 4, 256), training_need(SMOLLM, 256, 1 << 16)
    assert 2.15e9 < small.size < 4e9
    assert large.size > 1e12
    assert "16 bytes for each of 134,515,008 parameters" in large.arithmetic
    assert "256 × 8192 tokens" in large.arithmetic


def test_generation_needs_keys_and_values_of_each_token() -> None:
    small = generation_need("the base", SMOLLM, 16, 200, 512)
    assert small.size < 2e9
    assert generation_need("the base", SMOLLM, 512, 2048, 8192).size > 1e11
    assert "16 answers of 712 tokens" in small.arithmetic


def test_answers_need_memory_by_their_number() -> None:
    assert answers_need(50_000, 512).size < 1e9
    assert answers_need(64 * 200_000, 8192).size > 1e11


def test_config_may_name_nothing_and_nonsense() -> None:
    assert ModelSize.of(SimpleNamespace(), 10, 40) == ModelSize(10, 40)
    wild = SimpleNamespace(hidden_size="9", vocab_size=-1, num_hidden_layers=10**30, head_dim=True)
    assert ModelSize.of(wild, 10, 40) == ModelSize(10, 40)


def test_checks_have_a_limit_of_time_that_grows_with_the_answers() -> None:
    assert judging_limit(0, None) < judging_limit(1000, None) <= JUDGING_SECONDS_LIMIT
    assert judging_limit(10**9, None) == JUDGING_SECONDS_LIMIT
    assert judging_limit(10**9, 1.0) == 3600


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("batch = 8\nmicro = 8", "batch = 256\nmicro = 256", "training needs about"),
        ("batch = 16", "batch = 512", "answering with the base needs about"),
        ("draws = 3", "draws = 64", "judging needs about"),
    ],
)
def test_what_exceeds_the_memory_is_refused_before_anything_is_asked(
    transfer: "TransferWorld", monkeypatch: pytest.MonkeyPatch, old: str, new: str, what: str
) -> None:
    container = transfer.folder / "memory.max"
    container.write_text("10000000")
    monkeypatch.setattr("skillpm.running.folder._CONTROL_GROUP", container)
    transfer.write()
    transfer.edit(old, new)
    message = transfer.fail(code=1, kind="state")
    assert what in message
    assert "each of" in message
    assert "this machine has 0.0 GB" in message
    assert not list(transfer.workspace.glob("*/*.jsonl"))


def test_refused_command_with_fresh_discards_nothing(transfer: "TransferWorld") -> None:
    transfer.write()
    transfer.run("--until", "sample")
    kept = {path.name for path in transfer.workspace.iterdir()}
    with transfer.file.open("a") as file:
        file.write("[budget]\nhours = 1e-9\n")
    transfer.fail("--fresh", code=2, kind="usage")
    assert {path.name for path in transfer.workspace.iterdir()} == kept


def test_rehearsal_of_a_huge_step_runs_only_as_many_rows_as_there_are(
    transfer: "TransferWorld", monkeypatch: pytest.MonkeyPatch
) -> None:
    from skillpm.flows.transfer.rehearse import STEPS
    from skillpm.transfer.training import train_on_answers

    rows: list[int] = []

    def counted(model: Any, found: Any, *rest: Any) -> Any:
        rows.append(len(found))
        return train_on_answers(model, found, *rest)

    monkeypatch.setattr("skillpm.flows.transfer.rehearse.train_on_answers", counted)
    transfer.write()
    transfer.edit("micro = 8", "micro = 256")
    transfer.run("--dry-run")
    assert rows == [STEPS * 8]  # `batch` is 8


def test_transfer_whose_checks_take_too_long_fails_and_keeps_the_answers(
    transfer: "TransferWorld", monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer.write()
    transfer.run("--until", "sample")
    recorded = (transfer.workspace / "answers" / "gpt.jsonl").read_bytes()
    monkeypatch.setattr("skillpm.transfer.estimates.JUDGING_SECONDS", 0.0)
    monkeypatch.setattr("skillpm.transfer.estimates.JUDGING_SECONDS_PER_ANSWER", 0.0)
    message = transfer.fail(code=1, kind="graft")
    assert "the checks took more than 0 seconds, for 1 answer" in message
    assert (transfer.workspace / "answers" / "gpt.jsonl").read_bytes() == recorded


def test_killed_rehearsal_measures_answers_that_it_has_not_recorded(
    transfer: "TransferWorld",
) -> None:
    transfer.write()
    transfer.run("--dry-run")
    log = transfer.workspace / "answers" / "gpt.jsonl"
    before = log.read_bytes()
    (transfer.workspace / "rehearsal.json").unlink()
    (transfer.workspace / "rates.json").unlink()
    transfer.run("--dry-run")
    rehearsal = json.loads((transfer.workspace / "rehearsal.json").read_text())
    assert rehearsal["base"]["request_seconds"] > 0
    assert rehearsal["sources"]["gpt"]["request_seconds"] > 0
    assert log.read_bytes().startswith(before)
    ids = [(line["id"], line["draw"]) for line in map(json.loads, log.read_text().splitlines())]
    assert len(set(ids)) == len(ids) == 32


def test_estimate_of_dpo_needs_right_and_wrong_answers(transfer: "TransferWorld") -> None:
    from transfer_models import prompt_lines, write_lines

    transfer.write(source='answers = "answers.jsonl"')
    right = [{"id": line["id"], "text": line["check"]["equals"]} for line in prompt_lines()]
    write_lines(transfer.folder / "answers.jsonl", right)
    assert transfer.run("--dry-run")["estimates"]["dpo"] == 0


def test_answer_longer_than_its_tokens_allow_counts_as_cut_off(tmp_path: Path) -> None:
    sampling = SamplingSettings(0.0, 1.0, 100)
    prompt = Prompt("1", tuple(asked("Who are you?")), None)

    class Talkative:
        parallel = 1

        def answers(
            self, requests: Sequence[Request], sampling: SamplingSettings
        ) -> list[Generated]:
            return [Generated("a" * 10_000, "stop", sampling.max_tokens) for _ in requests]

    with TransferWorkspace.open(tmp_path, "k" * 32, timeout=0, say=print) as workspace:
        file = workspace.answers("source")
        requests = requests_of([prompt], sampling, 1, "key")
        task = SamplingTask(requests, sampling, file, "key", longest=sampling.longest)
        (answer,) = sample(Talkative, task, no_advance)
    assert (len(answer.text), answer.finish) == (1600, "length")


def test_training_that_exhausts_the_memory_is_an_error_with_a_hint() -> None:
    torch = pytest.importorskip("torch")
    from skillpm.transfer.safe_checkpoints import memory_errors

    exhausted = pytest.raises(StateError, match="more memory than the device has")
    with exhausted as caught, memory_errors():
        torch.empty(1 << 50)
    assert "`micro`" in str(caught.value.hint)
    with pytest.raises(RuntimeError, match="shape"), memory_errors():
        torch.empty(2).reshape(3)
