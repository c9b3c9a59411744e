"""Licences as SPDX expressions: whether one is sound, and whether a policy lets it pass."""

from difflib import get_close_matches
from functools import cache
from typing import Any

from license_expression import (
    ExpressionError,
    ExpressionParseError,
    LicenseWithExceptionSymbol,
    Licensing,
    get_spdx_licensing,
)

from skillpm.errors import SpecError, capped
from skillpm.spec.policy import Licences

LENGTH_LIMIT = 1000
_OWN = "LicenseRef-"


@cache
def _spdx() -> Licensing:
    return get_spdx_licensing()


_REFUSALS = (
    ExpressionError, ExpressionParseError, RecursionError, AssertionError, AttributeError,
    IndexError, KeyError, TypeError, ValueError,
)  # fmt: skip
"""How the library refuses: by errors of its own, and by assertions about its operators."""


def parse_licence(text: str) -> Any:
    """An SPDX expression, parsed. `LicenseRef-…` may be anything.

    Raises `SpecError` where it is none, or names what SPDX does not have.
    """
    if len(text) > LENGTH_LIMIT:
        raise SpecError(f"a licence is at most {LENGTH_LIMIT} characters, this has {len(text)}")
    try:
        parsed = _spdx().parse(text)
    except _REFUSALS as problem:
        raise SpecError(
            f"{text!r} is no SPDX expression: {capped(str(problem))}",
            hint="write it like `MIT OR Apache-2.0`",
        ) from problem
    if parsed is None:
        raise SpecError(
            "a licence should be an SPDX expression, is empty", hint="write it like `MIT`"
        )
    unknown = [key for key in _spdx().unknown_license_keys(parsed) if not key.startswith(_OWN)]
    if unknown:
        raise SpecError(f"SPDX has no licence {unknown[0]!r}", hint=_did_you_mean(unknown[0]))
    return parsed


def _did_you_mean(key: str) -> str:
    known = {name.lower(): name for name in _spdx().known_symbols}
    word = key.lower().replace(" ", "-")
    begun = sorted((name for name in known if name.startswith(f"{word}-")), key=len)
    near = begun or get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean `{known[near[0]]}`?" if near else f"a licence of your own: `{_OWN}NAME`"


def normal_licence(text: str) -> str:
    """An SPDX expression as SPDX writes it: `mit or gpl-2.0+` is `MIT OR GPL-2.0-or-later`.

    Raises `SpecError` where it is none.
    """
    return str(parse_licence(text).render())


class Policy:
    """Which licences pass: where some are allowed no others are, and what is denied never is.

    Of alternatives (OR) one has to pass, of parts (AND) all. `X WITH E` passes where it is allowed
    itself, or X is. Raises `SpecError` for a policy that names what SPDX does not have: a slip in
    `deny` would let pass what it is there to stop.
    """

    def __init__(self, policy: Licences) -> None:
        self.allow = {_key("allow", key) for key in policy.allow}
        self.deny = {_key("deny", key) for key in policy.deny}

    def refusal(self, text: str | None) -> str | None:
        """Why a licence does not pass; None where it does. Raises `SpecError` as parsing does."""
        if not self.allow and not self.deny:
            return None
        if text is None:
            return "no licence is named, and only those in `allow` pass" if self.allow else None
        if self._passes(parse_licence(text)):
            return None
        return f"`{text}` is {'not among those that pass' if self.allow else 'denied'}"

    def _passes(self, part: Any) -> bool:
        if isinstance(part, _spdx().OR):
            return any(map(self._passes, part.args))
        if isinstance(part, _spdx().AND):
            return all(map(self._passes, part.args))
        keys = {str(part.render())}
        if isinstance(part, LicenseWithExceptionSymbol):
            keys.add(str(part.license_symbol.key))
        return not keys & self.deny and (not self.allow or bool(keys & self.allow))


def _key(kind: str, text: str) -> str:
    try:
        parsed = parse_licence(text)
    except SpecError as problem:
        message = f"skillpm.toml: audit.licenses.{kind}: {problem.message}"
        raise SpecError(message, hint=problem.hint) from problem
    if isinstance(parsed, (_spdx().OR, _spdx().AND)):
        raise SpecError(
            f"skillpm.toml: audit.licenses.{kind}: {text!r} is more than one licence",
            hint="name each by itself",
        )
    return str(parsed.render())
