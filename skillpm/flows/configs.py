"""Which settings of a config differ from another, as transformers reads both."""

from skillpm.flows.sidefiles import changed_keys
from skillpm.running.foreign import ForeignModelFiles
from skillpm.sandbox.errors import ForeignWorkError

_KIND = "model_type"


def changed_settings(
    foreign: ForeignModelFiles, old: bytes | None, new: bytes, *, ignored: frozenset[str]
) -> frozenset[str]:
    """The keys of a `config.json`, but for `ignored`, by which another model is built.

    A default that only one of both spells out changes nothing: releases of transformers differ in
    what they write. Transformers reads both in the sandbox. Where it cannot read one, all keys that
    differ in the files are meant.
    """
    keys = changed_keys(old, new) - ignored
    if not keys or _KIND in keys:
        return keys
    try:
        return foreign.changed_settings(old or b"{}", new, keys)
    except ForeignWorkError:
        return keys
