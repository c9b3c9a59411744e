"""A callback of `transformers.Trainer` that packs what was trained, and publishes the pack."""

import logging
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Unpack

from skillpm.api.client import Client
from skillpm.api.extras import needs_hf
from skillpm.api.model_values import Pack
from skillpm.api.models import EstimateKeywords, identify, inspect
from skillpm.api.options import Options
from skillpm.api.packing import build_pack, pack_request, parse_options, scheme_of
from skillpm.api.releases import list_releases, publish
from skillpm.checkpoint.find_model import find_model
from skillpm.errors import (
    GraftError,
    IntegrityError,
    NotFoundError,
    SpecError,
    StateError,
    UnknownSkillError,
)
from skillpm.files.named import expanded
from skillpm.spec.hub import PREFIX, HubModel

with needs_hf("`PackCallback` is a callback of transformers"):
    from transformers import TrainerCallback
    from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled
    from transformers.utils import logging as transformers_logging

    from skillpm.running.start_weights import check_start, quantisation_of, sharding_of
    from skillpm.running.trained_model import save_trained

_log = logging.getLogger(__name__)
_TUNED = "skillpm-tuned"
"""The folder of the trained model, in the output folder of the training, until it is packed."""
_BY_HAND = (
    '`trainer.save_model("tuned")`, then '
    "`skillpm pack ./model ./tuned --name acme/math --version 1.0.0`"
)
_QUANTISED = (
    'save the adapter with `trainer.save_model("adapter")`, and pack it against the base in full '
    "precision: `skillpm pack ./model ./adapter --name acme/math --version 1.0.0`"
)


@dataclass(frozen=True)
class TrainingBase:
    """The base that a training starts from: its folder and its root."""

    folder: Path
    root: str


