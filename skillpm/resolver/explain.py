"""Turns PubGrub's proof of failure into an error message and a hint."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from skillpm.resolver.chains import Chain, fold_chains
from skillpm.resolver.deadline import NO_DEADLINE, Deadline
from skillpm.resolver.fact_order import order_facts
from skillpm.resolver.facts import (
    BaseFact,
    Fact,
    MissingFact,
    RequestedFact,
    RequirementFact,
    facts_of,
    requirements_of,
)
from skillpm.resolver.positions import positions_in
from skillpm.resolver.release_set import ReleaseSet
from skillpm.resolver.rules import Rules
from skillpm.resolver.search import Proof
from skillpm.spec.digests import Digest
from skillpm.spec.release import Release
from skillpm.spec.words import counted

SENTENCES = 12
"""Reasons in one message."""
VERSIONS = 6
"""Versions in one reason."""
LENGTH = 400
"""Characters of one reason."""
ROOTS = 6
"""Root requirements that a long message names before the decisive facts."""
DECISIVE = 2
"""Decisive facts: two requirements that exclude each other, or a missing release and its user."""


@dataclass(frozen=True)
class Explanation:
    """The facts of a proof, in the order of the message: the decisive ones come first."""

    rules: Rules
    facts: tuple[Fact, ...]

    @classmethod
    def of(cls, proof: Proof, rules: Rules, deadline: Deadline = NO_DEADLINE) -> "Explanation":
        """Read the facts of a proof. After the deadline, the rest of the proof is left out."""
        return cls(rules, order_facts(facts_of(proof, rules, deadline), rules))

    @property
    def message(self) -> str:
        """The error message: a heading, and at most `SENTENCES` reasons, one a line.

        A longer explanation starts with the root requirements, and names only the two ends of a
        chain of requirements.
        """
        facts: Sequence[Fact | Chain] = self.facts
        if sum(map(self._count, facts)) > SENTENCES:
            facts = self._condensed()
        reasons = (reason for fact in facts for reason in self._reasons(fact))
        lines = [f"  {_shortened(reason)}" for reason in islice(reasons, SENTENCES)]
        count = sum(map(self._count, facts))
        if count > SENTENCES:
            lines.append(f"  … and {counted(count - SENTENCES, 'more reason')}")
        source = self.rules.question.source
        where = f" in {source}" if source else ""
        return "\n".join([f"no set of releases{where} satisfies the requirements:", *lines])

    @property
    def hint(self) -> str:
        """A way to fix the first fact that the user can change."""
        for fact in self.facts:
            if isinstance(fact, MissingFact):
                return self._hint_for_missing(self.rules.release_sets[fact.skill], fact.bits)
        for fact in self.facts:
            if isinstance(fact, RequirementFact):
                return f"`skillpm show {fact.others[0].skill}` lists its releases"
        if any(isinstance(fact, BaseFact) for fact in self.facts):
            return "choose skills that are built for the same base: an environment has one base"
        return (
            "an environment has one version of each skill: change the requirements so that one "
            "version satisfies all of them"
        )

    @property
    def wrong_base(self) -> tuple[Release, ...]:
        """The releases of the proof that are excluded only because of their base.

        Sorted by skill, the newest release of a skill first.
        """
        excluded: list[Release] = []
        for fact in self.facts:
            if isinstance(fact, MissingFact):
                release_set = self.rules.release_sets[fact.skill]
                excluded.extend(reversed(release_set.of(fact.bits & release_set.wrong_base)))
        return tuple(sorted(excluded, key=lambda release: release.skill))

    def _condensed(self) -> list[Fact | Chain]:
        """`ROOTS` root requirements, the decisive facts, further roots, and the rest folded."""
        shown = fold_chains(self.facts, DECISIVE)
        roots = [fact for fact in shown if isinstance(fact, RequestedFact)]
        rest = [fact for fact in shown if not isinstance(fact, RequestedFact)]
        return [*roots[:ROOTS], *rest[:DECISIVE], *roots[ROOTS:], *rest[DECISIVE:]]

    def _reasons(self, fact: Fact | Chain) -> Iterator[str]:
        if isinstance(fact, Chain):
            yield (
                f"`{fact.first}` requires `{fact.last}` through a chain of {fact.links} "
                "requirements"
            )
        elif isinstance(fact, RequestedFact):
            yield f"`{fact.wanted.requirement}` is required by {fact.wanted.origin}"
        elif isinstance(fact, MissingFact):
            yield from self._missing(self.rules.release_sets[fact.skill], fact.bits)
        elif isinstance(fact, BaseFact):
            subject = _subject(self.rules.release_sets[fact.skill], fact.bits, "is", "are")
            yield f"{subject} built for base {fact.root.short}"
        else:
            yield self._requirement(fact)

    def _requirement(self, fact: RequirementFact) -> str:
        verbs = ("conflicts with", "conflict with") if fact.conflict else ("requires", "require")
        subject = _subject(self.rules.release_sets[fact.skill], fact.bits, *verbs)
        targets = " and ".join(f"`{target}`" for target in fact.others[:VERSIONS])
        if not fact.more_releases:
            return f"{subject} {targets}"
        more = counted(fact.more_releases, "other release")
        return f"{subject} {targets}; {more} {verbs[fact.more_releases > 1]} other versions"

    def _count(self, fact: Fact | Chain) -> int:
        """The number of reasons that `_reasons` gives for a fact, without building them."""
        if not isinstance(fact, MissingFact):
            return 1
        release_set = self.rules.release_sets[fact.skill]
        if not release_set.releases:
            return 1
        roots = {release.base for release in release_set.of(fact.bits & release_set.wrong_base)}
        return (
            bool(fact.bits & release_set.no_release)
            + len(roots)
            + bool(fact.bits & release_set.yanked & ~release_set.quarantined)
            + bool(fact.bits & release_set.quarantined)
        )

    def _missing(self, release_set: ReleaseSet, bits: int) -> Iterator[str]:
        if not release_set.releases:
            yield f"there is no skill `{release_set.skill}`"
        elif bits & release_set.no_release:
            yield self._unmatched(release_set)
        yield from self._on_wrong_base(release_set, bits & release_set.wrong_base)
        quarantined = bits & release_set.quarantined
        for state, excluded in (
            ("yanked", bits & release_set.yanked & ~quarantined),
            ("quarantined", quarantined),
        ):
            if excluded:
                yield _excluded(release_set, excluded, state)

    def _unmatched(self, release_set: ReleaseSet) -> str:
        prereleases = self._prereleases(release_set)
        if prereleases:
            listed = _listed(release_set, prereleases)
            return f"only prereleases of `{release_set.skill}` match: {listed}"
        listed = _listed(release_set, release_set.all_releases)
        return f"no release of `{release_set.skill}` matches; available: {listed}"

    def _on_wrong_base(self, release_set: ReleaseSet, bits: int) -> Iterator[str]:
        by_root: dict[str, int] = {}
        for position in positions_in(bits):
            root = _short(release_set.releases[position].base)
            by_root[root] = by_root.get(root, 0) | 1 << position
        for root, built in by_root.items():
            subject = _subject(release_set, built, "is", "are")
            expected = _short(self.rules.question.base)
            yield f"{subject} built for base {root}, but this project's base is {expected}"

    def _prereleases(self, release_set: ReleaseSet) -> int:
        """The usable prereleases between the bounds of requirements that no release matches."""
        bits = 0
        for fact in self.facts:
            for wanted in requirements_of(fact):
                if wanted.skill == release_set.skill and not release_set.admitted(wanted.range):
                    bits |= release_set.within(wanted.range) & release_set.usable
        return bits

    def _hint_for_missing(self, release_set: ReleaseSet, bits: int) -> str:
        name = release_set.skill
        fitting, prereleases = release_set.best(release_set.usable), self._prereleases(release_set)
        if not release_set.releases:
            return f"`skillpm search {name.name}` searches for skills with a similar name"
        if bits & release_set.no_release and prereleases:
            newest = release_set.of(prereleases)[-1].version
            return f"to allow prereleases, require `{name} ^{newest}`"
        if bits & release_set.wrong_base and fitting is not None:
            return f"`{release_set.releases[fitting].ref}` is built for this project's base"
        allowed = bits & release_set.yanked & ~release_set.quarantined
        if allowed and not bits & release_set.wrong_base:
            newest = release_set.of(allowed)[-1].version
            command = f"skillpm install {name}@={newest} --allow-yanked"
            return f"`{command}` installs the yanked release anyway"
        return f"`skillpm show {name}` lists its releases"


def _excluded(release_set: ReleaseSet, bits: int, state: str) -> str:
    """The sentence for releases that are yanked or quarantined, with their common reason."""
    reasons = {" ".join(release.yank_reason.split()) for release in release_set.of(bits)}
    why = f": {reasons.pop()}" if len(reasons) == 1 and all(reasons) else ""
    return f"{_subject(release_set, bits, f'is {state}', f'are {state}')}{why}"


def _shortened(sentence: str) -> str:
    """The sentence, cut after `LENGTH` characters: names and yank reasons are untrusted text."""
    return sentence if len(sentence) <= LENGTH else f"{sentence[: LENGTH - 1]}…"


def _short(root: Digest | None) -> str:
    return root.short if root else "unknown"


def _subject(release_set: ReleaseSet, bits: int, one: str, many: str) -> str:
    """The releases at `bits` as the subject of a sentence, with the verb in its number."""
    count = len(positions_in(bits & release_set.all_releases))
    if count > 1 and bits & release_set.all_releases == release_set.all_releases:
        return f"every release of `{release_set.skill}` {one}"
    return f"`{release_set.skill}` {_listed(release_set, bits)} {one if count == 1 else many}"


def _listed(release_set: ReleaseSet, bits: int) -> str:
    """The versions in ascending order. The middle of a list longer than `VERSIONS` is left out."""
    versions = [str(release.version) for release in release_set.of(bits)]
    if len(versions) > VERSIONS:
        versions[VERSIONS // 2 : -VERSIONS // 2] = ["…"]
        return f"{', '.join(versions)} ({counted(len(release_set.of(bits)), 'release')})"
    return ", ".join(versions)
