"""Every pack of a plan is verified on the base before there is a generation of it.

Costs a look at one small file a pack where this home verified them before; else their blobs are
fetched and decoded, which takes the tensor libraries.
"""

from dataclasses import replace

from skillpm.flows.change.plan import Plan
from skillpm.flows.packs.open_project import OpenProject
from skillpm.flows.packs.restore import fetch_all
from skillpm.flows.packs.unverified import unverified_packs
from skillpm.store.packs import fetch_pack


def verify_plan(project: OpenProject, plan: Plan) -> Plan:
    """The plan, with notes on what could not be verified. Brings its blobs into the store.

    Raises `IntegrityError` for a pack whose manifest does not hold, and what `graft` raises of one
    that cannot be grafted.
    """
    session, registries = project.session, project.registries
    waiting = unverified_packs(session.verified, plan.lock)
    if not waiting or session.verify_packs is None:
        return plan
    for pack in registries.files:
        fetch_pack(session.store, pack.digest, pack)
    fetch_all(session, registries, plan.lock)
    notes = session.verify_packs(session, project.folder, plan.lock, waiting)
    return replace(plan, notes=(*plan.notes, *notes))
