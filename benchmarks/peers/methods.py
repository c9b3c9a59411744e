"""The table of methods; each maps a task and a budget to a candidate decoded from its file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.peers import binary, budgeted, coded, magnitudes
from benchmarks.peers.adamix import adamix
from benchmarks.peers.chosen import best_alpha
from benchmarks.peers.deltadct import delta_dct
from benchmarks.peers.dqrelo import dqrelo
from benchmarks.peers.files import read, write
from benchmarks.peers.impart import impart
from benchmarks.peers.nnc import nnc
from benchmarks.peers.recipe import DELTA_COME, GRAFTLLM, Recipe, fitted, scheme_of
from benchmarks.peers.skillpack import write_skillpack
from benchmarks.peers.task import Budget, Candidate, Clock, Task
from benchmarks.peers.ultradelta import POWERS, ultradelta

if TYPE_CHECKING:
    from benchmarks.peers.scheme import Peer

Method = Callable[[Task, Budget | None], Candidate]


def finished(task: Task, make: Callable[[], Peer]) -> Candidate:
    """Encode, write, and decode the written file."""
    clock = Clock()
    peer = make()
    path = task.folder / f"{peer.name}.safetensors"
    size = write(task, peer, path)
    state = read(path, task.base)
    return Candidate(state, size, clock.seconds, dict(peer.settings))


def _graft(recipe: Recipe) -> Method:
    """The same tensors are also written to a `.skillpack`; its size is reported as a setting."""

    def method(task: Task, budget: Budget | None) -> Candidate:
        peers: list[Peer] = []

        def make() -> Peer:
            peers.append(scheme_of(task, fitted(task, recipe, budget)))
            return peers[0]

        found = finished(task, make)
        path = task.folder / f"{recipe.name}.skillpack"
        path.unlink(missing_ok=True)
        found.settings["skillpack"] = write_skillpack(task, peers[0], path)
        return found

    return method


def _fixed(make: Callable[[Task, float], Peer]) -> Method:
    """A method whose only setting is the share of the embeddings' deltas; a budget is rejected."""

    def method(task: Task, budget: Budget | None) -> Candidate:
        if budget is not None:
            message = "a bit a weight is all that there is: no budget can be met"
            raise ValueError(message)
        return finished(task, lambda: make(task, GRAFTLLM.alpha))

    return method


def _budgeted(make: Callable[[Task, Budget], Peer]) -> Method:
    def method(task: Task, budget: Budget | None) -> Candidate:
        if budget is None:
            message = "this method has no size of its own: give it a budget"
            raise ValueError(message)
        return finished(task, lambda: make(task, budget))

    return method


METHODS: dict[str, Method] = {
    "recipe": _graft(GRAFTLLM),
    "recipe-alpha": lambda task, budget: finished(task, lambda: best_alpha(task, budget)),
    "delta-come": _graft(DELTA_COME),
    "bitdelta": _fixed(binary.plain),
    "bitdelta-distilled": _fixed(binary.distilled),
    "lora": _budgeted(budgeted.lora),
    "magnitude": _budgeted(budgeted.magnitude),
    "magnitude-coded": _budgeted(magnitudes.magnitude),
    "dare": _budgeted(budgeted.dare),
    "dare-coded": _budgeted(coded.dare),
    "adamix": _budgeted(adamix),
    "impart": _budgeted(impart),
    **{f"ultradelta-{power}": _budgeted(partial(ultradelta, power=power)) for power in POWERS},
    "delta-dct": _budgeted(delta_dct),
    "nnc": _budgeted(nnc),
    "dqrelo": lambda task, budget: finished(task, lambda: dqrelo(task, budget)),
}
