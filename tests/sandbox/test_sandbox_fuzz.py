"""Random `tokenizer.json` files: whatever their library does, this process gets an answer."""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hostile_tokenizers import ABORTS, HUGE, growing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skillpm.running.untrusted_files import UntrustedModelFiles
from skillpm.sandbox.errors import ForeignWorkError

SECONDS = 10.0
EXAMPLES = int(os.environ.get("SKILLPM_FUZZ_EXAMPLES", "1500"))
WORDS = st.text(max_size=6)
PATTERNS = st.one_of(
    st.builds(lambda text: {"String": text}, WORDS),
    st.sampled_from(["(a+)+$", "(?:.|.){18}(?!.|$)", "[", "(?<n>a)\\k<n>", "\\p{L}|"])
    .map(lambda text: {"Regex": text}),
)  # fmt: skip
NUMBERS = st.sampled_from([0, 1, -1, 2**31, 2**32 - 1, 2**63, 10**30, 0.5, 1e308, None, "1"])
NORMALIZERS = st.one_of(
    st.none(),
    st.just(HUGE),
    st.builds(
        lambda pattern, content: {"type": "Replace", "pattern": pattern, "content": content},
        PATTERNS,
        st.text(max_size=40),
    ),
    st.builds(
        lambda times, steps: growing("o", times=times, steps=steps),
        st.integers(1, 300),
        st.integers(1, 8),
    ),
    st.builds(lambda kind: {"type": kind}, st.sampled_from(["NFC", "Lowercase", "Strip", "Odd"])),
    st.builds(lambda text: {"type": "Precompiled", "precompiled_charsmap": text}, WORDS),
)
SPLITS = st.one_of(
    st.none(),
    st.builds(
        lambda pattern, behavior: {
            "type": "Split", "pattern": pattern, "behavior": behavior, "invert": False,
        },
        PATTERNS,
        st.sampled_from(["Isolated", "Removed", "MergedWithNext", "Odd"]),
    ),
    st.builds(
        lambda prefix: {
            "type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True,
            "use_regex": True,
        },
        st.booleans(),
    ),
)  # fmt: skip
VOCABULARY = st.dictionaries(WORDS, st.one_of(st.integers(-1, 9), NUMBERS), max_size=6)
MODELS = st.one_of(
    st.just(ABORTS),
    st.builds(
        lambda vocab, unknown: {"type": "WordLevel", "vocab": vocab, "unk_token": unknown},
        VOCABULARY,
        WORDS,
    ),
    st.builds(
        lambda vocab, merges, prefix: {
            "type": "BPE", "vocab": vocab, "merges": merges, "continuing_subword_prefix": prefix,
        },
        VOCABULARY,
        st.lists(st.one_of(WORDS, st.tuples(WORDS, WORDS)), max_size=4),
        st.one_of(st.none(), WORDS),
    ),
    st.builds(
        lambda pieces, unknown: {"type": "Unigram", "vocab": pieces, "unk_id": unknown},
        st.lists(st.tuples(WORDS, NUMBERS), max_size=5),
        NUMBERS,
    ),
)  # fmt: skip
ADDED = st.lists(
    st.fixed_dictionaries({
        "id": NUMBERS, "content": WORDS, "single_word": st.booleans(), "lstrip": st.booleans(),
        "rstrip": st.booleans(), "normalized": st.booleans(), "special": st.booleans(),
    }),
    max_size=3,
)  # fmt: skip
FILES = st.fixed_dictionaries(
    {"version": st.just("1.0"), "model": MODELS},
    optional={
        "normalizer": NORMALIZERS, "pre_tokenizer": SPLITS, "added_tokens": ADDED,
        "truncation": st.one_of(
            st.none(),
            st.fixed_dictionaries({
                "direction": st.just("Right"), "max_length": NUMBERS, "stride": NUMBERS,
                "strategy": st.just("LongestFirst"),
            }),
        ),
        "padding": st.one_of(
            st.none(),
            st.fixed_dictionaries({
                "strategy": st.fixed_dictionaries({"Fixed": NUMBERS}),
                "direction": st.just("Right"),
                "pad_to_multiple_of": NUMBERS, "pad_id": NUMBERS, "pad_type_id": st.just(0),
                "pad_token": WORDS,
            }),
        ),
    },
)  # fmt: skip
CONFIGS = st.fixed_dictionaries(
    {"tokenizer_class": st.sampled_from(["PreTrainedTokenizerFast", "LlamaTokenizer", "Odd"])},
    optional={
        "unk_token": WORDS, "pad_token": WORDS, "model_max_length": NUMBERS,
        "chat_template": st.just("{% for a in range(10**9) %}x{% endfor %}"),
        "auto_map": st.just({"AutoTokenizer": ["evil.Evil", None]}),
    },
)  # fmt: skip


@pytest.fixture(scope="module")
def foreign() -> UntrustedModelFiles:
    return UntrustedModelFiles(seconds=SECONDS)


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(file=FILES, config=CONFIGS, text=st.text(alphabet="ao1 \n\u00e9", max_size=200))
def test_random_tokenizer_file_is_answered_or_stopped(
    file: dict[str, Any], config: dict[str, Any], text: str, foreign: UntrustedModelFiles
) -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tokenizer.json").write_text(json.dumps(file))
        (Path(folder) / "tokenizer_config.json").write_text(json.dumps(config))
        try:
            ids = foreign.tokenizer(Path(folder))(text, truncation=False)["input_ids"]
        except ForeignWorkError as problem:
            assert str(problem).isprintable()  # noqa: PT017 - either way is right
        else:
            assert all(isinstance(one, int) and one >= 0 for one in ids)
    assert time.monotonic() - started < 60, "a busy machine has time to start the sandbox again"
