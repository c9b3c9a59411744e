"""Building a pack: the options of `pack`, and the modules that each of them imports."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skillpm.api.client import Client
from skillpm.api.extras import needs_hf
from skillpm.errors import UsageError
from skillpm.spec.budget import Budget
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement
from skillpm.spec.versions import Version

if TYPE_CHECKING:
    from skillpm.delta.encoding.effort import Effort
    from skillpm.delta.encoding.schemes import Scheme
    from skillpm.flows.pack.attachments import Attach
    from skillpm.flows.pack.model_pair import PackRequest
    from skillpm.flows.pack.pack import Packed
    from skillpm.flows.pack.scheme import Calibrator, EncodingTarget

DEFAULT_KEEP = 0.99
"""The share of the delta that `auto` keeps by default."""


@dataclass(frozen=True)
class PackOptions:
    """What to pack and how. Defaults are those of `skillpm pack`.

    `base` and `tuned` are model folders; `tuned` may be a PEFT adapter. `budget` limits the size of
    the whole file, `keep` is the share of the delta to keep; either selects the scheme `auto`.
    `effort` is a setting of the scheme `lossless`: `fast`, `normal` or `best`. `alpha`, `energy`
    and `columns` are settings of `graftllm`. `calibration`, `probes`, `router` and
    `router_background` are files. `device` is `cpu`, `cuda` or `cuda:N`: it does the tensor maths
    of lossy schemes, and runs the models that these files need.
    """

    base: Path
    tuned: Path
    skill: SkillName
    version: Version
    output: Path | None = None
    scheme: str | None = None
    budget: Budget | None = None
    keep: float | None = None
    calibration: Path | None = None
    device: str | None = None
    effort: "Effort | None" = None
    alpha: float | None = None
    energy: float | None = None
    columns: str | None = None
    requires: tuple[Requirement, ...] = ()
    conflicts: tuple[Requirement, ...] = ()
    over: tuple[str, ...] = ()
    tuned_is: str | None = None
    cast: bool = False
    summary: str = ""
    license: str | None = None
    authors: tuple[str, ...] = ()
    method: str | None = None
    data: tuple[str, ...] = ()
    card: Path | None = None
    probes: Path | None = None
    router: Path | None = None
    router_background: Path | None = None


def parse_options(values: Mapping[str, Any]) -> PackOptions:
    """Options from plain values: text, numbers, paths and lists of text. None leaves the default.

    Raises `SpecError` for a bad name, version, requirement or budget, `TypeError` for an unknown
    option.
    """
    budget = values.get("budget")
    given = {**values, "budget": f"{budget}B" if isinstance(budget, int) else budget}
    return PackOptions(
        **{
            name: _PARSERS.get(name, _as_it_is)(value)
            for name, value in given.items()
            if value is not None
        }
    )


def _as_it_is(value: Any) -> Any:
    return value


def _requirements(texts: Iterable[str]) -> tuple[Requirement, ...]:
    return tuple(map(Requirement.parse, texts))


_PATHS = ("base", "tuned", "output", "calibration", "probes", "router", "router_background", "card")
_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_PATHS, Path),
    **dict.fromkeys(("over", "authors", "data"), tuple),
    **dict.fromkeys(("requires", "conflicts"), _requirements),
    "skill": SkillName.parse,
    "version": Version.parse,
    "budget": Budget.parse,
}
"""How each option is read from a plain value."""


def build_pack(client: Client, options: PackOptions) -> "Packed":
    """Encode a pack, measure its errors, check its root and write it. A failure writes nothing.

    Raises `UsageError` for options that cannot be used together, `GraftError` if there is nothing
    to pack or a tensor cannot be packed, `IntegrityError` for damaged input.
    """
    check_device(options)
    scheme = scheme_of(options)
    from skillpm.flows.pack.pack import pack

    return pack(client.session, pack_request(options), scheme, attachments_of(options))


def check_device(options: PackOptions) -> None:
    """Raise `UsageError` or `GraftError` for a device that does not exist, before work starts."""
    if options.device not in (None, "cpu"):
        from skillpm.delta.encoding.torch_device import ComputeDevice

        ComputeDevice.find(options.device)


def pack_request(options: PackOptions) -> "PackRequest":
    """What to pack. Raises `UsageError` for a version that no tag can have."""
    from skillpm.audit.licences import normal_licence
    from skillpm.flows.pack.model_pair import PackRequest

    if options.version.build:
        raise UsageError(
            f"version `{options.version}` has build metadata, which OCI tags do not allow",
            hint=f"--version {str(options.version).partition('+')[0]}",
        )
    return PackRequest(
        base=options.base,
        tuned=options.tuned,
        skill=options.skill,
        version=options.version,
        output=options.output,
        summary=options.summary,
        license=None if options.license is None else normal_licence(options.license),
        authors=options.authors,
        requires=options.requires,
        conflicts=options.conflicts,
        over=options.over,
        card=options.card.read_bytes() if options.card else None,
        cast=options.cast,
        tuned_is=options.tuned_is,
        method=options.method,
        data=options.data,
    )


def attachments_of(options: PackOptions) -> "tuple[Attach, ...]":
    """The functions that measure both models and attach the result to the pack."""
    attachments: list[Attach] = []
    if options.probes:
        attachments.append(_probes(options.probes, options))
    if options.router:
        attachments.append(_router(options.router, options))
    elif options.router_background:
        raise UsageError("`--router-background` needs `--router`", hint="add `--router FILE`")
    return tuple(attachments)


def _probes(path: Path, options: PackOptions) -> "Attach":
    """Read the probes now, so that an error in the file is found before the delta is encoded."""
    from skillpm.checks.probes import check_problems
    from skillpm.spec.probes import FILE_LIMIT, parse_probes

    with path.open("rb") as file:
        data = file.read(FILE_LIMIT + 1)
    probes = parse_probes(data, f"`{path}`", check_problems)
    with needs_hf("`--probes` runs the model"):
        from skillpm.flows.evaluate.attach_probes import ProbeFile, attach_probes
    device, lossy = options.device or "cpu", _is_auto(options) or options.scheme == "graftllm"
    return partial(attach_probes, file=ProbeFile(probes, data), device=device, lossy=lossy)


def _router(examples: Path, options: PackOptions) -> "Attach":
    with needs_hf("`--router` runs the base"):
        from skillpm.flows.evaluate.attach_router import attach_signature
    return partial(
        attach_signature,
        examples=examples,
        background=options.router_background,
        device=options.device or "cpu",
    )


def scheme_of(options: PackOptions) -> "Scheme | EncodingTarget":
    """The scheme, or the target of `auto`. Raises `UsageError` for options that do not fit."""
    graftllm = {
        name: value
        for name in ("alpha", "energy", "columns")
        if (value := getattr(options, name)) is not None
    }
    is_auto = _is_auto(options)
    if graftllm and (is_auto or options.scheme != "graftllm"):
        raise UsageError(
            f"`--{min(graftllm)}` needs the scheme `graftllm`", hint="add `--scheme graftllm`"
        )
    if options.effort is not None and (is_auto or options.scheme == "graftllm"):
        raise UsageError(
            "`--effort` needs the scheme `lossless`", hint="leave out `--effort`, or the scheme"
        )
    if is_auto:
        return _auto(options)
    _check_unused(options)
    if options.scheme == "graftllm":
        from skillpm.delta.encoding.schemes import GraftLLM
        from skillpm.delta.encoding.torch_device import ComputeDevice
        from skillpm.delta.encoding.torch_svd import decompose

        device = ComputeDevice(options.device or "cpu")
        return GraftLLM(partial(decompose, device=device), device=device.name, **graftllm)
    from skillpm.delta.encoding.effort import EFFORTS, NORMAL
    from skillpm.delta.encoding.schemes import Lossless

    if options.effort not in (None, *EFFORTS):
        raise UsageError(f"`--effort` is `{options.effort}`, expected one of {', '.join(EFFORTS)}")
    return Lossless(options.effort or NORMAL)


def _is_auto(options: PackOptions) -> bool:
    return options.scheme == "auto" or options.budget is not None or options.keep is not None


def _check_unused(options: PackOptions) -> None:
    """Raise `UsageError` for options that the scheme `lossless` or `graftllm` does not use."""
    hint = "add `--budget 5%` or `--keep 0.99`"
    if options.calibration is not None:
        raise UsageError("`--calibration` needs the scheme `auto`", hint=hint)
    uses_device = options.scheme == "graftllm" or options.probes or options.router
    if options.device is not None and not uses_device:
        raise UsageError(
            "`--device` needs the scheme `auto` or `graftllm`: exact encoding uses the CPU",
            hint=f"leave out `--device`, or {hint}",
        )


def _auto(options: PackOptions) -> "EncodingTarget":
    if options.scheme not in (None, "auto"):
        flag = "budget" if options.budget is not None else "keep"
        raise UsageError(
            f"`--{flag}` needs the scheme `auto`, but the scheme is `{options.scheme}`",
            hint=f"leave out `--scheme {options.scheme}`",
        )
    if options.budget is not None and options.keep is not None:
        raise UsageError(
            "`--budget` and `--keep` cannot be used together", hint="leave out one of them"
        )
    keep = options.keep if options.budget or options.keep is not None else DEFAULT_KEEP
    from skillpm.flows.pack.fit_auto import fit
    from skillpm.flows.pack.scheme import EncodingTarget

    device = options.device or "cpu"
    return EncodingTarget(fit, options.budget, keep, _calibration(options), device)


def _calibration(options: PackOptions) -> "Calibrator | None":
    if options.calibration is None:
        return None
    with needs_hf("`--calibration` runs the model"):
        from skillpm.flows.pack.calibrate import calibrate
    return partial(calibrate, path=options.calibration, device=options.device or "cpu")
