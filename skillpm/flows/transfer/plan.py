"""What a transfer is about to do: the opened models, the prompts by their use, and the key."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version as version_of
from pathlib import Path

from skillpm.checkpoint.find_model import named_model
from skillpm.checkpoint.model import VerifiedCheckpoint
from skillpm.checks.judge import Judge
from skillpm.errors import GraftError, SpecError, UsageError
from skillpm.files.output import check_output
from skillpm.flows.session.session import Session, open_model
from skillpm.flows.transfer.sources import SourceFacts, open_sources
from skillpm.spec.digests import Digest
from skillpm.spec.probe_items import ANSWER_TOKENS
from skillpm.transfer.config import TransferFile
from skillpm.transfer.generated import SamplingSettings
from skillpm.transfer.inputs import TransferInputs, read_inputs
from skillpm.transfer.memory import BYTES_PER_PARAMETER
from skillpm.transfer.selection import is_for_sft
from skillpm.transfer.split import Split, split_prompts
from skillpm.transfer.stages import Stage
from skillpm.transfer.workspace import key_of
from skillpm.version import __version__

_TOOLS = ("torch", "transformers", "trl", "tokenizers")
"""Libraries whose versions decide the result."""
_MODELS = 3
"""The base, and the models that SFT and DPO train."""


@dataclass(frozen=True)
class TransferRequest:
    """A transfer file, and the options of the command.

    Paths of the file are relative to `folder`. `base` replaces the file's base. `allowed_keys` has
    the pairs of variable and origin for which the user allows that a key is sent.
    """

    document: TransferFile
    folder: Path
    base: Path | None = None
    output: Path | None = None
    device: str = "cpu"
    until: Stage | None = None
    dry_run: bool = False
    fresh: bool = False
    accept_loss: bool = False
    allow_exec: bool = False
    allowed_keys: frozenset[tuple[str, str]] = frozenset()

    @property
    def path(self) -> Path:
        """The pack to write."""
        skill, version = self.document.target.skill, self.document.target.version
        return self.output or Path(skill.pack_file(version))


@dataclass(frozen=True)
class TransferPlan:
    """The opened base and sources, the prompts by their use, and the key of the folder."""

    request: TransferRequest
    base: VerifiedCheckpoint
    inputs: TransferInputs
    split: Split
    sources: tuple[SourceFacts, ...]
    key: str

    @property
    def document(self) -> TransferFile:
        """The transfer file."""
        return self.request.document

    @cached_property
    def base_folder(self) -> Path:
        """The folder of the base."""
        assert self.base.folder is not None  # noqa: S101 - checked by `plan_transfer`
        return self.base.folder

    @property
    def training_bytes(self) -> int:
        """The least memory of a training: float32 weights, gradients, and two moments of Adam."""
        return BYTES_PER_PARAMETER * (self.base.identity.parameters or 0)

    @property
    def draws(self) -> int:
        """The answers of a model to a prompt; one at temperature 0."""
        table = self.document.sample
        return table.draws if table.temperature else 1

    def requests(self, source: SourceFacts) -> int:
        """The answers of a source to prompts that are learnt."""
        if source.texts is not None:
            return sum(len(source.texts.get(prompt.id, ())) for prompt in self.split.learnt)
        return self.draws * len(self.split.learnt)

    @property
    def endpoint_requests(self) -> int:
        """The requests that all endpoints get."""
        endpoints = [source for source in self.sources if source.kind == "endpoint"]
        return sum(self.requests(each) + len(self.split.held_out) for each in endpoints)

    @property
    def judged_answers(self) -> int:
        """The answers that are judged: of the sources, and to the held-out items."""
        models = len(self.sources) + _MODELS
        return sum(map(self.requests, self.sources)) + models * len(self.split.held_out)

    @property
    def sampling(self) -> SamplingSettings:
        """How the sources answer."""
        table = self.document.sample
        return SamplingSettings(table.temperature, table.top_p, table.max_tokens)

    @property
    def greedy(self) -> SamplingSettings:
        """How the base answers keep prompts: the most probable tokens."""
        return SamplingSettings(0.0, 1.0, self.document.sample.max_tokens)

    @property
    def of_items(self) -> SamplingSettings:
        """How all models answer held-out items."""
        return SamplingSettings(0.0, 1.0, min(ANSWER_TOKENS, self.document.sample.max_tokens))

    @property
    def of_general(self) -> SamplingSettings:
        """How base and tuned models answer general questions."""
        return SamplingSettings(0.0, 1.0, self.document.evaluate.tokens)


def plan_transfer(session: Session, request: TransferRequest) -> TransferPlan:
    """Read all inputs, hash the models, and refuse what cannot work. Asks no model.

    Raises `SpecError` for bad inputs, pickles and prompts among the probes, `UsageError` if a
    source is the target, a key or a program is not allowed, or the way of fusion is not available.
    """
    document = request.document
    _check_method(document)
    check_output(request.path)
    inputs = read_inputs(document, request.folder)
    table = document.evaluate
    split = split_prompts(inputs, skill=table.skill, general=table.general)
    _check_sft(split, document.select.sft_share)
    prompts = (*split.learnt, *split.held_out)
    Judge(allow_exec=request.allow_exec).refuse([p.check for p in prompts if p.check is not None])
    base = session.hash_model(
        open_model(request.base or named_model(document.target.base, request.folder), session.say),
        "hashing base",
    )
    if base.folder is None:
        raise GraftError(
            f"`{base.label}` is a file; a transfer trains a model folder",
            hint="name the folder with config.json and the tokenizer",
        )
    sources = open_sources(session, request, inputs)
    for source in sources:
        if source.root == base.identity.root:
            raise UsageError(
                f"the source `{source.name}` is the target itself: {base.identity.root}",
                hint="name another model as source",
            )
    return TransferPlan(request, base, inputs, split, sources, _key(request, base, inputs, sources))


def _check_method(document: TransferFile) -> None:
    if document.fuse.method != "answers":
        raise UsageError(
            f"`[fuse] method` is `{document.fuse.method}`, which is not available yet",
            hint='use `method = "answers"`: the best right answer over all sources',
        )


def _check_sft(split: Split, share: float) -> None:
    """Raise `SpecError` if no prompt is for SFT, before answers are paid for."""
    if not any(is_for_sft(prompt, share) for prompt in split.learnt):
        raise SpecError(
            f"none of the {len(split.learnt)} prompts is for SFT: `sft_share` is {share:g}",
            hint="use more prompts, or a larger `sft_share` under [select]",
        )


def _key(
    request: TransferRequest,
    base: VerifiedCheckpoint,
    inputs: TransferInputs,
    sources: Iterable[SourceFacts],
) -> str:
    """The key: of what decides the trained weights. `[budget]`, `[pack]` and the name do not."""
    document = request.document
    tables = ("sample", "select", "train", "evaluate", "fuse")
    files = document.prompts
    return key_of(
        {
            "base": str(base.identity.root),
            "settings": {name: getattr(document, name).to_dict() for name in tables},
            "sources": [source.determinants for source in sources],
            "files": [
                str(inputs.digests[path]) if path else None
                for path in (files.file, files.keep, files.held_out, files.probes)
            ],
            "exec": request.allow_exec,
            "tools": {"skillpm": __version__, **{name: version_of(name) for name in _TOOLS}},
            "format": 2,
        }
    )


def answer_key(plan: TransferPlan, model: str, sampling: SamplingSettings) -> str:
    """The digest of everything that a model's answers depend on, except prompt and draw."""
    data = f"{plan.key}\0{model}\0{sampling}".encode()
    return Digest.of(data).hex[:32]
