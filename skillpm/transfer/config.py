"""The file `transfer.toml`: target, sources, prompts and settings of a transfer."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from skillpm.errors import Problems, SpecError
from skillpm.spec import toml
from skillpm.spec.budget import Budget
from skillpm.spec.fields import (
    NUMBER,
    Document,
    SkillNameField,
    VersionField,
    collect,
    unknown_keys,
    unknown_names,
)
from skillpm.spec.names import is_half
from skillpm.spec.versions import Version

SOURCES_LIMIT = 16
_PATH_LIMIT = 4096
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|file:")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
"""Hosts that are this machine."""
_PORTS = {"http": 80, "https": 443}


def _path(text: str) -> str:
    if not text.strip() or _CONTROL.search(text) or len(text) > _PATH_LIMIT:
        raise ValueError("expected a path")
    if _URL.match(text):
        raise ValueError("expected a path, found a URL; nothing is downloaded")
    return text


def _line(text: str) -> str:
    if not text.strip() or _CONTROL.search(text):
        raise ValueError("expected text in one line")
    return text


def _budget(text: str) -> str:
    try:
        Budget.parse(text)
    except SpecError as problem:
        raise ValueError(problem.message) from problem
    return text


def _draws(temperature: float) -> float:
    if 0 < temperature < 0.01:  # noqa: PLR2004 - logits divided by less overflow
        raise ValueError(f"expected 0, or 0.01 to 2, found {temperature}")
    return temperature


PathText = Annotated[str, AfterValidator(_path)]
"""A path relative to the folder of the file; `resolved` gives the path itself."""
Line = Annotated[str, Field(max_length=256), AfterValidator(_line)]
Positive = Annotated[float, NUMBER, Field(strict=False, gt=0, le=1e9)]
Rate = Annotated[float, NUMBER, Field(strict=False, gt=0, le=1)]
Temperature = Annotated[float, NUMBER, Field(strict=False, ge=0, le=2), AfterValidator(_draws)]


class TargetTable(Document):
    """The `[target]` table: the base, and the release that the transfer makes."""

    base: PathText
    skill: SkillNameField
    version: VersionField

    @field_validator("version")
    @classmethod
    def _tag(cls, version: Version) -> Version:
        if version.build:
            raise ValueError(f"`{version}` has build metadata, which OCI tags do not allow")
        return version


class SourceTable(Document):
    """A `[[source]]` table: a model folder, an OpenAI-compatible endpoint, or a file of answers.

    `key_env` names an environment variable. Reading it needs the user's permission for exactly this
    variable and `origin`, because the file may be a stranger's.
    """

    name: str
    model: PathText | None = None
    endpoint: Annotated[str | None, Field(max_length=_PATH_LIMIT)] = None
    served: Line | None = None
    key_env: str | None = None
    answers: PathText | None = None
    terms: Line | None = None

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not is_half(name):
            raise ValueError(f"{name[:64]!r} is not a plain name: expected one like `qwen-math`")
        return name

    @field_validator("endpoint")
    @classmethod
    def _http(cls, endpoint: str | None) -> str | None:
        if endpoint is not None:
            _split(endpoint)
        return endpoint

    @field_validator("key_env")
    @classmethod
    def _variable(cls, name: str | None) -> str | None:
        if name is not None and not _KEY.fullmatch(name):
            raise ValueError("expected the name of an environment variable, never the key itself")
        return name

    @model_validator(mode="after")
    def _one_kind(self) -> "SourceTable":
        kinds = [self.model, self.endpoint, self.answers]
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError("expected exactly one of `model`, `endpoint` and `answers`")
        if self.endpoint is None and (self.served or self.key_env):
            raise ValueError("`served` and `key_env` belong to an `endpoint`")
        if self.endpoint is not None:
            if self.served is None:
                raise ValueError("an `endpoint` needs `served`, the name of the model there")
            parts = _split(self.endpoint)
            if self.key_env and parts.scheme == "http" and parts.hostname not in LOCAL_HOSTS:
                raise ValueError("`key_env` would send a key unencrypted; expected `https://`")
        return self

    @property
    def origin(self) -> str | None:
        """Scheme, host and port of the endpoint, `https://host:443`; None for another source."""
        if self.endpoint is None:
            return None
        parts = _split(self.endpoint)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}:{parts.port or _PORTS[parts.scheme]}"


def _split(endpoint: str) -> SplitResult:
    """The parts of an endpoint's URL. Raises `ValueError`."""
    problem = "expected a URL such as `http://127.0.0.1:8000/v1`"
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError as error:
        raise ValueError(problem) from error
    is_plain = endpoint.isascii() and endpoint.isprintable() and not re.search(r"[\s\\]", endpoint)
    if not is_plain or parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise ValueError(problem)
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL with a user or password; name the key's variable in `key_env`")
    if parts.query or parts.fragment:
        raise ValueError(f"{problem}, without a query")
    return parts


