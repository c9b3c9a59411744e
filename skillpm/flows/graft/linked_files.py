"""Files that a graft shares with its base as hard links: made read-only and reported (ADR 24)."""

from pathlib import Path

from skillpm.checkpoint.model import Checkpoint
from skillpm.checkpoint.place import make_read_only, why_not_linked
from skillpm.flows.graft.assemble import AssembledGraft
from skillpm.flows.session.session import Session
from skillpm.spec.words import counted


def seal_links(folder: Path, written: AssembledGraft) -> None:
    """Take the write permission from the files that are the base's own, in the base as well."""
    for name in written.linked:
        make_read_only(folder / name)


def say_linked(session: Session, target: Path, base: Checkpoint, written: AssembledGraft) -> None:
    """Say what a graft shares with its base, and which files were copied after all, and why."""
    if written.linked:
        session.say(
            f"note: {counted(len(written.linked), 'file')} of `{target}` and of the base "
            f"`{base.path.resolve()}` are the same file (hard links): an edit of the graft edits "
            "the base. They were made read-only in both; `skillpm graft` without `--link` writes "
            "copies"
        )
    for name in sorted(base.shards.keys() - written.linked):
        reason = why_not_linked(base.shards[name].file.path)
        if reason is not None:
            session.say(f"note: `{name}` of the base is never linked: {reason}")
