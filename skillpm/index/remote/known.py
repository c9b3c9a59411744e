"""What this machine knows of a registry without asking it: its documents in the cache.

Importing this module loads no HTTP library.
"""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from skillpm.errors import SkillpmError
from skillpm.index.remote.addresses import base_url, config_below, index_url
from skillpm.index.remote.cache import DocumentCache
from skillpm.spec.digests import Digest
from skillpm.spec.location import RegistryKind, RegistryLocation
from skillpm.spec.names import SkillName
from skillpm.spec.served import CONFIG_LIMIT, CONFIG_PATH, INDEX_LIMIT, parse_index_document

_STATE = b'"quarantined"'


def known_quarantines(
    home: Path, location: RegistryLocation, skills: Collection[SkillName]
) -> dict[Digest, str]:
    """The reasons of the quarantined releases of these skills, by digest.

    Reads cached documents of any age, a file for each skill, and sends no request. A registry in a
    folder has none. Documents that are missing or malformed are passed over.
    """
    if location.kind is not RegistryKind.HTTP:
        return {}
    with suppress(SkillpmError):
        base = base_url(location)
        cache = DocumentCache(home, base)
        config = cache.find(base + CONFIG_PATH, CONFIG_LIMIT)
        if config is not None:
            parsed = config_below(base, config.body)
            urls = {skill: index_url(parsed, skill) for skill in skills}
            return {
                digest: reason
                for skill, url in urls.items()
                for digest, reason in _quarantined(cache, skill, url)
            }
    return {}


def _quarantined(cache: DocumentCache, skill: SkillName, url: str) -> list[tuple[Digest, str]]:
    kept = cache.find(url, INDEX_LIMIT)
    if kept is None or _STATE not in kept.body:  # spares most documents the parser
        return []
    with suppress(SkillpmError):
        document = parse_index_document(kept.body)
        if document.skill == skill:
            listed = (release.release(skill) for release in document.releases)
            return [
                (release.digest, release.yank_reason)
                for release in listed
                if release.quarantined and release.digest is not None
            ]
    return []
