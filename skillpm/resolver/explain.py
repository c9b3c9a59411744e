"""Turns a proof into sentences: who asks for what, and why it cannot be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from skillpm.resolver.facts import (
    BaseFact,
    Fact,
    MissingFact,
    RequestedFact,
    RequirementFact,
    facts_of,
    requirements_of,
)
from skillpm.resolver.fold import Chain, folded
from skillpm.resolver.order import arranged
from skillpm.resolver.patience import NO_DEADLINE, Deadline
from skillpm.resolver.positions import positions_in
from skillpm.resolver.rules import Rules
from skillpm.resolver.search import Proof
from skillpm.resolver.shelf import ReleaseSet
from skillpm.spec.digests import Digest
from skillpm.spec.release import Release
from skillpm.spec.words import counted

SENTENCES = 12
VERSIONS = 6
LENGTH = 400
ASKS = 6
"""Of a long explanation, the asks that are named before what decides."""
LEAD = 2
"""Facts that decide: two that clash, or what is missing and who needs it."""


@dataclass(frozen=True)
class Explanation:
    """Why there is no answer: the facts of the proof, the clash first, then what led to it."""

    rules: Rules
    facts: tuple[Fact, ...]

    @classmethod
    def of(cls, proof: Proof, rules: Rules, deadline: Deadline = NO_DEADLINE) -> "Explanation":
        """Read a proof; when the time is up, as much of it as was read by then."""
        return cls(rules, arranged(facts_of(proof, rules, deadline), rules))

    @property
    def message(self) -> str:
        """What cannot be, with at most `SENTENCES` reasons.

        Where there are more, what is asked for comes first, and chains of requirements are folded.
        """
        facts: Sequence[Fact | Chain] = self.facts
        if sum(map(self._count, facts)) > SENTENCES:
            facts = self._condensed()
        reasons = (reason for fact in facts for reason in self._reasons(fact))
        lines = [f"  {_shortened(reason)}" for reason in islice(reasons, SENTENCES)]
        count = sum(map(self._count, facts))
        if count > SENTENCES:
            lines.append(f"  … and {count - SENTENCES} more")
        source = self.rules.question.source
        where = f" in {source}" if source else ""
        return "\n".join([f"no set of releases{where} satisfies what is asked:", *lines])

    @property
    def hint(self) -> str:
        """A command that helps with the first fact that something can be done about."""
        for fact in self.facts:
            if isinstance(fact, MissingFact):
                return self._way_out(self.rules.release_sets[fact.skill], fact.bits)
        for fact in self.facts:
            if isinstance(fact, RequirementFact):
                return f"`skillpm show {fact.others[0].skill}` lists its releases"
        if any(isinstance(fact, BaseFact) for fact in self.facts):
            return "all releases that are installed together are cut from one base"
        return "there is one version of each skill: ask for versions that have one in common"

    @property
    def wrong_base(self) -> tuple[Release, ...]:
        """The releases that the proof is about and that are left out for their base alone."""
        found: list[Release] = []
        for fact in self.facts:
            if isinstance(fact, MissingFact):
                release_set = self.rules.release_sets[fact.skill]
                found.extend(reversed(release_set.of(fact.bits & release_set.wrong_base)))
        return tuple(sorted(found, key=lambda release: release.skill))

    def _condensed(self) -> list[Fact | Chain]:
        """The first asks, what decides, the further asks, and the rest with its chains folded."""
        shown = folded(self.facts, LEAD)
        asks = [fact for fact in shown if isinstance(fact, RequestedFact)]
        rest = [fact for fact in shown if not isinstance(fact, RequestedFact)]
        return [*asks[:ASKS], *rest[:LEAD], *asks[ASKS:], *rest[LEAD:]]

    def _reasons(self, fact: Fact | Chain) -> Iterator[str]:
        if isinstance(fact, Chain):
            yield f"`{fact.first}` → … → `{fact.last}`: each requires the next, {fact.links} times"
        elif isinstance(fact, RequestedFact):
            yield f"`{fact.wanted.requirement}` is asked for by {fact.wanted.origin}"
        elif isinstance(fact, MissingFact):
            yield from self._missing(self.rules.release_sets[fact.skill], fact.bits)
        elif isinstance(fact, BaseFact):
            release_set = self.rules.release_sets[fact.skill]
            yield f"{_subject(release_set, fact.bits, 'is cut', 'are cut')} from base {fact.root.short}"
        else:
            verbs = (
                ("conflicts with", "conflict with") if fact.conflict else ("requires", "require")
            )
            subject = _subject(self.rules.release_sets[fact.skill], fact.bits, *verbs)
            others = " and ".join(f"`{other}`" for other in fact.others[:VERSIONS])
            more = f"; {fact.likewise} more {verbs[fact.likewise > 1]} other versions of it"
            yield f"{subject} {others}{more if fact.likewise else ''}"

    def _count(self, fact: Fact | Chain) -> int:
        """How many reasons `_reasons` gives for a fact, without making their sentences."""
        if not isinstance(fact, MissingFact):
            return 1
        release_set = self.rules.release_sets[fact.skill]
        if not release_set.releases:
            return 1
        roots = {release.base for release in release_set.of(fact.bits & release_set.wrong_base)}
        return (
            bool(fact.bits & release_set.no_release)
            + len(roots)
            + bool(fact.bits & release_set.yanked)
        )

    def _missing(self, release_set: ReleaseSet, bits: int) -> Iterator[str]:
        if not release_set.releases:
            yield f"there is no skill `{release_set.skill}`"
        elif bits & release_set.no_release:
            early = self._prereleases(release_set)
            has = "only prereleases there:" if early else "no such release; it has"
            yield f"`{release_set.skill}` has {has} {_listed(release_set, early or release_set.all_releases)}"
        yield from self._foreign(release_set, bits & release_set.wrong_base)
        if bits & release_set.yanked:
            yanked = release_set.of(bits & release_set.yanked)
            reasons = {" ".join(release.yank_reason.split()) for release in yanked}
            why = f": {reasons.pop()}" if len(reasons) == 1 and all(reasons) else ""
            yield f"{_subject(release_set, bits & release_set.yanked, 'is yanked', 'are yanked')}{why}"

    def _foreign(self, release_set: ReleaseSet, bits: int) -> Iterator[str]:
        by_root: dict[str, int] = {}
        for position in positions_in(bits):
            root = _short(release_set.releases[position].base)
            by_root[root] = by_root.get(root, 0) | 1 << position
        for root, cut in by_root.items():
            subject = _subject(release_set, cut, "is cut", "are cut")
            has = _short(self.rules.question.base)
            yield f"{subject} from base {root}, this project has {has}"

    def _prereleases(self, release_set: ReleaseSet) -> int:
        """The usable prereleases within the ranges that admit nothing else."""
        bits = 0
        for fact in self.facts:
            for wanted in requirements_of(fact):
                if wanted.skill == release_set.skill and not release_set.admitted(wanted.range):
                    bits |= release_set.within(wanted.range) & release_set.usable
        return bits

    def _way_out(self, release_set: ReleaseSet, bits: int) -> str:
        name = release_set.skill
        fitting, early = release_set.best(release_set.usable), self._prereleases(release_set)
        if not release_set.releases:
            return f"`skillpm search {name.name}` looks for it under another name"
        if bits & release_set.no_release and early:
            return f"`{name} ^{release_set.of(early)[-1].version}` admits prereleases"
        if bits & release_set.wrong_base and fitting is not None:
            return f"`{release_set.releases[fitting].ref}` fits this project's base"
        if bits & release_set.yanked and not bits & release_set.wrong_base:
            newest = release_set.of(bits & release_set.yanked)[-1].version
            return f"`skillpm install {name}@={newest} --allow-yanked` takes it all the same"
        return f"`skillpm show {name}` lists its releases"


def _shortened(sentence: str) -> str:
    """A sentence that a publisher made long, cut: who published it does not fill the screen."""
    return sentence if len(sentence) <= LENGTH else f"{sentence[: LENGTH - 1]}…"


def _short(root: Digest | None) -> str:
    return root.short if root else "unknown"


def _subject(release_set: ReleaseSet, bits: int, one: str, many: str) -> str:
    """The releases at `bits` as the subject of a sentence, with the verb that goes with them."""
    count = len(positions_in(bits & release_set.all_releases))
    if count > 1 and bits & release_set.all_releases == release_set.all_releases:
        return f"every release of `{release_set.skill}` {one}"
    return f"`{release_set.skill}` {_listed(release_set, bits)} {one if count == 1 else many}"


def _listed(release_set: ReleaseSet, bits: int) -> str:
    """Versions, ascending; many are shown by the first and the last ones."""
    versions = [str(release.version) for release in release_set.of(bits)]
    if len(versions) > VERSIONS:
        versions[VERSIONS // 2 : -VERSIONS // 2] = ["…"]
        return f"{', '.join(versions)} ({counted(len(release_set.of(bits)), 'release')})"
    return ", ".join(versions)
