"""Licences: valid SPDX expressions, and what a policy accepts."""

import pytest

from skillpm.audit.licences import Policy, normal_licence, parse_licence
from skillpm.errors import SpecError
from skillpm.spec.policy import Licences


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("mit", "MIT"),
        ("MIT OR apache-2.0", "MIT OR Apache-2.0"),
        ("gpl-2.0+", "GPL-2.0-or-later"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("LicenseRef-acme-internal", "LicenseRef-acme-internal"),
        ("(MIT OR ISC) AND BSD-3-Clause", "(MIT OR ISC) AND BSD-3-Clause"),
    ],
)
def test_expression_is_normalized_like_spdx(written: str, normal: str) -> None:
    assert normal_licence(written) == normal
    assert normal_licence(normal) == normal


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Apache2", "did you mean `Apache-2.0`?"),
        ("Apache 2.0", "did you mean `Apache-2.0`?"),
        ("MIT OR BSD-3", "did you mean `BSD-3-Clause`?"),
        ("MIT OR", "MIT OR Apache-2.0"),
        ("(MIT", "MIT OR Apache-2.0"),
        ("MIT/X11", "MIT OR Apache-2.0"),
        ("", "MIT"),
        ("qqqqqqq", "LicenseRef-NAME"),
    ],
)
def test_invalid_licence_expression_is_refused_with_a_suggestion(text: str, hint: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse_licence(text)
    assert hint in (refused.value.hint or "")


@pytest.mark.parametrize("text", ["(" * 900 + "MIT" + ")" * 90, "MIT OR " * 1000 + "MIT"])
def test_very_long_expression_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        parse_licence(text)


@pytest.mark.parametrize(
    ("allow", "deny", "licence", "passes"),
    [
        ([], [], None, True),
        ([], [], "GPL-3.0-only", True),
        (["MIT", "ISC"], [], "mit", True),
        (["MIT"], [], None, False),
        ([], ["MIT"], None, True),
        (["MIT"], [], "MIT OR GPL-3.0-only", True),
        (["MIT"], [], "MIT AND GPL-3.0-only", False),
        ([], ["gpl-3.0"], "GPL-3.0-only", False),
        ([], ["GPL-3.0-only"], "GPL-3.0-only OR ISC", True),
        ([], ["GPL-3.0-only"], "GPL-3.0-only AND ISC", False),
        (["GPL-2.0-only"], [], "GPL-2.0-only WITH Classpath-exception-2.0", True),
        (
            ["GPL-2.0-only WITH Classpath-exception-2.0"],
            [],
            "GPL-2.0-only WITH Classpath-exception-2.0",
            True,
        ),
        (["GPL-2.0-only WITH Classpath-exception-2.0"], [], "GPL-2.0-only", False),
        (["MIT"], ["MIT"], "MIT", False),
        (["LicenseRef-acme"], [], "LicenseRef-acme", True),
    ],
)
def test_policy_requires_one_alternative_and_all_parts_to_pass(
    allow: list[str], deny: list[str], licence: str | None, *, passes: bool
) -> None:
    refusal = Policy(Licences(allow=allow, deny=deny)).refusal(licence)
    assert (refusal is None) == passes, refusal


@pytest.mark.parametrize("key", ["GLP-3.0-only", "MIT OR ISC", ""])
def test_policy_with_an_invalid_licence_is_refused(key: str) -> None:
    with pytest.raises(SpecError, match=r"audit\.licenses\.deny"):
        Policy(Licences(deny=[key]))
