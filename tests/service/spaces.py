"""Namespaces of the tests with a member of each role."""

import secrets
from dataclasses import dataclass

from live_server import Api
from small_packs import SmallPack, small_pack

from skillpm.spec.registry_people import ROLES


@dataclass
class Space:
    """A namespace with one release, and a member of each role."""

    name: str
    pack: SmallPack
    admin: Api
    private: bool

    def api(self, principal: str, *actions: str, **more: object) -> Api:
        token = self.admin.token(*actions, principal=principal, **more)
        return Api(str(self.admin.http.base_url), token)


def make_space(admin: Api, *, private: bool) -> Space:
    name = f"a{secrets.token_hex(6)}"
    admin.namespace(name, private=private)
    pack = small_pack(f"{name}/math", data=secrets.token_bytes(8))
    admin.publish(pack)
    for role in ROLES:
        member = {"principal": f"{role}-{name}", "role": role}
        admin.ask("POST", f"/v1/namespaces/{name}/members", json=member)
    return Space(name, pack, admin, private)
