"""Files of a model's modules: one folder deep, of known types, and never code."""

import struct
from typing import Any

import pytest
from spec_documents import manifest_plain

from skillpm.errors import SpecError
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import ArchitectureFacts, SideFile, parse_manifest
from skillpm.spec.pack import read_side_file
from skillpm.spec.parts import check_modules, check_part_numbers, folders_of, weights_header
from skillpm.spec.sidefiles import FILE, PATCH, REMOVED, check_side_file

DENSE = "sentence_transformers.base.modules.dense.Dense"
NO_FACTS = ArchitectureFacts(tied={}, names={}, config_keys=[], library=None)


def weights(shape: tuple[int, ...] = (2,), *, extra: bytes = b"") -> bytes:
    size = 4
    for side in shape:
        size *= side
    plain = {"w": {"dtype": "F32", "shape": list(shape), "data_offsets": [0, size]}}
    header = json.canonical(plain)
    return struct.pack("<Q", len(header)) + header + b"\0" * size + extra


def read(path: str, data: bytes) -> Any:
    return read_side_file(SideFile(path=path, digest=Digest.of(data), kind=FILE), data, NO_FACTS)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        *(("1_Pooling/config.json", FILE), ("2_Dense/model.safetensors", FILE)),
        *(("2_Dense_1024/model.safetensors", REMOVED), ("modules.json", FILE)),
        *(("10_CSRSparsity/config.json", REMOVED), ("1_W/vocab.txt", FILE)),
        ("2_Dense/pytorch_model.bin", REMOVED),
    ],
)
def test_files_of_parts_are_stored_whole_or_removed(path: str, kind: str) -> None:
    check_side_file(path, kind)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        *(("2_Dense/pytorch_model.bin", FILE), ("2_Dense/model.py", FILE)),
        *(("2_Dense/config.json", PATCH), ("modules.json", PATCH), ("modules.json", REMOVED)),
        *(("../2_Dense/config.json", FILE), ("2_Dense/../config.json", FILE)),
        *(("2_Dense//config.json", FILE), ("/2_Dense/config.json", FILE), ("2_Dense/", FILE)),
        *(("2_Dense/a/config.json", FILE), ("2_Dense/.hidden.json", FILE)),
        *(("onnx/config.json", FILE), ("unet/model.safetensors", FILE), (".git/config.json", FILE)),
        *(("2_Dense\\config.json", FILE), ("2_Dënse/config.json", FILE), ("2_/config.json", FILE)),
        *(("2_Dense/Model.safetensors", FILE), ("2_Dense/other.safetensors", FILE)),
        *(("2_Dense/adapter_config.json", FILE), ("2_Dense/modules.json", FILE)),
        *(("2_Dense/model.safetensors.index.json", FILE), ("2_Dense/config.4.0.0.json", FILE)),
        *(("2_Dense/LICENSE.txt", REMOVED), ("2_" + "D" * 80 + "/config.json", FILE)),
    ],
)
def test_other_part_paths_are_refused(path: str, kind: str) -> None:
    with pytest.raises(SpecError):
        check_side_file(path, kind)


def module(**changes: Any) -> dict[str, Any]:
    return {"idx": 1, "name": "1", "path": "1_Dense", "type": DENSE} | changes


