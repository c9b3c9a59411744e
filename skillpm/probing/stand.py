"""One running model that takes the tensors of one set after another (ADR 13)."""

from collections.abc import Collection, Iterable

from skillpm.delta.auto.decoded import tensors_of
from skillpm.delta.ports import Source
from skillpm.running.runner import Runner


class Stand:
    """A running base, and which of its tensors another set has taken the place of.

    Costs the decode of what a set touches, and the base's bytes of what the last one touched and
    this one does not.
    """

    def __init__(self, runner: Runner, base: Source) -> None:
        self.runner = runner
        self._base = base
        self._parameters = dict(runner.model.named_parameters())
        self._shown: frozenset[str] = frozenset()
        self._places: dict[str, list[str]] = {}
        for parameter, tensor in runner.names(base.specs).items():
            self._places.setdefault(tensor, []).append(parameter)

    def fits(self, source: Source, touched: Iterable[str]) -> bool:
        """Whether the running model has a place for all that a set touches.

        What an encoder does not run, such as a head, it needs no place for.
        """
        if source.specs.keys() != self._base.specs.keys():
            return False
        same = all(source.specs[name].shape == self._base.specs[name].shape for name in touched)
        return same and (not self.runner.causal or all(name in self._places for name in touched))

    def show(self, source: Source, touched: Collection[str]) -> Runner:
        """Put what a set touches into the model; what the last one touched goes back."""
        now = frozenset(touched)
        for name in sorted(self._shown - now):
            self._put(self._base, name)
        self._shown |= now  # where a decode raises, the next set still undoes what was put
        for name in sorted(now):
            self._put(source, name)
        self._shown = now
        return self.runner

    def _put(self, source: Source, name: str) -> None:
        if name in self._places:
            values = tensors_of(source, [name])
            for parameter in self._places[name] if name in values else ():
                self._parameters[parameter].data.copy_(values[name])
