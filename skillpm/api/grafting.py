"""The part of `Project` that writes grafts and compares ways to graft."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from skillpm.api.client import Client, Closing
from skillpm.api.values import GraftResult

if TYPE_CHECKING:
    from skillpm.api.results import Comparison
    from skillpm.spec.merging import Scalar
    from skillpm.spec.names import SkillName
    from skillpm.spec.weights import WeightsGiven


class GraftingProject(Closing):
    """A project with the grafts of its installed skills."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def graft(  # noqa: PLR0913 - the options of `graft`
        self,
        target: str | Path | None = None,
        *,
        only: "Iterable[str | SkillName]" = (),
        link: bool = False,
        fresh: bool = False,
        verify: bool = False,
        mode: str | None = None,
        method: str | None = None,
        settings: "Mapping[str, Scalar] | None" = None,
        weights: "WeightsGiven" = None,
    ) -> GraftResult:
        """Write the base with the installed skills as a model folder that transformers loads.

        `target` must be absent, empty or an earlier graft; it defaults to `graft` in the project.
        With `link`, files that no skill changes are read-only hard links to the base's. With
        `fresh`, nothing of an earlier graft is reused. With `verify`, the base is hashed again, and
        the leaf cache is not used.

        `mode`, `method`, `settings` (of the method, such as `{"density": 0.3}`) and `weights` (by
        skill, or one for all) apply to this graft only: the project and its lock do not change.
        """
        from skillpm.api.requests import graft_overrides, skill_names
        from skillpm.flows.graft.graft import graft
        from skillpm.flows.graft.grafted_set import GraftOptions

        overrides = graft_overrides(mode, method, settings, weights)
        options = GraftOptions(skill_names(only), link, fresh, verify, overrides)
        path = None if target is None else Path(target)
        return GraftResult.of(graft(self._client.session, path, options))

    def compare_methods(
        self,
        *,
        only: "Iterable[str | SkillName]" = (),
        mode: str | None = None,
        methods: Sequence[str] = (),
        settings: "Mapping[str, Scalar] | None" = None,
        weights: "WeightsGiven" = None,
        device: str = "cpu",
    ) -> "Comparison":
        """Run the probes of the installed skills with each merging method, and routed.

        Writes no graft. `methods` limits the comparison, and `mode` to merged sets or to the routed
        one. `settings` and `weights` are those of `graft`. Needs the extra `hf`.
        """
        from skillpm.api.evaluating import compare_methods
        from skillpm.api.requests import graft_overrides, skill_names

        overrides = graft_overrides(mode, None, settings, weights)
        names = skill_names(only)
        return compare_methods(self._client, names, methods, overrides, device=device)
