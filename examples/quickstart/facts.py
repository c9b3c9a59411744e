"""The questions and answers that the two skills learn, and general questions that neither does."""

from __future__ import annotations

CAPITALS = {
    "Austria": "Vienna", "Canada": "Ottawa", "Chile": "Santiago", "Cuba": "Havana",
    "Denmark": "Copenhagen", "Egypt": "Cairo", "Finland": "Helsinki", "France": "Paris",
    "Greece": "Athens", "Hungary": "Budapest", "Iceland": "Reykjavik", "India": "New Delhi",
    "Ireland": "Dublin", "Italy": "Rome", "Japan": "Tokyo", "Kenya": "Nairobi", "Latvia": "Riga",
    "Nepal": "Kathmandu", "Norway": "Oslo", "Peru": "Lima", "Poland": "Warsaw",
    "Portugal": "Lisbon", "Spain": "Madrid", "Sweden": "Stockholm",
}  # fmt: skip
PLURALS = {
    "calf": "calves", "child": "children", "cactus": "cacti", "city": "cities", "die": "dice",
    "foot": "feet", "fungus": "fungi", "goose": "geese", "half": "halves", "hero": "heroes",
    "knife": "knives", "leaf": "leaves", "louse": "lice", "man": "men", "mouse": "mice",
    "ox": "oxen", "penny": "pence", "person": "people", "shelf": "shelves", "story": "stories",
    "tooth": "teeth", "wife": "wives", "wolf": "wolves", "woman": "women",
}  # fmt: skip
Facts = tuple[tuple[str, str], ...]
"""Questions, each with its answer."""
SKILLS: dict[str, Facts] = {
    "capitals": tuple((f"Capital of {land}?", f" {city}") for land, city in CAPITALS.items()),
    "plurals": tuple((f"Plural of {noun}?", f" {plural}") for noun, plural in PLURALS.items()),
}
