"""A running model that takes the tensors of one set after another (ADR 13)."""

from collections.abc import Collection

from skillpm.delta.auto.decoded import tensors_of
from skillpm.delta.tensors.ports import Source
from skillpm.running.runner import Runner, checkpoint_names


class ModelHost:
    """A running base, and the tensors of it that a set has replaced.

    Showing a set costs the decode of the tensors it changes, and a read of the base's tensors that
    the previous set changed and this set does not.
    """

    def __init__(self, runner: Runner, base: Source) -> None:
        self.runner = runner
        self._base = base
        self._parameters = dict(runner.model.named_parameters())
        self._shown: frozenset[str] = frozenset()
        self._parameters_of: dict[str, list[str]] = {}
        self._tied_tensors = _tied_tensors(runner, base)
        for parameter, tensor in runner.names(base.specs).items():
            self._parameters_of.setdefault(tensor, []).append(parameter)

    def fits(self, source: Source, touched: Collection[str]) -> bool:
        """Whether the running model has a place for every tensor that a set changes.

        Tensors that an encoder does not run, such as a head, need no place. Tensors that the
        checkpoint stores separately and the model ties have none: a set may change only one of
        them.
        """
        removed = self._base.specs.keys() - source.specs.keys()
        if source.specs.keys() - self._base.specs.keys() or not self._tied_tensors.isdisjoint(
            touched
        ):
            return False
        if checkpoint_names(self.runner.model.state_dict(), removed):
            return False  # the others are old buffers, which the model now computes
        kept = set(touched) - removed
        same_shapes = all(source.specs[name].shape == self._base.specs[name].shape for name in kept)
        return same_shapes and (
            not self.runner.causal or all(name in self._parameters_of for name in kept)
        )

    def show(self, source: Source, touched: Collection[str]) -> Runner:
        """Put the tensors that a set changes into the model, and restore the previous set's."""
        now = frozenset(touched)
        for name in sorted(self._shown - now):
            self._load(self._base, name)
        self._shown |= now  # if a decode raises, the next call still restores these
        for name in sorted(now):
            self._load(source, name)
        self._shown = now
        return self.runner

    def _load(self, source: Source, name: str) -> None:
        if name in self._parameters_of:
            values = tensors_of(source, [name])
            for parameter in self._parameters_of[name] if name in values else ():
                self._parameters[parameter].data.copy_(values[name])


def _tied_tensors(runner: Runner, base: Source) -> frozenset[str]:
    """Return the tensors of a checkpoint that share a parameter of the running model."""
    named = dict(runner.model.named_parameters(remove_duplicate=False))
    by_parameter: dict[int, set[str]] = {}
    for name, tensor in checkpoint_names(named, base.specs).items():
        by_parameter.setdefault(id(named[name]), set()).add(tensor)
    shared = [tensors for tensors in by_parameter.values() if len(tensors) > 1]
    return frozenset[str]().union(*shared)
