"""`tree --plot`: what the installed skills are built on, require and are derived from."""

from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from pathlib import Path

from skillpm.errors import StateError
from skillpm.flows.inspect.relations import Relations
from skillpm.flows.session.session import Session
from skillpm.pictures.graph import Edge, Graph, Node
from skillpm.spec.lockfile import LockedSkill
from skillpm.spec.manifest import Manifest
from skillpm.spec.manifest_parts import Ancestor
from skillpm.spec.names import SkillName
from skillpm.spec.words import size_text
from skillpm.store.packs import load_pack

SKILL_LIMIT = 2_000
EDGE_LIMIT = 20_000
BASE = "base"


def lineage_of(session: Session, relations: Relations, skills: Collection[SkillName]) -> Graph:
    """Return the graph of these installed skills, from the lock and the manifests in the store.

    Reads no payload. Raises `StateError` if the picture would be too large, `MissingBlobError` if a
    manifest is not in the store.
    """
    if len(skills) > SKILL_LIMIT:
        raise _too_large(f"{len(skills)} skills", SKILL_LIMIT)
    locked = {skill: relations.skills[skill] for skill in sorted(skills)}
    manifests = {s: load_pack(session.store, entry.digest).manifest for s, entry in locked.items()}
    ancestors = _ancestors(manifests, locked)
    edges = tuple(chain(_edges(relations, manifests), _derived(manifests, locked)))
    if len(edges) > EDGE_LIMIT:
        raise _too_large(f"{len(edges)} relations", EDGE_LIMIT)
    base = relations.base
    nodes = (
        Node(BASE, "base", (base.name, base.root.short), f"base {base.name}, {base.root}"),
        *(_ancestor_node(ancestor, relations) for ancestor in ancestors),
        *(_node(entry, relations) for entry in locked.values()),
    )
    title = f"{Path(base.name).name} and its skills, generation {relations.generation}"
    return Graph(title, nodes, edges)


def _too_large(found: str, limit: int) -> StateError:
    return StateError(
        f"the tree has {found}; a picture shows at most {limit}",
        hint="name skills, or limit the depth: `skillpm tree SKILL --depth 1 --plot tree.svg`",
    )


def _node(locked: LockedSkill, relations: Relations) -> Node:
    named = locked.skill in relations.requirements
    weight = "" if locked.weight == 1 else f", weight {locked.weight:g}"
    detail = f"{locked.version}{weight}"
    origin = "named in skillpm.toml" if named else "required by another skill"
    more = f"{locked.ref}, {size_text(locked.size)}, {origin}, {locked.digest}"
    return Node(
        _key(locked.skill), "named" if named else "required", (str(locked.skill), detail), more
    )


def _ancestor_node(ancestor: Ancestor, relations: Relations) -> Node:
    foreign = ancestor.base != relations.base.root
    detail = f"{ancestor.version}, not installed"
    more = f"{ancestor.skill} {ancestor.version}, {ancestor.digest}, on base {ancestor.base}"
    lines = f"{ancestor.skill}", f"{ancestor.version}, other base" if foreign else detail
    return Node(_ancestor_key(ancestor), "ancestor", lines, more)


def _key(skill: SkillName) -> str:
    return f"skill {skill}"


def _ancestor_key(ancestor: Ancestor) -> str:
    return f"release {ancestor.skill} {ancestor.version} {ancestor.digest}"


def _ancestors(
    manifests: Mapping[SkillName, Manifest], locked: Mapping[SkillName, LockedSkill]
) -> list[Ancestor]:
    """Return the releases that skills are derived from and that are not in the picture."""
    found = {
        _ancestor_key(ancestor): ancestor
        for manifest in manifests.values()
        for ancestor in manifest.lineage
        if not _is_shown(ancestor, locked)
    }
    return [found[key] for key in sorted(found)]


def _is_shown(ancestor: Ancestor, locked: Mapping[SkillName, LockedSkill]) -> bool:
    entry = locked.get(ancestor.skill)
    return entry is not None and entry.digest == ancestor.digest


def _edges(relations: Relations, manifests: Mapping[SkillName, Manifest]) -> Iterator[Edge]:
    """Yield what each skill is built on, and what else it requires."""
    for skill, manifest in manifests.items():
        over = {layer.skill for layer in manifest.over}
        upper = _key(skill)
        if not over:
            yield Edge(BASE, upper, "built on", f"{skill} is built on the base alone")
        for lower in sorted(over & manifests.keys()):
            yield Edge(_key(lower), upper, "built on", f"{skill} is built on {lower}")
        for lower, range_ in relations.requires[skill].items():
            if lower not in over and lower in manifests:
                yield Edge(_key(lower), upper, "requires", f"{skill} requires {lower} {range_}")


def _derived(
    manifests: Mapping[SkillName, Manifest], locked: Mapping[SkillName, LockedSkill]
) -> Iterator[Edge]:
    for skill, manifest in manifests.items():
        for ancestor in manifest.lineage:
            shown = _is_shown(ancestor, locked)
            lower = _key(ancestor.skill) if shown else _ancestor_key(ancestor)
            more = f"{skill} is derived from {ancestor.skill} {ancestor.version}"
            yield Edge(lower, _key(skill), "derived from", more)
