"""Find the skills of a set that cause a failure, by QuickXplain."""

from collections.abc import Callable, Sequence

from skillpm.spec.names import SkillName

Fails = Callable[[frozenset[SkillName]], bool]


def minimal_culprits(
    fails: Fails, context: frozenset[SkillName], candidates: Sequence[SkillName]
) -> tuple[SkillName, ...]:
    """Return a minimal set of candidates that, together with the context, causes the failure.

    Expects that `context` alone passes and that `context` with all candidates fails. k culprits
    among n candidates cost about 2k·log(n/k) + 2k trials, one culprit about 2·log n. The result is
    minimal if adding a skill never repairs a failure. Otherwise the result may pass; then all
    candidates are returned. Source: QuickXplain (Junker, AAAI 2004).
    """
    if len(candidates) == 1:
        return tuple(candidates)
    culprits = _explain(fails, context, tuple(candidates), grown=False)
    return culprits if fails(context | set(culprits)) else tuple(candidates)


def _explain(
    fails: Fails, context: frozenset[SkillName], rest: tuple[SkillName, ...], *, grown: bool
) -> tuple[SkillName, ...]:
    """Return the culprits in `rest`; none if the context has just grown and fails by itself."""
    if grown and fails(context):
        return ()
    if len(rest) == 1:
        return rest
    half = len(rest) // 2
    first, second = rest[:half], rest[half:]
    late = _explain(fails, context | set(first), second, grown=True)
    early = _explain(fails, context | set(late), first, grown=bool(late))
    return tuple(sorted({*early, *late}))
