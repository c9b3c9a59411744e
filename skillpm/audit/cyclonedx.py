"""The bill of materials of an environment, as CycloneDX 1.6 JSON.

The graft is a component of type machine-learning-model. Its ancestor is the base, and its
dependencies are the packs. Equal locks give equal bytes: the serial number is derived from the
lock, and the document has a timestamp only if the caller passes one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.model.tool import ToolRepository
from cyclonedx.model.vulnerability import (
    BomTarget,
    Vulnerability,
    VulnerabilityRating,
    VulnerabilitySeverity,
)
from cyclonedx.output.json import JsonV1Dot6

from skillpm.audit.findings import Audited
from skillpm.audit.licences import normal_licence
from skillpm.errors import SpecError
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedBase, LockedSkill, Lockfile
from skillpm.spec.manifest import Manifest
from skillpm.spec.names import SkillName
from skillpm.version import __version__


@dataclass(frozen=True)
class Inventory:
    """The contents of a graft: the project's name, its lock, and the readable manifests."""

    name: str
    lock: Lockfile
    manifests: Mapping[SkillName, Manifest]


def cyclonedx(inventory: Inventory, audited: Audited, at: datetime | None) -> dict[str, Any]:
    """Return the CycloneDX document, with advisories as vulnerabilities and `at` as timestamp."""
    lock = inventory.lock
    graft, packs = _graft(inventory), [_pack(inventory, entry) for entry in lock.skills.values()]
    metadata = BomMetaData(component=graft, tools=ToolRepository(components=[_tool()]))
    if at is not None:
        metadata.timestamp = at
    lock_hash = Digest.of(lock.dumps().encode())
    bom = Bom(
        components=packs,
        serial_number=uuid5(NAMESPACE_URL, f"skillpm:{lock_hash}"),
        metadata=metadata,
        vulnerabilities=_vulnerabilities(inventory, audited),
    )
    refs = dict(zip(lock.skills, packs, strict=True))
    bom.register_dependency(graft, packs)
    for skill, locked in lock.skills.items():
        required = sorted({need.skill for need in locked.requires if need.skill in refs})
        bom.register_dependency(refs[skill], [refs[name] for name in required])
    document = json.parse_object(
        JsonV1Dot6(bom).output_as_string().encode(), "a CycloneDX document"
    )
    if at is None:
        del document["metadata"]["timestamp"]  # the library fills in the current time
    _add_cards(document, inventory)
    return document


def _tool() -> Component:
    return Component(name="skillpm", version=__version__, type=ComponentType.APPLICATION)


def _graft(inventory: Inventory) -> Component:
    root = inventory.lock.graft.root
    return Component(
        name=inventory.name,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref="graft",
        version=str(root) if root else None,
        pedigree=Pedigree(ancestors=[_base(inventory.lock.base)]),
        properties=_properties({"skillpm:root": root}),
    )


def _base(base: LockedBase) -> Component:
    return Component(
        name=base.name,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref="base",
        version=str(base.root),
        properties=_properties({"skillpm:root": base.root}),
    )


def _pack(inventory: Inventory, locked: LockedSkill) -> Component:
    manifest = inventory.manifests.get(locked.skill)
    facts: dict[str, object] = {"skillpm:digest": locked.digest, "skillpm:weight": locked.weight}
    if manifest is not None:
        facts["skillpm:base"] = manifest.base.root
        facts["skillpm:scheme"] = manifest.compression.scheme
    return Component(
        name=locked.skill.name,
        group=locked.skill.namespace,
        version=str(locked.version),
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=_ref(locked),
        description=manifest.summary or None if manifest else None,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=locked.digest.hex)],
        licenses=_licences(manifest.license if manifest else None),
        properties=_properties(facts),
    )


def _ref(locked: LockedSkill) -> str:
    return f"{locked.skill}@{locked.version}"


def _licences(licence: str | None) -> list[LicenseExpression | DisjunctiveLicense]:
    if licence is None:
        return []
    try:
        return [LicenseExpression(normal_licence(licence))]
    except SpecError:
        return [DisjunctiveLicense(name=licence or "none")]


def _properties(facts: Mapping[str, object]) -> Iterable[Property]:
    return [Property(name=key, value=str(value)) for key, value in facts.items() if value]


def _vulnerabilities(inventory: Inventory, audited: Audited) -> list[Vulnerability]:
    skills = {str(skill): _ref(locked) for skill, locked in inventory.lock.skills.items()}
    return [
        Vulnerability(
            bom_ref=f"{finding.id}:{finding.skill}",
            id=finding.id,
            ratings=[VulnerabilityRating(severity=VulnerabilitySeverity(finding.level))],
            description=finding.message,
            affects=[BomTarget(ref=skills[finding.skill])],
        )
        for finding in (*audited.findings, *(entry.finding for entry in audited.ignored))
        if finding.id is not None and finding.skill in skills
    ]


def _add_cards(document: dict[str, Any], inventory: Inventory) -> None:
    """Add the model cards, which the cyclonedx library cannot write."""
    by_ref = {
        _ref(locked): inventory.manifests.get(skill)
        for skill, locked in inventory.lock.skills.items()
    }
    for component in document.get("components", ()):
        manifest = by_ref[component["bom-ref"]]
        if manifest is not None:
            component["modelCard"] = _card(manifest)


def _card(manifest: Manifest) -> dict[str, Any]:
    card: dict[str, Any] = {
        "modelParameters": {"modelArchitecture": manifest.base.architecture},
    }
    if manifest.capabilities:
        metrics = [
            {"type": capability.metric, "value": str(capability.value), "slice": capability.name}
            for capability in manifest.capabilities
        ]
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    return card
