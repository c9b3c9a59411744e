"""Output of `pack --dry-run`: what a pack would take, as text and as a JSON document."""

from typing import TYPE_CHECKING

from skillpm.cli.estimate_documents import EstimateDocument
from skillpm.cli.output import clean, emit_lines, size_text
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.api.results import PackEstimate

_MINUTE, _HOUR = 60, 3600


def show_estimate(estimate: "PackEstimate") -> None:
    """Print time, memory and size, and what they do not include."""
    request = estimate.request
    model = ""
    if estimate.model_bytes is not None:
        model = f" and {size_text(estimate.model_bytes)} for the model that reads the text"
    emit_lines(
        f"would pack {request.skill} {request.version} into {clean(request.path)}\n"
        f"  about {time_text(estimate.seconds)} of wall time on "
        f"{counted(estimate.workers, 'worker')} "
        f"({time_text(estimate.processor_seconds)} of processor time)\n"
        f"  about {size_text(estimate.memory_bytes)} of memory{model}\n"
        f"  a file of about {size_text(estimate.file_bytes)}, scheme `{estimate.scheme}`"
    )
    for note in estimate.notes:
        emit_lines(f"  {clean(note)}")


def time_text(seconds: float) -> str:
    """A duration for reading: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if seconds < 10:  # noqa: PLR2004 - then tenths matter
        return f"{seconds:.1f} s"
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def estimate_document(estimate: "PackEstimate") -> EstimateDocument:
    """An estimate as a JSON document."""
    return {
        "skill": str(estimate.request.skill),
        "version": str(estimate.request.version),
        "path": str(estimate.request.path),
        "dry_run": True,
        "scheme": estimate.scheme,
        "workers": estimate.workers,
        "seconds": round(estimate.seconds, 3),
        "processor_seconds": round(estimate.processor_seconds, 3),
        "memory_bytes": estimate.memory_bytes,
        "model_bytes": estimate.model_bytes,
        "file_bytes": estimate.file_bytes,
        "delta_bytes": estimate.delta_bytes,
        "sampled_bytes": estimate.sampled_bytes,
        "stages": [
            {
                "stage": stage.stage,
                "seconds": round(stage.seconds, 3),
                "processor_seconds": round(stage.processor_seconds, 3),
            }
            for stage in estimate.stages
        ],
        "notes": list(estimate.notes),
    }
