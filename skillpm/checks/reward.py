"""`reward`: a classifier gives the answer at least this score.

The classifier is a model folder of safetensors. Whoever judges such a check loads the model; this
package only reads the document. It never travels in a pack.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from skillpm.checks.check import Check, Place
from skillpm.spec.fields import NUMBER


class RewardCheck(Check):
    """A folder with a classifier, relative to the file of the check, and the least score.

    The score is the probability of `label`; for a classifier with one output, the output itself.
    """

    kind: ClassVar[str] = "reward"
    place: ClassVar[Place] = Place.MODEL

    model: Annotated[str, Field(max_length=4096, pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")]
    at_least: Annotated[float, NUMBER, Field(strict=False)]
    label: Annotated[str | int | None, Field(default=None)]
