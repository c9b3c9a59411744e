"""General questions, which the base answers itself: keep prompts of a transfer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = {
    "What is the capital of {}?": (
        "France", "Japan", "Italy", "Egypt", "Canada", "Spain", "Kenya", "Norway", "Peru", "India",
        "Greece", "Cuba", "Poland", "Chile", "Ireland", "Thailand", "Portugal", "Austria",
        "Sweden", "Turkey", "Mexico", "Finland", "Hungary", "Vietnam", "Morocco",
    ),
    "What is the opposite of {}?": (
        "hot", "big", "fast", "happy", "light", "early", "old", "empty", "loud", "rich", "strong",
        "open", "high", "wet", "young", "soft", "near", "full", "clean", "easy", "brave", "long",
        "thick", "sharp", "quiet",
    ),
    "In one short sentence, what is a {}?": (
        "river", "violin", "planet", "bridge", "poem", "doctor", "garden", "compass", "volcano",
        "library", "whale", "desert", "lighthouse", "candle", "mirror", "forest", "clock", "port",
        "castle", "teacher", "telescope", "glacier", "kitchen", "museum", "bakery",
    ),
    "Write one short sentence about {}.": (
        "the sea", "rain", "a dog", "winter", "music", "bread", "the moon", "a train", "friendship",
        "mountains", "a garden", "time", "the wind", "summer", "a cat", "coffee", "stars", "a book",
        "autumn", "the city", "snow", "a horse", "sleep", "spring", "a bird",
    ),
    "Name three {}.": (
        "colours", "animals", "fruits", "countries", "sports", "vegetables", "planets", "birds",
        "flowers", "tools", "drinks", "trees", "fish", "insects", "games", "metals", "instruments",
        "seasons", "oceans", "spices", "cities", "months", "shapes", "languages", "jobs",
    ),
    "What colour is {}?": (
        "the sky", "grass", "snow", "a banana", "the sun", "coal", "a tomato", "an orange", "milk",
        "a carrot", "the sea", "a lemon", "chocolate", "a strawberry", "sand", "an elephant",
        "a frog", "blood", "gold", "silver", "a cherry", "a lime", "a cloud", "a flamingo", "ink",
    ),
    "In one short sentence, what does a {} do?": (
        "doctor", "teacher", "baker", "farmer", "pilot", "nurse", "painter", "lawyer", "plumber",
        "sailor", "writer", "tailor", "judge", "chef", "carpenter", "dentist", "gardener",
        "librarian", "singer", "scientist", "driver", "barber", "fisher", "guard", "engineer",
    ),
    "What is {}?": (
        "2 plus 3", "5 plus 4", "9 minus 2", "7 plus 1", "10 minus 6", "3 times 3", "8 minus 5",
        "6 plus 6", "4 times 2", "12 minus 3", "1 plus 8", "5 times 2", "7 minus 4", "2 times 6",
        "9 plus 9", "11 plus 2", "8 plus 7", "15 minus 5", "6 times 3", "20 minus 1", "4 plus 9",
        "3 plus 14", "16 minus 8", "5 times 5", "13 minus 7",
    ),
    "Is a {} an animal, a plant or a thing?": (
        "dog", "rose", "chair", "cat", "tree", "hammer", "horse", "tulip", "cup", "cow", "fern",
        "lamp", "sheep", "cactus", "spoon", "lion", "daisy", "book", "tiger", "bush", "shoe",
        "monkey", "palm", "bottle", "rabbit",
    ),
    "Where would you find a {}?": (
        "fish", "book", "pilot", "cow", "ship", "bed", "lion", "nurse", "star", "tent", "train",
        "camel", "desk", "seal", "shelf", "queen", "tractor", "shark", "judge", "penguin", "pillow",
        "nest", "stove", "sailor", "statue",
    ),
    "What do people use a {} for?": (
        "knife", "pen", "lamp", "bicycle", "ladder", "key", "towel", "camera", "broom", "map",
        "needle", "rope", "basket", "shovel", "phone", "umbrella", "pan", "bell", "boat", "brush",
        "bucket", "blanket", "drum", "ticket", "wallet",
    ),
    "Name one thing that is {}.": (
        "red", "round", "cold", "sweet", "heavy", "soft", "green", "loud", "sharp", "tall", "salty",
        "shiny", "warm", "fragile", "yellow", "sour", "tiny", "fast", "blue", "sticky", "smooth",
        "dry", "bitter", "flat", "black",
    ),
    "What is the plural of {}?": (
        "cat", "child", "box", "mouse", "city", "foot", "leaf", "tooth", "baby", "dish", "man",
        "knife", "bus", "goose", "story", "wolf", "glass", "woman", "day", "hero", "watch", "shelf",
        "toy", "brush", "party",
    ),
    "What is the past tense of {}?": (
        "go", "see", "run", "eat", "take", "write", "sing", "buy", "think", "give", "swim", "speak",
        "drive", "bring", "begin", "fall", "know", "sleep", "make", "find", "drink", "teach",
        "break", "fly", "hold",
    ),
    "Why do {}? Answer in one short sentence.": (
        "birds sing", "people sleep", "leaves fall", "cats purr", "we eat breakfast",
        "people travel", "dogs bark", "plants need water", "we wear coats", "people read",
        "bees visit flowers", "fish have gills", "we brush our teeth", "trees have roots",
        "people dance", "ships float", "volcanoes erupt", "babies cry", "we laugh", "people sing",
        "stars shine", "we celebrate birthdays", "cows eat grass", "people exercise", "bears sleep",
    ),
    "Who {}?": (
        "wrote Romeo and Juliet", "painted the Mona Lisa", "wrote Hamlet", "invented the telephone",
        "discovered gravity", "was the first man on the moon", "wrote the Odyssey",
        "was the first president of the United States", "composed the Ninth Symphony",
        "discovered penicillin", "invented the light bulb", "wrote Don Quixote",
        "painted The Starry Night", "was Cleopatra", "was Albert Einstein", "was Marie Curie",
        "was Napoleon", "was Mozart", "was Charles Darwin", "was Galileo", "was Aristotle",
        "was Julius Caesar", "was Leonardo da Vinci", "was Isaac Newton", "was Queen Victoria",
    ),
    "Give one short tip for {}.": (
        "better sleep", "studying", "saving money", "cooking rice", "a job interview", "travelling",
        "staying healthy", "learning a language", "running", "writing a letter", "gardening",
        "making friends", "painting a wall", "taking photos", "packing a bag", "public speaking",
        "driving in snow", "baking bread", "a long flight", "keeping plants", "reading more",
        "cleaning windows", "growing tomatoes", "drinking more water", "a first date",
    ),
}  # fmt: skip
"""The words of each general question."""


def questions() -> Iterator[str]:
    """All questions, one of each kind in turn."""
    for place in range(max(map(len, WORDS.values()))):
        for text, words in WORDS.items():
            if place < len(words):
                yield text.format(words[place])


def keep_lines(count: int) -> list[dict[str, Any]]:
    """The first questions as lines of a file of keep prompts. Raises `ValueError` if too many."""
    found = list(questions())
    if count > len(found):
        raise ValueError(f"there are {len(found)} general questions, not {count}")
    return [{"id": f"general/{n}", "prompt": text} for n, text in enumerate(found[:count])]
