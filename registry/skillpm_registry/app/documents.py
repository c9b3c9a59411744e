"""Static documents that the service itself writes: `/config.json` and the list of advisories."""

from skillpm.spec.served import (
    ADVISORIES_PATH,
    CONFIG_PATH,
    AdvisoryList,
    RegistryConfig,
    RegistryParts,
)
from skillpm_registry.app.service import Service


def registry_config(service: Service) -> RegistryConfig:
    """`/config.json`: the URLs of the parts, and the public namespaces."""
    config = service.config
    parts, url = config.parts, config.url
    return RegistryConfig(
        url=url,
        parts=RegistryParts(
            index=parts.index or f"{url}/index",
            blobs=parts.blobs or f"{url}/blobs",
            advisories=parts.advisories or f"{url}/advisories",
            service=url,
        ),
        namespaces=service.backend.documents.namespaces(),
        chunk_bytes=config.limits.chunk_bytes,
    )


def advisory_list(service: Service) -> AdvisoryList:
    """`/advisories/all.json`: every advisory, without those about skills of private namespaces."""
    hidden = service.people.namespaces.private()
    public = [
        advisory.to_dict()
        for advisory in service.backend.advisories.all()
        if not any(entry.name.namespace in hidden for entry in advisory.skills())
    ]
    return AdvisoryList(advisories=public)


def write_documents(service: Service) -> None:
    """Write the documents to the static tree, where they are not there already."""
    documents = {
        CONFIG_PATH: registry_config(service).canonical(),
        ADVISORIES_PATH: advisory_list(service).canonical(),
    }
    tree = service.backend.tree
    for path, data in documents.items():
        name = path.removeprefix("/")
        if tree.get(name) != data:
            tree.put(name, data)
