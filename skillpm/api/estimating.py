"""Estimating what a pack would take, with the options of `pack`."""

from dataclasses import replace
from typing import TYPE_CHECKING

from skillpm.api.client import Client
from skillpm.api.packing import PackOptions, attachments_of, check_device, pack_request, scheme_of

if TYPE_CHECKING:
    from skillpm.delta.encoding.schemes import Scheme
    from skillpm.flows.pack.estimate_values import PackEstimate, Sampler
    from skillpm.flows.pack.scheme import EncodingTarget


def estimate_options(
    client: Client, options: PackOptions, *, whole_process: bool = False
) -> "PackEstimate":
    """Estimate what `build_pack` would take, from samples of both models. Writes nothing.

    With `whole_process`, the processor time includes the start of this process. Raises the errors
    that `build_pack` raises before it encodes.
    """
    from skillpm.flows.pack.sampled_run import Spent

    begun = Spent.now()
    if whole_process:
        begun = Spent(begun.seconds, 0.0)
    check_device(options)
    scheme, attachments = scheme_of(options), attachments_of(options)
    from skillpm.flows.pack.estimate import estimate_pack

    sampler = sampler_of(options, scheme)
    estimate = estimate_pack(client.session, pack_request(options), sampler, begun=begun)
    if not attachments:
        return estimate
    note = "not included: `--probes` and `--router`, which run both models"
    return replace(estimate, notes=(*estimate.notes, note))


def sampler_of(options: PackOptions, scheme: "Scheme | EncodingTarget") -> "Sampler":
    """What runs samples for these options. `scheme` is theirs."""
    from skillpm.flows.pack.scheme import EncodingTarget

    if not isinstance(scheme, EncodingTarget):
        from skillpm.flows.pack.estimate_fixed import FixedSampler

        if scheme.name != "graftllm":
            return FixedSampler(scheme)
        from skillpm.delta.auto.decomposition_speed import svd_seconds

        return FixedSampler(scheme, svd_seconds)
    from skillpm.flows.pack.estimate_auto import AutoSampler

    if options.calibration is None:
        return AutoSampler(scheme)
    from skillpm.flows.pack.estimate_calibration import CalibratedSampler

    return CalibratedSampler(scheme, options.calibration)
