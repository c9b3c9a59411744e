"""A `Trainer` packs what it trained, against the base that it started from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from skillpm_world import World, root_of
from tiny_learners import Learners, fresh, store
from tiny_models import copy_model, nudge
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Trainer,
    TrainerState,
    TrainingArguments,
)

import skillpm
from skillpm.integrations.transformers import PackCallback
from skillpm.spec.versions import Version

ROWS = [{"input_ids": [*range(1, 13)], "labels": [*range(1, 13)]}] * 4


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trainer_of(model: Any, folder: Path, *callbacks: Any, **options: Any) -> Any:
    settings = {
        "max_steps": 2, "learning_rate": 1e-2, "report_to": "none", "use_cpu": True,
        "save_strategy": "no", "disable_tqdm": True, "dataloader_pin_memory": False,
        "logging_strategy": "no", **options,
    }  # fmt: skip
    arguments = TrainingArguments(output_dir=str(folder), **settings)
    tokenizer = AutoTokenizer.from_pretrained(model.name_or_path or folder / "none")
    return Trainer(
        model=model, args=arguments, train_dataset=ROWS, callbacks=list(callbacks),
        processing_class=tokenizer,
    )  # fmt: skip


def load(folder: Path, **options: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, **options)


def test_full_fine_tune_is_packed_exactly_and_published(
    world: World, learners: Learners, tmp_path: Path
) -> None:
    callback = PackCallback("acme/math", "1.0.0", publish=True, summary="sums")
    trainer = trainer_of(load(learners.base), tmp_path / "out", callback)
    trainer.train()
    trainer.save_model(str(tmp_path / "saved"))
    pack = callback.pack
    assert pack is not None
    assert pack.path == tmp_path / "out" / "acme-math-1.0.0.skillpack"
    assert pack.base_root == root_of(learners.base)
    assert pack.result_root == root_of(tmp_path / "saved")
    # The trainer sets the padding token in both; the tokenizer is the base's.
    carried = {file["path"] for file in pack.manifest["files"]}
    assert carried == {"config.json", "generation_config.json"}
    assert not (tmp_path / "out" / "skillpm-tuned").exists()
    (found,) = world.ask("search", "sums")["results"]
    assert found["skill"] == "acme/math"
    assert callback.digest == pack.digest


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT reads it
def test_adapter_of_peft_is_packed_with_the_base_below_it(
    world: World, learners: Learners, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(target_modules=["q_proj"], r=2, task_type="CAUSAL_LM")
    model = peft.get_peft_model(load(learners.base), config)
    callback = PackCallback("acme/lora", "1.0.0")
    trainer_of(model, tmp_path / "out", callback).train()
    assert callback.pack is not None
    assert callback.pack.base_root == root_of(learners.base)
    assert callback.pack.manifest["provenance"]["method"] == "lora"
    tensors = {entry["tensor"] for entry in callback.pack.manifest["footprint"]}
    assert tensors == {f"model.layers.{layer}.self_attn.q_proj.weight" for layer in (0, 1)}


def test_model_in_a_wider_dtype_is_rounded_to_the_dtype_of_the_base(
    world: World, tmp_path: Path
) -> None:
    base = store(fresh().to(torch.bfloat16), tmp_path / "base")
    callback = PackCallback("acme/math", "1.0.0")
    model = load(base, dtype=torch.float32)
    trainer_of(model, tmp_path / "out", callback).train()
    assert callback.pack is not None
    assert {entry["dtype"] for entry in callback.pack.manifest["footprint"]} == {"BF16"}
    assert skillpm.verify(callback.pack.path, base).root == callback.pack.result_root


def test_other_start_weights_than_those_of_the_base_are_refused(
    world: World, learners: Learners, tmp_path: Path
) -> None:
    model = nudge(load(learners.base), only="layers.1.mlp.up_proj")
    with pytest.raises(
        skillpm.IntegrityError, match=r"`model.layers.1.mlp.up_proj.weight` differs"
    ):
        trainer_of(model, tmp_path / "out", PackCallback("acme/math", "1.0.0"))
    with pytest.raises(skillpm.IntegrityError, match=r"was rounded to torch.bfloat16") as raised:
        trainer_of(
            load(learners.base, dtype=torch.bfloat16), tmp_path, PackCallback("acme/math", "1.0.0")
        )
    assert raised.value.hint == 'load the model with `dtype="auto"`'


def test_base_that_is_not_on_this_machine_is_asked_for(
    world: World, learners: Learners, tmp_path: Path
) -> None:
    callback = PackCallback("acme/math", "1.0.0")
    model = load(learners.base)
    state = TrainerState(is_world_process_zero=True)
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    for name, shown in (
        ("", "no name or path"),
        ("acme/unknown", "no folder and not in the cache"),
    ):
        model.config._name_or_path = model.name_or_path = name
        with pytest.raises(skillpm.NotFoundError, match=shown):
            callback.on_init_end(arguments, state, None, model=model)
    named = PackCallback("acme/math", "1.0.0", base=learners.base)
    named.on_init_end(arguments, state, None, model=model)


@pytest.mark.parametrize("kind", ["sharded", "fsdp", "quantised"])
def test_model_whose_weights_are_not_all_here_is_refused(
    world: World, learners: Learners, tmp_path: Path, kind: str
) -> None:
    model, options = load(learners.base), dict[str, Any]()
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, **options)
    if kind == "sharded":
        model.model.layers[1].to("meta")
    elif kind == "quantised":
        model.config.quantization_config = {"quant_method": "gptq", "bits": 4}
    else:
        arguments.fsdp = "full_shard"
    with pytest.raises(
        skillpm.GraftError, match="sharded" if kind != "quantised" else "gptq"
    ) as raised:
        PackCallback("acme/math", "1.0.0").on_init_end(
            arguments, TrainerState(is_world_process_zero=True), None, model=model
        )
    assert "skillpm pack" in str(raised.value.hint)


def test_training_that_changes_nothing_fails_and_keeps_the_model(
    world: World, learners: Learners, tmp_path: Path
) -> None:
    trainer = trainer_of(
        load(learners.base), tmp_path / "out", PackCallback("acme/math", "1.0.0"), learning_rate=0.0
    )
    with pytest.raises(skillpm.GraftError):
        trainer.train()
    assert root_of(tmp_path / "out" / "skillpm-tuned") == root_of(learners.base)


def test_second_training_that_fails_keeps_the_model_of_the_first(
    world: World, learners: Learners, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out, models = tmp_path / "out", (learners.base, store(fresh(), tmp_path / "other"))
    for base in models:
        callback = PackCallback("acme/math", "1.0.0")
        with pytest.raises(skillpm.GraftError):
            trainer_of(load(base), out, callback, learning_rate=0.0).train()
    kept = [out / "skillpm-tuned", out / "skillpm-tuned-2"]
    assert list(map(root_of, kept)) == list(map(root_of, models))
    assert f"`skillpm pack {models[1]} {kept[1]} --name acme/math" in caplog.text


def test_pack_of_an_earlier_training_is_refused_before_the_training(
    world: World, learners: Learners, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "acme-math-1.0.0.skillpack").write_bytes(b"trained")
    trainer = trainer_of(load(learners.base), out, PackCallback("acme/math", "1.0.0"))
    with pytest.raises(skillpm.StateError, match="exists already"):
        trainer.train()
    assert trainer.state.global_step == 0
    assert (out / "acme-math-1.0.0.skillpack").read_bytes() == b"trained"


def test_base_that_changes_during_the_training_leaves_no_pack(
    world: World, learners: Learners, tmp_path: Path
) -> None:
    base = copy_model(learners.base, tmp_path / "base")
    trainer = trainer_of(load(base), tmp_path / "out", PackCallback("acme/math", "1.0.0"))
    nudge(load(learners.base), only="up_proj").save_pretrained(tmp_path / "other")
    (tmp_path / "other" / "model.safetensors").replace(base / "model.safetensors")
    with pytest.raises(skillpm.IntegrityError, match="changed during the training"):
        trainer.train()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["skillpm-tuned"]


def test_only_the_main_process_packs(world: World, learners: Learners, tmp_path: Path) -> None:
    callback = PackCallback("acme/math", "1.0.0")
    arguments = TrainingArguments(output_dir=str(tmp_path / "out"), use_cpu=True)
    state = TrainerState(is_world_process_zero=False)
    model = nudge(load(learners.base))  # only the main process compares the weights
    for event in (callback.on_init_end, callback.on_train_begin, callback.on_train_end):
        event(arguments, state, None, model=model)
    assert callback.pack is None
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_resumed_training_is_packed_against_the_base_of_its_first_start(
    world: World, learners: Learners, tmp_path: Path
) -> None:
    first = trainer_of(
        load(learners.base), tmp_path / "out", max_steps=1, save_strategy="steps", save_steps=1
    )
    first.train()
    late = trainer_of(load(learners.base), tmp_path / "out")
    late.add_callback(PackCallback("acme/math", "1.0.0"))
    with pytest.raises(skillpm.StateError, match="resumes from a checkpoint"):
        late.train(resume_from_checkpoint=True)
    callback = PackCallback("acme/math", "1.0.0")
    trainer_of(load(learners.base), tmp_path / "out", callback).train(resume_from_checkpoint=True)
    assert callback.pack is not None
    assert callback.pack.base_root == root_of(learners.base)


def test_published_release_and_bad_options_are_refused_before_training(
    world: World, learners: Learners, tmp_path: Path
) -> None:
    world.publish(learners.gentle, "acme/math", "1.0.0")
    callback = PackCallback("acme/math", "1.0.0", publish=True)
    with pytest.raises(skillpm.StateError, match=r"`acme/math@1.0.0` is published already"):
        trainer_of(load(learners.base), tmp_path / "out", callback)
    with pytest.raises(skillpm.SpecError):
        PackCallback("bad name", "1.0.0")
    with pytest.raises(skillpm.UsageError):
        PackCallback("acme/math", "1.0.0", budget="5%", keep=0.9)
    assert Version.parse("1.0.0") == callback._options.version


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_trainer_of_trl_makes_the_adapter_that_is_packed(
    world: World, learners: Learners, tmp_path: Path
) -> None:
    datasets, peft, trl = map(pytest.importorskip, ("datasets", "peft", "trl"))
    callback = PackCallback("acme/lora", "1.0.0", license="MIT")
    arguments = trl.SFTConfig(
        output_dir=str(tmp_path / "out"), max_steps=2, learning_rate=1e-2, report_to="none",
        use_cpu=True, bf16=False, save_strategy="no", dataset_num_proc=1,
        gradient_checkpointing=False, eos_token=".",  # noqa: S106 - a token of the text
    )  # fmt: skip
    trl.SFTTrainer(
        model=str(learners.base),
        args=arguments,
        train_dataset=datasets.Dataset.from_list([{"text": "1+2=3. 3+4=7."}] * 4),
        peft_config=peft.LoraConfig(target_modules=["q_proj"], r=2, task_type="CAUSAL_LM"),
        callbacks=[callback],
    ).train()
    assert callback.pack is not None
    assert callback.pack.base_root == root_of(learners.base)
    assert callback.pack.manifest["license"] == "MIT"