class PromptsTable(Document):
    """The `[prompts]` table: the file of prompts, and the file of keep prompts."""

    file: PathText
    keep: PathText | None = None
    held_out: PathText | None = None
    """Prompts that are never trained on and measure the skill; by default, a share of `file`."""
    probes: PathText | None = None
    """Probes of the pack, which measure the skill. Without them, a share of the prompts does."""


class SampleTable(Document):
    """The `[sample]` table: how sources generate answers."""

    draws: Annotated[int, Field(ge=1, le=64)] = 4
    temperature: Temperature = 0.8
    top_p: Rate = 0.95
    max_tokens: Annotated[int, Field(ge=1, le=8192)] = 512
    batch: Annotated[int, Field(ge=1, le=512)] = 16
    """Answers that a model folder generates at once."""


class SelectTable(Document):
    """The `[select]` table: the share of prompts for SFT; the others are for DPO."""

    sft_share: Rate = 0.4


class SftTable(Document):
    """Settings of supervised fine-tuning."""

    epochs: Annotated[int, Field(ge=1, le=100)] = 3
    lr: Rate = 5e-6


class DpoTable(Document):
    """Settings of direct preference optimisation."""

    epochs: Annotated[int, Field(ge=0, le=100)] = 1
    lr: Rate = 8e-7
    beta: Annotated[float, NUMBER, Field(strict=False, gt=0, le=1000)] = 10.0


class TrainTable(Document):
    """The `[train]` table. `keep_share` is the share of SFT rows that the base answered itself.

    A step has `batch` rows of up to `max_tokens` tokens; `micro` of them run at once. `interpolate`
    are shares of the change of weights; the first that holds the general bar is kept.
    """

    sft: SftTable = SftTable.model_construct()
    dpo: DpoTable = DpoTable.model_construct()
    keep_share: Annotated[float, NUMBER, Field(strict=False, ge=0, lt=1)] = 0.2
    batch: Annotated[int, Field(ge=1, le=4096)] = 16
    micro: Annotated[int, Field(ge=1, le=256)] = 4
    max_tokens: Annotated[int, Field(ge=16, le=1 << 16)] = 1024
    interpolate: list[Rate] = Field(default_factory=lambda: [1.0], min_length=1, max_length=8)


class EvaluateTable(Document):
    """The `[evaluate]` table: the most items that measure, and tokens of a general answer."""

    skill: Annotated[int, Field(ge=1, le=1000)] = 100
    general: Annotated[int, Field(ge=1, le=1000)] = 50
    tokens: Annotated[int, Field(ge=8, le=512)] = 48


class FuseTable(Document):
    """The `[fuse]` table: how several sources become one skill."""

    method: Literal["answers", "pairwise-sce", "distributions"] = "answers"


class BudgetTable(Document):
    """The `[budget]` table: limits that the estimates must stay below; None: no limit."""

    hours: Positive | None = None
    requests: Annotated[int | None, Field(ge=1, le=10**9)] = None


class PackTable(Document):
    """The `[pack]` table: the size of the pack, as `pack --budget` takes it; None: lossless.

    `probes = "held-out"` puts held-out prompts and their checks into the pack. Without it, no text
    of the user is in the pack.
    """

    budget: Annotated[str, AfterValidator(_budget)] | None = None
    probes: Literal["held-out"] | None = None


class TransferFile(Document):
    """The whole file."""

    target: TargetTable
    source: Annotated[list[SourceTable], Field(min_length=1, max_length=SOURCES_LIMIT)]
    prompts: PromptsTable
    sample: SampleTable = SampleTable.model_construct()
    select: SelectTable = SelectTable.model_construct()
    train: TrainTable = TrainTable.model_construct()
    evaluate: EvaluateTable = EvaluateTable.model_construct()
    fuse: FuseTable = FuseTable.model_construct()
    budget: BudgetTable = BudgetTable.model_construct()
    pack: PackTable = PackTable.model_construct()


def parse_transfer(text: str, what: str = "transfer.toml") -> TransferFile:
    """Read a transfer file. Raises `SpecError` with every problem and its path."""
    return transfer_of(toml.parse(text, what), what)


def transfer_of(plain: dict[str, Any], what: str) -> TransferFile:
    """Build a transfer from plain tables: of the file, or of command line options.

    Raises `SpecError` with every problem and its path.
    """
    problems = Problems(what)
    document = collect(TransferFile, plain, problems)
    if document is None:
        problems.extend(unknown_names(TransferFile, plain))
        problems.raise_if_any()
        raise AssertionError
    problems.extend(unknown_keys(document))
    names = [source.name for source in document.source]
    for place, name in enumerate(names):
        if name in names[:place]:
            problems.add(f"source[{place}].name", f"duplicate source `{name}`")
    if document.pack.probes and document.prompts.probes:
        problems.add("pack.probes", "`[prompts] probes` names the probes already")
    problems.raise_if_any()
    return document


def resolved(text: str, folder: Path) -> Path:
    """A path of the file, relative to the folder that holds it; `~` is not expanded."""
    return folder / text
