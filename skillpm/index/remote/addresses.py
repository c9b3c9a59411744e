"""The URLs of a registry's documents. Importing this module loads no HTTP library."""

from skillpm.errors import UsageError
from skillpm.spec.location import RegistryLocation
from skillpm.spec.names import SkillName
from skillpm.spec.served import RegistryConfig, index_path, parse_config


def base_url(location: RegistryLocation) -> str:
    """The URL of a registry without credentials and final slash.

    Raises `UsageError` for a URL with a query.
    """
    if "?" in location.reveal() or "#" in location.reveal():
        raise UsageError(
            f"the registry `{location}` has a query or a fragment; expected a URL without",
            hint="to send a token, run `skillpm login`, or set SKILLPM_TOKEN",
        )
    return location.public().rstrip("/")


def config_below(base: str, data: bytes) -> RegistryConfig:
    """The `config.json` in `data`, with URLs below the registry's own moved below `base`.

    A registry is also reached under other URLs than its own: through a proxy, or as a copy. Raises
    `SpecError`.
    """
    config = parse_config(data)
    parts = {name: _moved(config.url, base, url) for name, url in config.parts.to_dict().items()}
    return config.model_copy(update={"parts": config.parts.model_copy(update=parts), "url": base})


def _moved(own: str, base: str, url: str | None) -> str | None:
    if url is None or not (url == own or url.startswith(f"{own}/")):
        return url
    return base + url.removeprefix(own)


def index_url(config: RegistryConfig, skill: SkillName) -> str:
    """The URL of an index document. The service has those of private namespaces."""
    parts = config.parts
    if skill.namespace in config.namespaces or parts.service is None:
        return parts.index + index_path(skill)
    return f"{parts.service}/index{index_path(skill)}"
