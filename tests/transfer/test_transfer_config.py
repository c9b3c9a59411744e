"""transfer.toml: the contract's example, and what is refused in a stranger's file."""

from pathlib import Path

import pytest

from skillpm.errors import SpecError
from skillpm.transfer.config import TransferFile, parse_transfer, resolved, transfer_of

FILE = """
[target]
base = "./model"
skill = "acme/math"
version = "1.0.0"
[[source]]
name = "qwen"
model = "./qwen2.5-7b"
[[source]]
name = "gemma"
endpoint = "http://127.0.0.1:8000/v1"
served = "gemma-2-27b"
key_env = "GEMMA_KEY"
[[source]]
name = "bought"
answers = "answers.jsonl"
terms = "CC-BY-4.0"
[prompts]
file = "prompts.jsonl"
keep = "general.jsonl"
[sample]
draws = 4
temperature = 0.8
top_p = 0.95
max_tokens = 512
[select]
sft_share = 0.4
[train]
sft = { epochs = 3, lr = 5e-6 }
dpo = { epochs = 1, lr = 8e-7, beta = 10 }
keep_share = 0.2
[fuse]
method = "answers"
[budget]
hours = 6
requests = 50000
[pack]
budget = "5%"
"""
SHORT = """
[target]
base = "model"
skill = "acme/math"
version = "1.0.0"
[[source]]
name = "qwen"
model = "qwen"
[prompts]
file = "prompts.jsonl"
"""


def problems(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_transfer(text)
    return caught.value.message


def test_example_of_the_contract_is_read() -> None:
    document = parse_transfer(FILE)
    assert str(document.target.skill) == "acme/math"
    assert [source.name for source in document.source] == ["qwen", "gemma", "bought"]
    assert document.source[1].origin == "http://127.0.0.1:8000"
    assert document.source[0].origin is None
    assert document.train.dpo.beta == 10
    assert document.budget.requests == 50000
    assert document.pack.budget == "5%"


def test_settings_that_are_left_out_have_the_defaults_of_the_contract() -> None:
    short, full = parse_transfer(SHORT), parse_transfer(FILE)
    assert (short.sample, short.select, short.train, short.fuse) == (
        full.sample, full.select, full.train, full.fuse,
    )  # fmt: skip
    assert short.budget.hours is None
    assert short.pack.budget is None


def test_document_survives_its_plain_form() -> None:
    document = parse_transfer(FILE)
    assert transfer_of(document.to_dict(), "the options") == document


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[pack]", "[pak]", "pak: unknown key; did you mean `pack`?"),
        ("epochs = 3", "epoch = 3", "train.sft.epoch: unknown key; did you mean `epochs`?"),
        ("draws = 4", "draw = 4", "sample.draw: unknown key; did you mean `draws`?"),
        ("terms =", "term =", "source[2].term: unknown key; did you mean `terms`?"),
        ('"./model"', '"https://example.com/model"', "target.base: expected a path, found a URL"),
        ('"prompts.jsonl"', '"file:///etc/passwd"', "prompts.file: expected a path, found a URL"),
        ('"general.jsonl"', '"a\\u0000b"', "prompts.keep: expected a path"),
        ('"answers.jsonl"', '"s3://bucket/x"', "source[2].answers: expected a path, found a URL"),
        ('"acme/math"', '"math"', "target.skill: 'math' is not a skill name"),
        ('"1.0.0"', '"1.0.0+a"', "build metadata"),
        ('"qwen"', '"../qwen"', "source[0].name: '../qwen' is not a plain name"),
        ('name = "bought"', 'name = "qwen"', "source[2].name: duplicate source `qwen`"),
        ('"http://127.0.0.1:8000/v1"', '"ftp://x"', "source[1].endpoint: expected a URL"),
        ('"http://127.0.0.1:8000/v1"', '"http://"', "expected a URL"),
        ('"http://127.0.0.1:8000/v1"', '"http://x:99999/"', "expected a URL"),
        ('"http://127.0.0.1:8000/v1"', '"https://u:p@x/v1"', "name the key's variable"),
        ('"http://127.0.0.1:8000/v1"', '"https://x/v1?key=1"', "without a query"),
        ('"http://127.0.0.1:8000/v1"', '"http://example.com/v1"', "a key unencrypted"),
        ('"GEMMA_KEY"', '"sk-12345 67"', "never the key itself"),
        ('served = "gemma-2-27b"\n', "", "needs `served`"),
        ('model = "./qwen2.5-7b"', 'model = "a"\nanswers = "b"', "expected exactly one of"),
        ('model = "./qwen2.5-7b"', "", "expected exactly one of"),
        ('model = "./qwen2.5-7b"', 'model = "a"\nkey_env = "A"', "belong to an `endpoint`"),
        ("draws = 4", "draws = 0", "sample.draws: expected at least 1"),
        ("draws = 4", "draws = true", "sample.draws: expected a whole number"),
        ("temperature = 0.8", "temperature = -1", "sample.temperature"),
        ("temperature = 0.8", "temperature = nan", "sample.temperature"),
        ("max_tokens = 512", "max_tokens = 100000", "expected at most 8192"),
        ("sft_share = 0.4", 'sft_share = "0.4"', "select.sft_share: expected a number"),
        ("keep_share = 0.2", "keep_share = 1", "train.keep_share"),
        ("keep_share = 0.2", "interpolate = [0]", "train.interpolate"),
        ("keep_share = 0.2", "interpolate = [1, 1.5]", "train.interpolate"),
        ('"answers"\n[budget]', '"average"\n[budget]', "fuse.method"),
        ("hours = 6", "hours = inf", "budget.hours"),
        ('"5%"', '"5 apples"', "pack.budget: invalid budget"),
    ],
)  # fmt: skip
def test_mistake_is_named_with_its_path(old: str, new: str, problem: str) -> None:
    assert FILE.count(old) == 1
    assert problem in problems(FILE.replace(old, new))


def test_missing_tables_are_all_named() -> None:
    found = problems("[sample]\ndraws = 2\n")
    assert all(f"{name}: missing" in found for name in ("target", "source", "prompts"))
    assert "is not TOML" in problems("[target")


def test_number_of_sources_is_limited() -> None:
    source = '[[source]]\nname = "s{}"\nmodel = "m"\n'
    assert "at most 16 entries" in problems(SHORT + "".join(map(source.format, range(16))))


def test_origin_names_the_port() -> None:
    table = SHORT.replace('model = "qwen"', 'endpoint = "https://[::1]/v1"\nserved = "m"')
    assert parse_transfer(table).source[0].origin == "https://[::1]:443"


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    document: TransferFile = parse_transfer(SHORT)
    assert resolved(document.target.base, tmp_path) == tmp_path / "model"
    assert resolved("/models/base", tmp_path) == Path("/models/base")


def test_probes_are_named_in_one_place() -> None:
    text = SHORT + 'probes = "probes.jsonl"\n[pack]\nprobes = "held-out"\n'
    with pytest.raises(SpecError, match=r"pack\.probes: `\[prompts\] probes` names the probes"):
        parse_transfer(text)
