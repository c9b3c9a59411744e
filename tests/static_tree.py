"""Registries of static files, as `/config.json` and its companions, from pack files."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skillpm.archive.reader import open_pack
from skillpm.flows.packs.protocol import release_of
from skillpm.spec.digests import Digest
from skillpm.spec.served import (
    AdvisoryList,
    IndexDocument,
    IndexedRelease,
    RegistryConfig,
    RegistryParts,
    blob_path,
    index_path,
)

OWN = "http://registry.example"
"""The URL that the trees state. Clients replace it by the one under which they found them."""


@dataclass
class StaticTree:
    """The files of a registry below `folder`."""

    folder: Path
    own: str = OWN
    service: str | None = None
    namespaces: list[str] = field(default_factory=list)
    documents: dict[str, IndexDocument] = field(default_factory=dict)

    def write(self, path: str, data: bytes) -> None:
        """Write a file at the path of a URL."""
        target = self.folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def write_config(self) -> None:
        parts = RegistryParts(
            index=f"{self.own}/index",
            blobs=f"{self.own}/blobs",
            advisories=f"{self.own}/advisories",
            service=self.service,
        )
        config = RegistryConfig(url=self.own, parts=parts, namespaces=self.namespaces)
        self.write("/config.json", config.canonical())

    def add(self, path: Path, **changes: Any) -> Digest:
        """Add the release of a pack file; `changes` replace fields of its index entry."""
        pack = open_pack(path)
        release = release_of(pack)
        self.write(f"/blobs{blob_path(pack.digest)}", pack.image_bytes)
        for digest in pack.image.blobs:
            with pack.open_blob(digest) as stream:
                self.write(f"/blobs{blob_path(digest)}", stream.read())
        entry = {
            "version": release.version, "digest": release.digest, "size": release.size,
            "base": release.base, "architecture": pack.manifest.base.architecture,
            "requires": list(release.requires), "conflicts": list(release.conflicts),
            "summary": release.summary, "license": release.license, "scheme": release.scheme,
            "payload_bytes": release.payload_bytes, "created": release.created,
            "published": "2026-01-31T12:00:00Z",
        }  # fmt: skip
        plain = IndexedRelease.model_construct(**{**entry, **changes})
        known = self.documents.get(str(release.skill))
        releases = [*(known.releases if known else ()), plain]
        document = IndexDocument.model_construct(api=1, skill=release.skill, releases=releases)
        self.documents[str(release.skill)] = document
        self.write(f"/index{index_path(release.skill)}", document.canonical())
        if release.skill.namespace not in self.namespaces:
            self.namespaces.append(release.skill.namespace)
        self.write("/advisories/all.json", AdvisoryList(advisories=[]).canonical())
        self.write_config()
        assert release.digest is not None
        return release.digest