@pytest.mark.parametrize(
    "kind",
    [
        *("sentence_transformers.models.Pooling", DENSE),
        "sentence_transformers.sparse_encoder.models.SpladePooling",
        "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    ],
)
def test_module_classes_of_sentence_transformers_are_accepted(kind: str) -> None:
    check_modules([module(path="", idx=0), module(type=kind)], "it")


@pytest.mark.parametrize(
    "content",
    [
        *({}, [], [{}], [1], [module()] * 65, [module(), module()]),
        *([module(type="pylate.models.Dense")], [module(type="modeling_x.Dense")]),
        *([module(type="sentence_transformers.util.misc.os")], [module(type=None)]),
        [module(type="sentence_transformers.models.tokenizer.torch.load")],
        [module(type="sentence_transformersx.models.Dense")],
        *([module(path="../x")], [module(path="/etc")], [module(path="a/b")], [module(path="x")]),
        *([module(idx="0")], [module(name=1)], [module(kwargs=["a b"])], [module(code="x.py")]),
    ],
)
def test_invalid_lists_of_modules_are_refused(content: Any) -> None:
    with pytest.raises(SpecError):
        check_modules(content, "it")


def test_folders_of_reads_only_lists_of_modules() -> None:
    assert folders_of([module(path=""), module(), module(type="my.Own", path="own")]) == (
        "1_Dense",
        "own",
    )
    assert folders_of([{"idx": 1}]) is None
    assert folders_of({"x": 1}) is None


@pytest.mark.parametrize(
    "config",
    [
        {"activation_function": "torch.os.abort"},
        {"activation_function": "torch.hub.load"},
        {"activation_function": 1},
        {"anything": "os.system"},
        {"tokenizer_class": "transformers.AutoTokenizer"},
        {"modality_config": {"text": {"method": "push_to_hub"}}},
        {"path": "https://example.org/x.json"},
        {"auto_map": {"AutoModel": "x.Y"}},
        {"nested": [{"quantization_config": {}}]},
        [],
    ],
)
def test_part_config_that_chooses_code_or_files_is_refused(config: Any) -> None:
    with pytest.raises(SpecError):
        read("2_Dense/config.json", json.canonical(config))


@pytest.mark.parametrize(
    "config",
    [
        {"in_features": 32, "activation_function": "torch.nn.modules.activation.Tanh"},
        {"module_input_name": "sentence_embedding", "module_output_name": None},
        {"tokenizer_class": "sentence_transformers.models.tokenizer.WhitespaceTokenizer"},
        {"pooling_mode": "mean", "include_prompt": True, "word_embedding_dimension": 32},
    ],
)
def test_part_configs_are_accepted(config: dict[str, Any]) -> None:
    data = json.canonical(config)
    assert read("2_Dense/config.json", data) == data


def test_prompts_may_have_any_name_and_text() -> None:
    prompts = {"prompts": {"file": "the path: ", "os.system": None}, "__version__": {"a": "1"}}
    read("config_sentence_transformers.json", json.canonical(prompts))
    refused: tuple[Any, ...] = (
        {"prompts": {"x": 1}}, {"model_type": "a.b"}, {"requirements_file": "x"}, [],
    )  # fmt: skip
    for wrong in refused:
        with pytest.raises(SpecError):
            read("config_sentence_transformers.json", json.canonical(wrong))


@pytest.mark.parametrize("data", [b"", b"x" * 9, weights()[:-1], weights(extra=b"\0")])
def test_part_weights_must_be_a_valid_safetensors_file(data: bytes) -> None:
    with pytest.raises(SpecError):
        read("2_Dense/model.safetensors", data)
    read("2_Dense/model.safetensors", weights())


def test_part_config_with_too_large_numbers_is_refused() -> None:
    placed = weights_header(weights((2, 9000)), "it").tensors
    specs = {each.spec.name: each.spec for each in placed}
    check_part_numbers({"in_features": 9000, "flag": True, "nested": [{"x": 8000}]}, specs)
    check_part_numbers({"in_features": 10**9}, {})
    for config in ({"in_features": 9001}, {"a": [{"b": 10**12}]}, {"num_layers": 10**6}):
        with pytest.raises(ValueError, match="in the config,"):
            check_part_numbers(config, specs)


def test_folders_that_differ_only_in_case_are_refused() -> None:
    digest = str(Digest.of(b""))
    files = [
        {"path": path, "digest": digest, "kind": "removed"}
        for path in ("2_Dense/config.json", "2_dense/model.safetensors")
    ]
    with pytest.raises(SpecError, match="differ only in case"):
        parse_manifest(json.canonical(manifest_plain() | {"files": files}))


def test_base_without_parts_is_written_without_the_key() -> None:
    plain = manifest_plain()
    assert (
        "parts" not in json.parse(parse_manifest(json.canonical(plain)).canonical(), "it")["base"]
    )
    plain["base"]["parts"] = {"2_Dense/config.json": str(Digest.of(b""))}
    again = parse_manifest(json.canonical(plain))
    assert json.parse(again.canonical(), "it")["base"]["parts"] == plain["base"]["parts"]
    plain["base"]["parts"] = {"../x": str(Digest.of(b""))}
    with pytest.raises(SpecError):
        parse_manifest(json.canonical(plain))
