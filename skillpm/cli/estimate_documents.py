"""The JSON document of `pack --dry-run`, as types; see `skillpm.cli.documents`."""

from typing import TypedDict


class StageDocument(TypedDict):
    """A stage of `pack`, and the seconds that it is expected to take."""

    stage: str
    seconds: float
    processor_seconds: float


class EstimateDocument(TypedDict):
    """The result of `pack --dry-run`.

    `memory_bytes` is without `model_bytes`, those of the model of a calibration; null without one.
    """

    skill: str
    version: str
    path: str
    dry_run: bool
    scheme: str
    workers: int
    seconds: float
    processor_seconds: float
    memory_bytes: int
    model_bytes: int | None
    file_bytes: int
    delta_bytes: int
    sampled_bytes: int
    stages: list[StageDocument]
    notes: list[str]
