"""Make hard links between a graft and its base read-only, and report them (ADR 24)."""

from pathlib import Path

from skillpm.checkpoint.model import Checkpoint
from skillpm.checkpoint.place import make_read_only, why_not_linked
from skillpm.flows.graft.assemble import AssembledGraft
from skillpm.flows.session.session import Session
from skillpm.spec.words import counted


def seal_links(folder: Path, written: AssembledGraft) -> None:
    """Make linked files read-only. This affects the base too, because the files are the same."""
    for name in written.linked:
        make_read_only(folder / name)


def report_links(session: Session, target: Path, base: Checkpoint, written: AssembledGraft) -> None:
    """Report the files that are shared with the base, and those that could not be linked."""
    if written.linked:
        session.say(
            f"note: {counted(len(written.linked), 'file')} of `{target}` and of the base "
            f"`{base.path.resolve()}` are hard links to the same data, so an edit of the graft "
            "changes the base. They were made read-only; `skillpm graft` without `--link` writes "
            "copies"
        )
    for name in sorted(base.shards.keys() - written.linked):
        reason = why_not_linked(base.shards[name].file.path)
        if reason is not None:
            session.say(f"note: `{name}` of the base cannot be linked: {reason}")
