"""The stages of a transfer, and what each of them took."""

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """A stage. Each one continues where a killed command left it."""

    REHEARSE = "rehearse"
    SAMPLE = "sample"
    FILTER = "filter"
    SFT = "sft"
    DPO = "dpo"
    EVALUATE = "evaluate"
    PACK = "pack"


STAGES = tuple(Stage)


@dataclass(frozen=True)
class StageTime:
    """The seconds that a stage took, those of interrupted commands included."""

    stage: Stage
    seconds: float
