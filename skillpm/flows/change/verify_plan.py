"""Packs of a plan are verified on the base before a generation is made of them.

Packs that this home verified before cost one small file each. Others are fetched and decoded, which
imports the tensor libraries.
"""

from dataclasses import replace

from skillpm.flows.change.plan import Plan
from skillpm.flows.packs.open_project import OpenProject
from skillpm.flows.packs.restore import fetch_all
from skillpm.store.packs import fetch_pack


def verify_plan(project: OpenProject, plan: Plan) -> Plan:
    """The plan with notes on packs that could not be verified. Fetches the blobs it needs.

    Raises `IntegrityError` for a false manifest, and what `graft` raises for a pack that cannot be
    grafted.
    """
    session, registries = project.session, project.registries
    waiting = session.verified.lacking(plan.lock)
    if not waiting or session.verify_packs is None:
        return plan
    for pack in registries.files:
        fetch_pack(session.store, pack.digest, pack)
    fetch_all(session, registries, plan.lock)
    notes = session.verify_packs(session, project.folder, plan.lock, waiting)
    return replace(plan, notes=(*plan.notes, *notes))
