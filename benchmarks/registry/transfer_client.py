"""The client that `transfers.py` kills: uploads or downloads one blob, and continues.

`python -m benchmarks.registry.transfer_client upload|download URL DIGEST SIZE FILE HOME`
"""

import os
import sys
import time
from pathlib import Path

from skillpm.index.credentials import Credentials, StoredTokens
from skillpm.index.remote.open import RemoteSettings, open_remote
from skillpm.index.remote.service import RegistryService
from skillpm.index.remote.transport import Transport
from skillpm.spec.digests import Digest
from skillpm.spec.location import RegistryLocation
from skillpm.spec.names import SkillName
from skillpm.spec.origin import WebOrigin
from skillpm.spec.release import Release
from skillpm.spec.versions import Version
from skillpm.store.blobs import Store


def main() -> None:
    verb, url, digest_text, size_text, path, home = sys.argv[1:]
    digest, size, location = Digest(digest_text), int(size_text), RegistryLocation.parse(url)
    trusted = frozenset({WebOrigin.of(url)})
    credentials = Credentials(StoredTokens(Path(home)), os.environ.get("SKILLPM_TOKEN"), trusted)
    if verb == "upload":
        transport = Transport(location, credentials)
        RegistryService(transport, url).upload(
            Release(SkillName.parse("acme/large"), Version.parse("1.0.0")),
            {digest: size},
            lambda _digest: Path(path).open("rb"),  # noqa: SIM115 - closed by the uploader
        )
        return
    index = open_remote(location, RemoteSettings(Path(home), credentials, time.time()))
    Store(Path(home) / "store").fetch(digest, size, index)


if __name__ == "__main__":
    main()
