"""The report of a transfer, as `report.json` and `--json` have it."""

from typing import TypedDict

REPORT = "report.json"


class ReportStage(TypedDict):
    """The seconds of a stage, those of interrupted commands included."""

    name: str
    seconds: float


class AbilityDocument(TypedDict):
    """What a model can do: shares of right and of kept answers, and nats per token of prose."""

    skill: float
    general: float
    prose: float | None


class SourceDocument(TypedDict):
    """A source, its judged answers, and its share of right held-out items.

    `skill` is of the items that the source answers, null for a file that answers none. `terms` may
    be null.
    """

    name: str
    source: str
    terms: str | None
    answers: int
    right: int
    skill: float | None


class RowsDocument(TypedDict):
    """The rows of the trainings: of SFT from sources and from the base, and pairs of DPO."""

    sft: int
    keep: int
    pairs: int


class TransferPackDocument(TypedDict):
    """The pack that was written."""

    skill: str
    version: str
    path: str
    digest: str
    scheme: str
    file_bytes: int
    ratio: float


class TransferDocument(TypedDict):
    """The whole report. What was not reached is null or empty.

    `estimates` are the seconds of each stage, `requests` those to endpoints, and `memory` the least
    bytes of a training.

    `kept` names the stage whose model is packed; `before` is the base's ability and `after` that of
    the kept model.
    """

    key: str
    workspace: str
    stages: list[ReportStage]
    estimates: dict[str, float]
    requests: int
    memory: int
    duplicates: int
    sources: list[SourceDocument]
    rows: RowsDocument | None
    before: AbilityDocument | None
    after: AbilityDocument | None
    models: dict[str, AbilityDocument]
    kept: str | None
    tuned: str | None
    flops: float | None
    pack: TransferPackDocument | None
    notes: list[str]
