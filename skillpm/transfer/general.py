"""General questions and prose, for transfers whose user names no keep prompts.

They measure whether general ability stays. All texts are skillpm's own.
"""

from skillpm.spec.chat import asked
from skillpm.transfer.prompts import Prompt

QUESTIONS = (
    "What is the capital of France?",
    "Name three colours of the rainbow.",
    "How many days are in a week?",
    "What do bees make?",
    "Write one sentence about the sea.",
    "Who wrote the play Romeo and Juliet?",
    "What is the opposite of hot?",
    "Which planet is closest to the sun?",
    "Give a short definition of the word friendship.",
    "What is water made of?",
    "Explain in one sentence why we sleep.",
    "What is the largest ocean on Earth?",
    "Suggest a name for a small cat.",
    "What language do people speak in Brazil?",
    "Translate the word hello into Spanish.",
    "What is the boiling point of water in degrees Celsius?",
    "List two fruits that are yellow.",
    "What does a doctor do?",
    "Describe a tree to a child.",
    "What is a triangle?",
    "How do I make a cup of tea?",
    "What is the freezing point of water?",
    "Which animal is known as the king of the jungle?",
    "Write a short greeting for a birthday card.",
    "What is the purpose of a bridge?",
    "Name a country in Africa.",
    "Why is the sky blue?",
    "What is the first month of the year?",
    "Give one tip for staying healthy.",
    "What is a verb?",
    "How many legs does a spider have?",
    "What do plants need to grow?",
    "Tell me something about the moon.",
    "What is the capital of Japan?",
    "Write a sentence that contains the word river.",
    "What is the currency of the United Kingdom?",
    "Which season comes after winter?",
    "What is a library for?",
    "Name two musical instruments.",
    "What is the main ingredient of bread?",
    "How can I save electricity at home?",
    "What is gravity?",
    "Give an example of a mammal.",
    "What does the heart do?",
    "Who was Albert Einstein?",
    "What is the tallest kind of animal?",
    "Why should people read books?",
    "What is the plural of the word child?",
    "Recommend a simple breakfast.",
    "What is the difference between a lake and a river?",
)
"""Questions that any instruction-tuned model can answer in a sentence."""

PROSE = (
    (
        "The old harbour lies at the end of the road, behind a row of brick houses. In the "
        "morning the boats come back with the tide, and people wait on the quay to buy fish."
    ),
    (
        "A good map leaves things out. It shows the roads that a traveller needs, the rivers "
        "that must be crossed, and the names of towns, and it says nothing about the colour of "
        "the doors."
    ),
    (
        "When the storm had passed, the children went outside to see what was left of the "
        "garden. Two branches had fallen on the path, and the bird house stood in a pool of "
        "water."
    ),
    (
        "Bread is made from flour, water, salt and yeast. The dough rests in a warm place until"
        " it has doubled in size; then it is shaped, rests again, and is baked in a hot oven."
    ),
    (
        "The committee met on Tuesday to discuss the new library. Most members wanted a larger "
        "reading room, while the treasurer asked how the city would pay for the heating."
    ),
    (
        "Light travels from the sun to the earth in about eight minutes. We never see the sun "
        "as it is now, only as it was when the light left it."
    ),
)
"""Passages of plain prose; their likelihood is the second figure of general ability."""


def general_questions(count: int) -> tuple[Prompt, ...]:
    """The first questions, as prompts."""
    return tuple(
        Prompt(f"general-{number}", tuple(asked(question)), None)
        for number, question in enumerate(QUESTIONS[:count], start=1)
    )
