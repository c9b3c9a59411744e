"""Names of models on the Hugging Face hub. The authority is huggingface_hub."""

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

from skillpm.errors import SpecError
from skillpm.spec.hub import HubModel, is_name

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAMES = (
    "gpt2", "acme/base", "Qwen/Qwen2.5-0.5B-Instruct", "a/b_c.d-e", "a" * 96 + "/b", "1/2",
    "a/b/c", "a--b/c", "a/b..c", "-a/b", "a/b-", ".a/b", "a/b.", "a/b.git", "../x", "a/..", "",
    "a" * 97 + "/b", "/a", "a/", "a b/c", "a/b\0", "a/b\n", "a\\b", "~/a",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_valid_if_huggingface_hub_accepts_it(name: str) -> None:
    try:
        validate_repo_id(name)
    except HFValidationError:
        assert not is_name(name)
    else:
        assert is_name(name)


@pytest.mark.parametrize(
    "text", ["acme/base", "acme/base@v1", f"acme/base@{COMMIT}", "hf:gpt2@a/b"]
)
def test_a_reference_reads_back_as_the_same_model(text: str) -> None:
    model = HubModel.parse(text)
    assert HubModel.parse(model.reference) == model
    assert HubModel.of_cache_folder(model.cache_folder) == HubModel(model.name)


def test_messages_show_a_short_commit_and_the_download_a_whole_one() -> None:
    model = HubModel.parse(f"hf:acme/base@{COMMIT}")
    assert model.label == "acme/base@0123456"
    assert model.download == f"hf download acme/base --revision {COMMIT}"


@pytest.mark.parametrize(
    "text",
    ["hf:../../x", "hf:acme/base@../../x", "hf:acme/base@", "hf:acme/base@/etc",
     "hf:acme/base@a//b", "acme/base@-x", "hf:", "gpt2", "hf:acme/base@" + "a" * 300,
     "hf:acme/base@a\x1bb"],
)  # fmt: skip
def test_a_name_with_tricks_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="not the name of a Hugging Face model"):
        HubModel.parse(text)
