"""Which skills of a set bring a failure about: bisection over the set."""

from collections.abc import Callable, Sequence

from skillpm.spec.names import SkillName

Fails = Callable[[frozenset[SkillName]], bool]


def smallest_culprits(
    fails: Fails, context: frozenset[SkillName], candidates: Sequence[SkillName]
) -> tuple[SkillName, ...]:
    """The fewest candidates that, together with the context, bring the failure about.

    QuickXplain (Junker, AAAI 2004): k culprits among n cost about 2k·log(n/k) + 2k trials, one
    culprit about 2·log n. Fewest means that none of them can be left out, where what is added never
    mends what fails; where it does, a set that does not fail after all is not believed, and all
    candidates are named. `context` holds, and with all candidates it fails.
    """
    if len(candidates) == 1:
        return tuple(candidates)
    found = _explain(fails, context, tuple(candidates), grown=False)
    return found if fails(context | set(found)) else tuple(candidates)


def _explain(
    fails: Fails, context: frozenset[SkillName], rest: tuple[SkillName, ...], *, grown: bool
) -> tuple[SkillName, ...]:
    """The part of `rest` that is needed; none where a context that has just grown fails itself."""
    if grown and fails(context):
        return ()
    if len(rest) == 1:
        return rest
    half = len(rest) // 2
    first, second = rest[:half], rest[half:]
    late = _explain(fails, context | set(first), second, grown=True)
    early = _explain(fails, context | set(late), first, grown=bool(late))
    return tuple(sorted({*early, *late}))
