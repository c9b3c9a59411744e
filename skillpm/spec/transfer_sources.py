"""Transfers: their folder in the home, and their sources in the provenance of a manifest.

`model sha256:…`, `endpoint HOST/MODEL` or `answers sha256:…`, followed by `; terms: …` if the user
stated the terms of use.
"""

FOLDER = "transfer"
"""The folder of the home that has a folder for each transfer."""
METHOD = "transfer/"
"""The start of the training method of every transfer."""
_TERMS = "; terms: "


def describe_source(identity: str, terms: str | None) -> str:
    """A source with its terms, if they are known. A `;` of the identity becomes a comma."""
    plain = identity.replace(";", ",")
    return f"{plain}{_TERMS}{terms}" if terms else plain


def has_terms(source: str) -> bool:
    """Whether a source states its terms."""
    return bool(source.partition(_TERMS)[2].strip())
