"""Licences as SPDX expressions: parsing, normal form, and the check against a policy."""

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
from skillpm.spec.nearest import most_similar, suggestion
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
"""Everything that the library raises for invalid text: its own errors, and failed assertions."""


def parse_licence(text: str) -> Any:
    """Parse an SPDX expression. Any identifier that starts with `LicenseRef-` is accepted.

    Raises `SpecError` if the text is not an expression, or has an identifier unknown to SPDX.
    """
    if len(text) > LENGTH_LIMIT:
        raise SpecError(f"the licence has {len(text)} characters; expected at most {LENGTH_LIMIT}")
    try:
        parsed = _spdx().parse(text)
    except _REFUSALS as problem:
        raise SpecError(
            f"{text!r} is not an SPDX expression: {capped(str(problem))}",
            hint="write a licence such as `MIT` or `MIT OR Apache-2.0`",
        ) from problem
    if parsed is None:
        raise SpecError(
            "the licence is empty; expected an SPDX expression",
            hint="write a licence such as `MIT`",
        )
    unknown = [key for key in _spdx().unknown_license_keys(parsed) if not key.startswith(_OWN)]
    if unknown:
        raise SpecError(f"{unknown[0]!r} is not an SPDX licence", hint=_did_you_mean(unknown[0]))
    return parsed


def _did_you_mean(key: str) -> str:
    known = {name.lower(): name for name in _spdx().known_symbols}
    word = key.lower().replace(" ", "-")
    starting = sorted((name for name in known if name.startswith(f"{word}-")), key=len)
    similar = starting[0] if starting else most_similar(word, known, cutoff=0.5)
    if similar is None:
        return f"write a licence without an SPDX identifier as `{_OWN}NAME`"
    return suggestion(known[similar])


def normal_licence(text: str) -> str:
    """Return an SPDX expression in normal form: `mit or gpl-2.0+` is `MIT OR GPL-2.0-or-later`.

    Raises `SpecError` if the text is not an SPDX expression.
    """
    return str(parse_licence(text).render())


class Policy:
    """The licences that a project accepts: those in `allow` (if it has any), none of `deny`.

    Of alternatives (OR), one must be accepted; of parts (AND), all. `X WITH E` is accepted if
    `allow` has it, or has X. Raises `SpecError` for an entry that is unknown to SPDX, because a
    misspelled entry of `deny` would deny nothing.
    """

    def __init__(self, policy: Licences) -> None:
        self.allow = {_key("allow", key) for key in policy.allow}
        self.deny = {_key("deny", key) for key in policy.deny}

    def refusal(self, text: str | None) -> str | None:
        """Return why a licence is not accepted, or None. Raises `SpecError` as `parse_licence`."""
        if not self.allow and not self.deny:
            return None
        if text is None:
            missing = "the manifest states no licence, and only licences in `allow` are accepted"
            return missing if self.allow else None
        if self._passes(parse_licence(text)):
            return None
        return f"`{text}` is {'not an accepted licence' if self.allow else 'a denied licence'}"

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
            f"skillpm.toml: audit.licenses.{kind}: {text!r} is more than one licence; expected one",
            hint='list each licence as a separate entry: `["MIT", "Apache-2.0"]`',
        )
    return str(parsed.render())
