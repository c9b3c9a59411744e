"""`transfer`: options as values, and the transfer file that they stand for."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from skillpm.api.client import Client
from skillpm.api.extras import needs_matplotlib, needs_transfer
from skillpm.api.options import resolve
from skillpm.errors import StateError, UsageError
from skillpm.files.named import read_named_file
from skillpm.spec.location import is_url
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version
from skillpm.transfer.config import LOCAL_HOSTS, TransferFile, parse_transfer, transfer_of
from skillpm.transfer.stages import Stage

if TYPE_CHECKING:
    from skillpm.api.results import Transferred

_FILE_LIMIT = 1 << 20
_NAME = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class TransferOptions:
    """What to transfer: a transfer file, or the options that stand for one.

    `sources` are model folders and files of answers; `terms` are their terms of use, one for each
    source or none. `allow_keys` are pairs `VARIABLE@ORIGIN` for which a key may be sent, as are
    those of the user's configuration. `base` replaces the base of a file. `held_out_probes` puts
    held-out prompts and their checks into the pack.
    """

    file: Path | None = None
    base: Path | None = None
    sources: tuple[Path, ...] = ()
    terms: tuple[str, ...] = ()
    prompts: Path | None = None
    keep: Path | None = None
    probes: Path | None = None
    skill: SkillName | None = None
    version: Version | None = None
    budget: str | None = None
    held_out_probes: bool = False
    output: Path | None = None
    device: str = "cpu"
    until: Stage | None = None
    dry_run: bool = False
    fresh: bool = False
    accept_loss: bool = False
    allow_exec: bool = False
    allow_keys: tuple[str, ...] = ()


def transfer(client: Client, options: TransferOptions) -> "Transferred":
    """Train the base on answers of the sources, and pack what it learnt.

    Continues a command that was stopped. Needs the extra `transfer`. Raises `SpecError` for bad
    files, `UsageError` for options that cannot be used together, `GraftError` if nothing was
    learnt or general ability suffered, `RegistryError` if an endpoint is gone.
    """
    document, folder = _document(client, options)
    configured = str(resolve(client.options)["allow-keys"].value or "")
    keys = _allowed_keys((*options.allow_keys, *configured.split()))
    if client.session.offline and any(_is_remote(each.endpoint) for each in document.source):
        problem = "`--offline` was given, but a source is an endpoint on another machine"
        raise UsageError(problem, hint="leave out `--offline`, or the source")
    if options.fresh and options.dry_run:
        problem = "`--fresh` discards recorded answers, and `--dry-run` asks only for a few"
        raise UsageError(problem, hint="leave out one of them")
    with needs_transfer("`transfer` trains the model"):
        from skillpm.flows.transfer.plan import TransferRequest
        from skillpm.flows.transfer.transfer import transfer as flow
    if options.device != "cpu":
        from skillpm.delta.encoding.torch_device import ComputeDevice

        ComputeDevice.find(options.device)
    request = TransferRequest(
        document=document,
        folder=folder,
        base=options.base,
        output=options.output,
        device=options.device,
        until=options.until,
        dry_run=options.dry_run,
        fresh=options.fresh,
        accept_loss=options.accept_loss,
        allow_exec=options.allow_exec,
        allowed_keys=keys,
    )
    return flow(client.session, request)


def plot_transfer(result: "Transferred", target: Path) -> None:
    """Write a plot of what base, sources and trained models can do, as PNG, SVG or PDF.

    The ending of `target` chooses the format. Needs the extra `plot`. Raises `StateError` if
    nothing was evaluated.
    """
    evaluated = result.evaluated
    if evaluated is None:
        raise StateError("the transfer ended before the models were evaluated")
    with needs_matplotlib("`--plot` draws"):
        from skillpm.pictures.abilities import AbilityBar, draw_abilities
        from skillpm.pictures.canvas import figure_file
    from skillpm.journal.atomic import write_atomic
    from skillpm.pictures.formats import picture_format
    from skillpm.transfer.evaluation import TOLERATED

    report = result.report()
    bars = [
        AbilityBar("base", evaluated.base.skill, evaluated.base.general),
        *(AbilityBar(each["name"], each["skill"]) for each in report["sources"]),
        *(AbilityBar(str(name), m.skill, m.general) for name, m in evaluated.trained.items()),
    ]
    title = f"transfer of {result.plan.document.target.skill}"
    figure = draw_abilities(title, bars, 1 - TOLERATED)
    write_atomic(target, figure_file(figure, picture_format(target)))


def _document(client: Client, options: TransferOptions) -> tuple[TransferFile, Path]:
    """The transfer file, and the folder that its paths are relative to."""
    if options.file is None:
        return transfer_of(_tables(client, options), "the options"), Path.cwd()
    given = [
        f"`--{flag}`"
        for flag, value in (
            ("source", options.sources),
            ("terms", options.terms),
            ("prompts", options.prompts),
            ("keep", options.keep),
            ("probes", options.probes),
            ("name", options.skill),
            ("version", options.version),
            ("budget", options.budget),
            ("held-out-probes", options.held_out_probes),
        )
        if value
    ]
    if given:
        raise UsageError(
            f"{', '.join(given)} cannot be used with a transfer file",
            hint=f"write it into `{options.file}`",
        )
    data = read_named_file(options.file, limit=_FILE_LIMIT)
    text = data.decode("utf-8", errors="replace")
    return parse_transfer(text, f"`{options.file}`"), options.file.absolute().parent


def _tables(client: Client, options: TransferOptions) -> dict[str, Any]:
    """The options as the tables of a transfer file. Raises `UsageError` for a missing one."""
    base = options.base or client.session.base
    needed: Mapping[str, object] = {
        "base": base,
        "source": options.sources,
        "prompts": options.prompts,
        "name": options.skill,
        "version": options.version,
    }
    missing = [f"`--{flag}`" for flag, value in needed.items() if not value]
    if missing:
        raise UsageError(
            f"a transfer without a transfer file needs {', '.join(missing)}",
            hint="skillpm transfer --base ./model --source ./source --prompts prompts.jsonl "
            "--name acme/math --version 1.0.0",
        )
    pack = {
        "budget": options.budget,
        "probes": "held-out" if options.held_out_probes else None,
    }
    prompts = {"file": options.prompts, "keep": options.keep, "probes": options.probes}
    return {
        "target": {
            "base": str(base),
            "skill": str(options.skill),
            "version": str(options.version),
        },
        "source": _sources(options),
        "prompts": {name: str(path) for name, path in prompts.items() if path},
        "pack": {name: value for name, value in pack.items() if value},
    }


def _sources(options: TransferOptions) -> list[dict[str, Any]]:
    if options.terms and len(options.terms) != len(options.sources):
        raise UsageError(
            f"`--terms` is given {len(options.terms)} times for {len(options.sources)} sources",
            hint="give it once for each `--source`, in the same order",
        )
    tables: list[dict[str, Any]] = []
    names = _names(options.sources)
    for number, (path, name) in enumerate(zip(options.sources, names, strict=True)):
        if is_url(str(path)):
            raise UsageError(
                f"the source `{path}` is a URL; an endpoint also needs the name of its model",
                hint="write it into a transfer file: `[[source]]` with `endpoint` and `served`",
            )
        kind = "answers" if path.is_file() else "model"
        terms = {"terms": options.terms[number]} if options.terms else {}
        tables.append({"name": name, kind: str(path), **terms})
    return tables


def _names(paths: Sequence[Path]) -> Iterable[str]:
    """A plain name for each source, from its file name."""
    seen: set[str] = set()
    for number, path in enumerate(paths, start=1):
        stem = path.absolute().stem if path.is_file() else path.absolute().name
        name = _NAME.sub("-", stem.lower()).strip("-")[:48] or f"source-{number}"
        name = f"{name}-{number}" if name in seen else name
        seen.add(name)
        yield name


def _allowed_keys(pairs: Iterable[str]) -> frozenset[tuple[str, str]]:
    """Pairs of variable and origin. Raises `UsageError` for a malformed one."""
    found = set()
    for pair in pairs:
        variable, _, origin = pair.partition("@")
        parts = urlsplit(origin)
        if not variable or parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"`{variable}@…` is no permission to send a key; expected a variable and an origin",
                hint="--allow-key GEMMA_KEY@https://api.example.com",
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        found.add((variable, f"{parts.scheme}://{host}:{port}"))
    return frozenset(found)


def _is_remote(endpoint: str | None) -> bool:
    return endpoint is not None and urlsplit(endpoint).hostname not in LOCAL_HOSTS
