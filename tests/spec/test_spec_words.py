"""Words of messages and hints."""

import pytest

from skillpm.spec.words import base_option


@pytest.mark.parametrize(("name", "option"), [
    ("base", "`--base ./base`"),
    ("acme/base", "`--base acme/base`"),
    ("a/b/c", "`--base ./a/b/c`"),
    ("my base; ls", "`--base './my base; ls'`"),
    ("../x", "`--base ./../x`"),
])  # fmt: skip
def test_hint_names_a_folder_or_a_model_of_the_hub(name: str, option: str) -> None:
    assert base_option(name) == option
