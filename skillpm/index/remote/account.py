"""The user's account at a registry: `login`, `logout` and `whoami`."""

from dataclasses import dataclass, replace

from skillpm.errors import AuthError
from skillpm.index.credentials import check_token
from skillpm.index.protocol import AccountIdentity
from skillpm.index.remote.addresses import base_url
from skillpm.index.remote.cache import DocumentCache
from skillpm.index.remote.open import RemoteSettings, open_remote
from skillpm.spec.location import RegistryLocation
from skillpm.spec.origin import WebOrigin


@dataclass(frozen=True)
class RemoteAccount:
    """The account at the registry of a location. Tokens are stored by origin."""

    location: RegistryLocation
    settings: RemoteSettings

    @property
    def _origin(self) -> WebOrigin:
        return WebOrigin.of(base_url(self.location))

    def identity(self) -> AccountIdentity:
        """The owner of the token that commands send to the registry.

        Raises `AuthError` without a token, or if the registry refuses it.
        """
        credentials = self.settings.credentials
        if credentials.authorization(self.location) is None:
            raise AuthError(
                f"there are no credentials for `{self._origin}`",
                hint=credentials.hint(self.location, authorized=False),
            )
        return self._ask(self.settings)

    def log_in(self, token: str) -> tuple[AccountIdentity, str]:
        """Ask the registry for the owner of a token, then store it for the registry's origin.

        Returns the owner, and the place of the token as a clause. Raises `AuthError` if the
        registry refuses the token, which is then not stored.
        """
        token, origin = check_token(token, "the input"), self._origin
        credentials = replace(self.settings.credentials, token=token, trusted=frozenset({origin}))
        identity = self._ask(replace(self.settings, credentials=credentials))
        return identity, credentials.stored.put(origin, token)

    def log_out(self) -> bool:
        """Forget the stored token and the documents that it gave access to."""
        DocumentCache(self.settings.home, base_url(self.location)).clear()
        return self.settings.credentials.stored.remove(self._origin)

    def _ask(self, settings: RemoteSettings) -> AccountIdentity:
        index = open_remote(self.location, settings)
        try:
            found = index.whoami()
        finally:
            index.close()
        return AccountIdentity(found.principal, found.token.expires)
