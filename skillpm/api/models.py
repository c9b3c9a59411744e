"""Functions that need no project: build, read and verify a pack; identify a model."""

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from skillpm.api.client import Client, client_or_default
from skillpm.api.model_values import ModelIdentity, Pack, VerifiedPack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from skillpm.api.results import PackEstimate


class PackKeywords(TypedDict, total=False):
    """Further options of `pack`, named as those of `skillpm pack`. Files are paths."""

    scheme: str
    effort: str
    device: str
    requires: "Iterable[str]"
    conflicts: "Iterable[str]"
    over: "Iterable[str]"
    probes: str | Path
    router: str | Path
    router_background: str | Path
    summary: str
    license: str
    authors: "Iterable[str]"
    method: str
    data: "Iterable[str]"
    card: str | Path
    cast: bool
    tuned_is: str


class EstimateKeywords(PackKeywords, total=False):
    """Further options of `estimate_pack`: those of `pack`."""

    output: str | Path | None
    budget: str | int | None
    keep: float | None
    calibration: str | Path | None


def pack(  # noqa: PLR0913 - keyword options, as the command's
    base: str | Path,
    tuned: str | Path,
    *,
    name: str,
    version: str,
    output: str | Path | None = None,
    budget: str | int | None = None,
    keep: float | None = None,
    calibration: str | Path | None = None,
    **more: Unpack[PackKeywords],
) -> Pack:
    """Write the difference between a tuned model and its base as a SkillPack file.

    `base` and `tuned` are model folders, or names of models in the Hugging Face cache, such as
    `org/model`; `tuned` may be a PEFT adapter. Without `budget` and `keep`
    the pack is lossless: base + pack has the tuned model's root, which is checked before the file
    is written. `budget` limits the file size: `"5%"` of the dense delta, `"80MB"`, or a number of
    bytes. `keep` is the share of the delta to keep, such as `0.99`. `calibration` is a file of text
    that weights errors by their effect on the model. `output` defaults to
    `NAMESPACE-NAME-VERSION.skillpack` in the working folder; see `PackKeywords` for `more`. Raises
    `SpecError` for a bad name, version or budget, `UsageError` for options that cannot be used
    together, `GraftError` if there is nothing to pack, `IntegrityError` for damaged input.
    """
    from skillpm.api.packing import build_pack, parse_options

    options = parse_options(
        {"base": base, "tuned": tuned, "skill": name, "version": version, "output": output,
         "budget": budget, "keep": keep, "calibration": calibration, **more}
    )  # fmt: skip
    with client_or_default(None) as client:
        written = build_pack(client, options)
    return inspect(written.path)


def estimate_pack(
    base: str | Path,
    tuned: str | Path,
    *,
    name: str,
    version: str,
    **options: Unpack[EstimateKeywords],
) -> "PackEstimate":
    """Estimate the time, the memory and the file size of `pack` with the same options.

    Encodes and decodes some rows of a few tensors of each kind. Writes nothing. Raises the errors
    that `pack` raises before it encodes.
    """
    from skillpm.api.estimating import estimate_options
    from skillpm.api.packing import parse_options

    values = {"base": base, "tuned": tuned, "skill": name, "version": version, **options}
    with client_or_default(None) as client:
        return estimate_options(client, parse_options(values))


def inspect(path: str | Path) -> Pack:
    """Read a pack file and verify every digest in it.

    Raises `IntegrityError` for a damaged file, `SpecError` for a file that is not a pack, or whose
    format this version does not read.
    """
    from skillpm.archive.reader import open_pack

    return Pack.of(open_pack(Path(path)))


def verify(
    path: str | Path,
    base: str | Path | None = None,
    *,
    accept_footprint: bool = False,
    client: Client | None = None,
) -> VerifiedPack:
    """Verify every digest in a pack file; with `base`, decode it and recompute its manifest.

    `accept_footprint` accepts another base if all tensors that the pack changes match. Options and
    callbacks come from `client`, by default from environment variables and config files. Raises
    `IntegrityError` for the first statement of the manifest that is wrong.
    """
    from skillpm.flows.inspect.verify import verify_pack

    with client_or_default(client) as used:
        return VerifiedPack.of(
            verify_pack(used.session, Path(path), _path(base), accept_footprint=accept_footprint)
        )


def identify(
    path: str | Path, *, against: str | Path | None = None, client: Client | None = None
) -> ModelIdentity:
    """Compute the root of a model, and count its tensors and parameters.

    `path` may be the name of a model in the Hugging Face cache, `org/model`. Reads every byte.
    With `against`, compares the model with another one tensor by tensor. Options and callbacks come
    from `client`, by default from environment variables and config files. Raises `NotFoundError` if
    there is no model, `IntegrityError` for a damaged one.
    """
    from skillpm.flows.inspect.identify import identify_model

    with client_or_default(client) as used:
        return ModelIdentity.of(identify_model(used.session, Path(path), _path(against)))


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)
