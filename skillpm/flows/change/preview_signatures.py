"""Router signatures in a dry run: compared as `install` does, without asking the user."""

from collections.abc import Collection

from skillpm.flows.change.precedence import check_confirmed, check_sound, settled_order
from skillpm.flows.packs.registries import Registries
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.oci import ROUTER_TYPE
from skillpm.store.packs import fetch_documents


def preview_signatures(
    registries: Registries,
    lock: Lockfile,
    moved: Collection[SkillName],
    before: Collection[SkillName],
    asked: Collection[SkillName],
    action: str,
) -> tuple[str, ...]:
    """A warning for each near-equal pair that `install` would ask about.

    Fetches missing documents and signatures, a few kB for each skill. Raises `IntegrityError` for a
    malformed signature, and what the registry raises.
    """
    signed = [skill for skill in lock.skills if _fetch(registries, lock.skills[skill])]
    if not set(signed) & set(moved):
        return ()
    session = registries.session
    survey = session.survey(session.store, lock)
    check_sound(survey, moved, action)
    order = settled_order(survey.pairs, lock, before, list(asked))
    return check_confirmed(survey, order, moved, lambda _question: None)


def _fetch(registries: Registries, locked: LockedSkill) -> bool:
    """Fetch a pack's documents and router signature; return whether it has one."""
    store = registries.session.store
    file = next((pack for pack in registries.files if pack.digest == locked.digest), None)
    source = file or registries.source(locked.registry)
    pack = fetch_documents(store, locked.digest, source)[0]
    layers = pack.image.layer(ROUTER_TYPE)
    for layer in layers:
        store.fetch(layer.digest, layer.size, source)
    return bool(layers)
