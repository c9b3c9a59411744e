"""Licences as SPDX expressions: whether one is sound, and whether a policy lets it pass."""

from difflib import get_close_matches
from functools import cache
from typing import Any

from license_expression import (
    ExpressionError,
    LicenseWithExceptionSymbol,
    Licensing,
    get_spdx_licensing,
)

from skillpm.errors import SpecError
from skillpm.spec.policy import Licences

_OWN = "LicenseRef-"


@cache
def _spdx() -> Licensing:
    return get_spdx_licensing()


def parse_licence(text: str) -> Any:
    """An SPDX expression, parsed. `LicenseRef-…` may be anything.

    Raises `SpecError` where it is none, or names what SPDX does not have.
    """
    try:
        parsed = _spdx().parse(text)
    except ExpressionError as problem:
        raise SpecError(
            f"{text!r} is no SPDX expression: {problem}", hint="write it like `MIT OR Apache-2.0`"
        ) from problem
    if parsed is None:
        raise SpecError("a licence should be an SPDX expression, is empty")
    unknown = [key for key in _spdx().unknown_license_keys(parsed) if not key.startswith(_OWN)]
    if unknown:
        near = get_close_matches(unknown[0], _spdx().known_symbols, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"a licence of your own: `{_OWN}NAME`"
        raise SpecError(f"SPDX has no licence {unknown[0]!r}", hint=hint)
    return parsed


def refusal(text: str, policy: Licences) -> str | None:
    """Why a policy does not let a licence pass; None where it does, or where there is none.

    Of alternatives (OR) one has to pass, of parts (AND) all. Raises `SpecError` for an expression
    that is not sound.
    """
    if not policy.allow and not policy.deny:
        return None
    allow, deny = ({key.lower() for key in keys} for keys in (policy.allow, policy.deny))

    def passes(part: Any) -> bool:
        if isinstance(part, _spdx().OR):
            return any(passes(one) for one in part.args)
        if isinstance(part, _spdx().AND):
            return all(passes(one) for one in part.args)
        keys = {str(part.key).lower()}
        if isinstance(part, LicenseWithExceptionSymbol):
            keys = {str(part).lower(), str(part.license_symbol.key).lower()}
        return not keys & deny and (not allow or bool(keys & allow))

    if passes(parse_licence(text)):
        return None
    return "is not among those that `[audit.licenses]` allows" if allow else "is denied"