class PackCallback(TrainerCallback):
    """Packs what a `Trainer` trained, against the base that it started from.

    Works with full fine-tunes and PEFT adapters, and with trainers of trl. At the start, every
    parameter is compared with the weights of the base, which is the model's `name_or_path`, or
    `base`. At the end, the main process writes `NAMESPACE-NAME-VERSION.skillpack` into the output
    folder, or to `output`; with `publish` it is published, to `registry` or the default one.
    Further keywords are those of `skillpm.pack`. A full fine-tune in another dtype is rounded to
    the base's, unless `cast=False`.

    `pack` is the written pack, and `digest` that of the published release. If packing or publishing
    fails, the trained model stays in the output folder: in `skillpm-tuned`, or in `skillpm-tuned-2`
    and so on if that exists. The start raises `IntegrityError` for other weights than the base's,
    `GraftError` for a model that is sharded or quantised, `NotFoundError` if there is no base on
    this machine, and `StateError` if the file of the pack or the release exists already.
    """

    def __init__(
        self,
        name: str,
        version: str,
        *,
        base: str | Path | None = None,
        publish: bool = False,
        registry: str | None = None,
        **options: Unpack[EstimateKeywords],
    ) -> None:
        self.pack: Pack | None = None
        self.digest: str | None = None
        self._named = None if base is None else expanded(base)
        self._publish = publish
        self._cast = options.get("cast", True)
        # The project of the folder in which the training starts, as for a command.
        self._client_options = Options(Options(None).project_folder, registry=registry)
        self._base: TrainingBase | None = None
        values = {"base": "", "tuned": "", "skill": name, "version": version, **options}
        self._options = parse_options(values)
        pack_request(self._options)  # checks the version and the licence
        scheme_of(self._options)

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Check the model that the trainer got, before checkpoints are loaded."""
        del control
        self._start(args, state, kwargs["model"])

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Check the output, and the model if the callback was added to an existing trainer."""
        del control
        if not state.is_world_process_zero:
            return
        _refuse_existing(self._output(args))
        if self._base is not None:
            return
        if state.global_step:
            raise StateError(
                "the training resumes from a checkpoint, so the weights that it started from are "
                "not known",
                hint="pass the callback when the trainer is made: `Trainer(callbacks=[...])`",
            )
        self._start(args, state, kwargs["model"])

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Pack the trained model, and publish the pack if asked."""
        del control
        if not state.is_world_process_zero or self._base is None:
            return
        _refuse_sharded(args, kwargs["model"])
        tuned = _new_folder(Path(args.output_dir))
        with _quiet_transformers():
            is_adapter = save_trained(
                kwargs["model"], kwargs.get("processing_class"), self._base.folder, tuned
            )
            try:
                self._write(self._base, tuned, self._output(args), is_adapter=is_adapter)
            except BaseException:
                command = self._command(self._base, tuned)
                _log.error("the trained model stays in `%s`; `%s` packs it", tuned, command)
                raise
        shutil.rmtree(tuned)

    def _output(self, args: Any) -> Path:
        """The file of the pack."""
        skill, version = self._options.skill, self._options.version
        return self._options.output or Path(args.output_dir) / skill.pack_file(version)

    def _command(self, base: TrainingBase, tuned: Path) -> str:
        """The command that packs the trained model by hand."""
        models = [str(base.folder), str(tuned)]
        release = ["--name", str(self._options.skill), "--version", str(self._options.version)]
        return shlex.join(["skillpm", "pack", *models, *release])

    def _start(self, args: Any, state: Any, model: Any) -> None:
        """Refuse what cannot be packed, and prove the start; only the main process reads files."""
        _refuse_sharded(args, model)
        _refuse_quantised(model)
        if not state.is_world_process_zero:
            return
        plain = model.get_base_model() if hasattr(model, "get_base_model") else model
        folder = self._folder_of(plain)
        self._refuse_published()
        with _quiet_transformers():
            check_start(plain, folder)
        self._base = TrainingBase(folder, identify(folder).root)

    def _folder_of(self, model: Any) -> Path:
        """The base's folder: `base`, or the model's `name_or_path`, a path or a cached model."""
        if self._named is not None:
            return find_model(self._named)
        name = str(model.name_or_path or "")
        commit = getattr(model.config, "_commit_hash", None)
        folder = Path(name) if name and Path(name).is_dir() else _cached(name, commit)
        if folder is None:
            shown = f"`{name}` is no folder and not in the cache of Hugging Face" if name else (
                "the model has no name or path"
            )  # fmt: skip
            raise NotFoundError(
                f"the base of the training is not known: {shown}",
                hint="name its folder: `PackCallback(..., base=PATH)`",
            )
        return folder

    def _refuse_published(self) -> None:
        """Raise `StateError` if the release exists, before hours of training."""
        if not self._publish:
            return
        skill, version = self._options.skill, self._options.version
        with Client(self._client_options) as client:
            try:
                releases = list_releases(client, skill)
            except (UnknownSkillError, NotFoundError):
                return
        if any(release.version == version for release in releases):
            raise StateError(
                f"`{skill}@{version}` is published already; a release never changes",
                hint="choose a higher version",
            )

    def _write(self, base: TrainingBase, tuned: Path, output: Path, *, is_adapter: bool) -> None:
        _refuse_existing(output)
        cast = self._cast and not is_adapter
        options = replace(self._options, base=base.folder, tuned=tuned, output=output, cast=cast)
        with Client(self._client_options) as client:
            written = inspect(build_pack(client, options).path)
            if written.base_root != base.root:
                written.path.unlink()
                raise IntegrityError(
                    f"`{base.folder}` changed during the training: its root was `{base.root}`, and "
                    f"is now `{written.base_root}`",
                    hint="restore the base, then pack the trained model with `skillpm pack`",
                )
            self.pack = written
            _log.info("packed %s %s: `%s`", written.skill, written.version, written.path)
            if self._publish:
                published = publish(client, written.path)
                self.digest = str(published.release.digest)
                _log.info("published %s to %s", published.release.skill, published.registry)


def _refuse_existing(output: Path) -> None:
    """Raise `StateError` if the file of the pack exists: it may be all that is left of a tune."""
    if output.exists():
        raise StateError(
            f"`{output}` exists already; the pack of another training is not overwritten",
            hint="choose a higher version or another `output`, or move the file",
        )


def _new_folder(parent: Path) -> Path:
    """Create a folder for a trained model that no earlier training has used."""
    for number in count(1):
        folder = parent / (_TUNED if number == 1 else f"{_TUNED}-{number}")
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    return folder


def _cached(name: str, commit: str | None) -> Path | None:
    """The folder of a model in the cache of Hugging Face; None if it is not there."""
    text = f"{PREFIX}{name}@{commit}" if commit else f"{PREFIX}{name}"
    try:
        HubModel.parse(text)
    except SpecError:
        return None
    with suppress(NotFoundError):
        return find_model(Path(text))
    return None


def _refuse_sharded(args: Any, model: Any) -> None:
    """Raise `GraftError` if no process has all weights."""
    reason = sharding_of(model)
    if args.fsdp or os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true"):
        reason = "the training uses FSDP"
    elif is_deepspeed_zero3_enabled():
        reason = "the training uses DeepSpeed ZeRO-3"
    if reason is not None:
        raise GraftError(
            f"the weights are sharded over processes, so the callback cannot pack them: {reason}",
            hint=_BY_HAND,
        )


def _refuse_quantised(model: Any) -> None:
    """Raise `GraftError` for a quantised model, whose weights are not those of the base."""
    method = quantisation_of(model)
    if method is not None:
        raise GraftError(
            f"the training runs on a quantised base ({method}), whose weights are not those of the "
            "base in its folder",
            hint=_QUANTISED,
        )


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep the level of transformers' messages, which loading models changes."""
    before = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)
        if bars:
            transformers_logging.enable_progress_bar()
