"""Reads the files that a transfer names: prompts, keep prompts, and answers of sources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skillpm.checks.probes import check_problems
from skillpm.errors import SpecError
from skillpm.files.named import read_named_file
from skillpm.spec.digests import Digest
from skillpm.spec.probes import Probes, parse_probes
from skillpm.transfer.answers import parse_answers
from skillpm.transfer.config import TransferFile, resolved
from skillpm.transfer.lines import FILE_LIMIT
from skillpm.transfer.prompts import Prompt, parse_keep_prompts, parse_prompts

TOTAL_LIMIT = 4 * FILE_LIMIT
"""Bytes of all files together."""


@dataclass(frozen=True)
class TransferInputs:
    """The contents of the files.

    `answers` has the draws of each prompt by the name of a source and the id of the prompt; it has
    only sources that are files. `digests` has the SHA-256 of each file by its path in the document.
    `probes_data` is the file of probes. `held_out` is empty without a file of held-out prompts.
    """

    prompts: tuple[Prompt, ...]
    keep: tuple[Prompt, ...]
    answers: Mapping[str, Mapping[str, tuple[str, ...]]]
    digests: Mapping[str, Digest]
    probes: Probes | None = None
    probes_data: bytes = b""
    held_out: tuple[Prompt, ...] = ()

    def unanswered(self, source: str) -> int:
        """The number of prompts to which a source of answers has none."""
        return sum(prompt.id not in self.answers[source] for prompt in self.prompts)


def read_inputs(document: TransferFile, folder: Path) -> TransferInputs:
    """Read all files of a transfer; paths are relative to `folder`.

    Raises `SpecError` with the lines of a malformed file, and if a source of answers has none to
    any of the prompts; and the errors of `read_named_file`.
    """
    digests: dict[str, Digest] = {}
    total = 0

    def read(path: str) -> bytes:
        nonlocal total
        data = read_named_file(resolved(path, folder), limit=FILE_LIMIT)
        digests[path] = Digest.of(data)
        total += len(data)
        if total > TOTAL_LIMIT:
            raise SpecError(
                f"the files of the transfer have more than {TOTAL_LIMIT >> 20} MiB together",
                hint="use fewer prompts or sources",
            )
        return data

    tables = document.prompts
    prompts = parse_prompts(read(tables.file), f"`{tables.file}`")
    keep = parse_keep_prompts(read(tables.keep), f"`{tables.keep}`") if tables.keep else ()
    held_out = (
        parse_prompts(read(tables.held_out), f"`{tables.held_out}`") if tables.held_out else ()
    )
    answers = {
        source.name: parse_answers(read(source.answers), f"`{source.answers}`")
        for source in document.source
        if source.answers
    }
    _check_ids(tables.file, (prompts, held_out), answers)
    data = read(tables.probes) if tables.probes else b""
    probes = parse_probes(data, f"`{tables.probes}`", check_problems) if tables.probes else None
    return TransferInputs(prompts, keep, answers, digests, probes, data, held_out)


def _check_ids(
    file: str,
    prompts: tuple[Sequence[Prompt], Sequence[Prompt]],
    answers: Mapping[str, Mapping[str, tuple[str, ...]]],
) -> None:
    """Raise `SpecError` if recorded answers belong to no prompt, or to two of them.

    `prompts` are those that are learnt, from `file`, and those that are held out.
    """
    ids, held_out = ({prompt.id for prompt in part} for part in prompts)
    for name, found in answers.items():
        if ids.isdisjoint(found):
            raise SpecError(
                f"the answers of `{name}` have no id of a prompt in `{file}`",
                hint="an answer names its prompt by `id`",
            )
        if shared := sorted(ids & held_out & found.keys()):
            raise SpecError(
                f"{len(shared)} answers of `{name}` are to an id that both a prompt and a held-out "
                f"prompt have, such as {shared[0]!r}",
                hint="give the held-out prompts other ids",
            )
