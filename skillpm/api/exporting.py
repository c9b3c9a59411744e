"""Export of skills for other programs."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.api.client import Client

if TYPE_CHECKING:
    from skillpm.api.results import Exported
    from skillpm.flows.graft.peft import LoraRequest


@dataclass(frozen=True)
class LoraOptions:
    """How a delta becomes a LoRA: at a rank, or at the least one that reaches `residual`.

    `residual` is the largest ‖Δ - Δ̂‖/‖Δ‖. `partial` leaves out tensors that a LoRA cannot carry.
    `keep` keeps the factors of a skill that was packed from a LoRA, padded with zeros to ranks that
    vLLM accepts; without it, and for any other skill, all modules get the same rank r, and α = r.
    `own` keeps the ranks and α of that LoRA too, and refuses any other skill. Neither has an effect
    with `rank`.
    """

    rank: int | None = None
    residual: float = 0.01
    partial: bool = False
    keep: bool = True
    own: bool = False


def export_skill(
    client: Client, ref: str, target: Path, lora: LoraOptions | None = None
) -> "Exported":
    """Write a skill to an absent or empty folder: a PEFT adapter with `lora`, else a merged model.

    `ref` is an installed skill, a release or a pack file. Raises `GraftError` if a LoRA cannot hold
    the skill.
    """
    from skillpm.flows.graft.export import export

    request = None if lora is None else _request(lora)
    return export(client.session, ref, target, request)


def _request(lora: LoraOptions) -> "LoraRequest":
    from skillpm.flows.graft.peft import LoraRequest

    keep, own = (flag and lora.rank is None for flag in (lora.keep, lora.own))
    return LoraRequest(lora.rank, lora.residual, lora.partial, keep, own)
