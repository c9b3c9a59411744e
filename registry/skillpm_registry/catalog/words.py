"""The words that a skill is found by, split in the same way for both databases.

A word has lower-case ASCII letters and digits only; another character is written as its code point
between underscores, so that a beginning of a word is a beginning of its written form. A filter is
one word that begins with two underscores, which no other word does.
"""

import hashlib
import re
from collections.abc import Iterable

from skillpm.errors import SpecError
from skillpm_registry.catalog.rows import case_folded

TEXT_LIMIT = 500
"""Characters of a search."""
WORDS_LIMIT = 16
"""Words of a search."""
FILTERS = ("base", "license", "capability")
_WORD = re.compile(r"[^\W_]+")
_WORD_LIMIT = 64
_ROW_WORDS = 1000
_SHORTEST_ENDING = 2


def split_words(text: str) -> list[str]:
    """The words of a text in their written form, without repetitions."""
    return list(dict.fromkeys(_written(word) for word in _WORD.findall(case_folded(text))))


def _written(word: str) -> str:
    return "".join(
        character if character.isascii() else f"_{ord(character):x}_"
        for character in word[:_WORD_LIMIT]
    )


def filter_word(kind: str, value: str) -> str:
    """The word that stands for `base:…`, `license:…` or `capability:…`."""
    name = f"{kind}:{case_folded(value)}".encode()
    return f"__{hashlib.sha256(name).hexdigest()[:24]}"


def words_of_skill(name: str, texts: Iterable[str], filters: Iterable[tuple[str, str]]) -> str:
    """The words of a row of `search_row`, separated by spaces.

    `name` is the skill's name without its namespace. Its words are stored with all their endings,
    so that a search for a beginning finds a part of a name too.
    """
    words = [filter_word(kind, value) for kind, value in filters]
    for word in split_words(name):
        words += [word[start:] for start in range(max(1, len(word) - _SHORTEST_ENDING + 1))]
    for text in texts:
        words += split_words(text)
    return " ".join(list(dict.fromkeys(words))[:_ROW_WORDS])


def parse_search(text: str) -> tuple[list[str], list[str]]:
    """The words of a search, and its filters as words. Raises `SpecError`."""
    if len(text) > TEXT_LIMIT:
        raise SpecError(f"the text to search for is longer than {TEXT_LIMIT} characters")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise SpecError("the text to search for is not Unicode")
    plain, filters = list[str](), list[str]()
    for part in text.split():
        kind, colon, value = part.partition(":")
        if colon and value and kind.lower() in FILTERS:
            filters.append(filter_word(kind.lower(), value))
        else:
            plain.append(part)
    words = split_words(" ".join(plain))
    if len(words) > WORDS_LIMIT or len(filters) > WORDS_LIMIT:
        raise SpecError(f"a search has at most {WORDS_LIMIT} words and {WORDS_LIMIT} filters")
    return words, filters
