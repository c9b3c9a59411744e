"""The script that measures the source, on a small checkout."""

from pathlib import Path

from benchmarks.structure import in_cycles, shape, table_of

FILES = {
    "skillpm/__init__.py": "",
    "skillpm/cli/__init__.py": "",
    "skillpm/cli/app.py": (
        "from typing import Any\n\nfrom skillpm.spec import names\n\n\n"
        "def run(**flags: Any) -> dict[str, Any]:\n"
        "    return {**flags, 'names': names}\n"
    ),
    "skillpm/spec/__init__.py": "",
    "skillpm/spec/names.py": '"""Nobody."""\n\n\nclass Name: ...\n',
    "skillpm/spec/versions.py": "class Name: ...\n",
    "registry/skillpm_registry/__init__.py": "from skillpm.spec import names, versions\n",
    "docs/page.md": "It is told from the manifests.\n",
}


def test_figures_of_a_checkout_are_counted(tmp_path: Path) -> None:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    found = shape(tmp_path)
    client = found.parts["skillpm"]
    assert (client.files, client.functions, client.longest) == (6, 1, 2)
    assert client.longest_function == "skillpm/cli/app.py:run"
    assert (found.arrows, found.imports) == (2, 3)
    assert not found.cycles
    assert found.repeated_classes == {"Name": 2}
    assert {part: n for part, n in found.banned_words.items() if n} == {"skillpm": 1, "docs": 1}
    assert (found.untyped_dicts, found.untyped_flags) == (1, 1)
    assert "| class names defined more than once | 1 Name (2) |" in table_of(found)


def test_modules_that_import_each_other_are_named() -> None:
    pairs = [("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")]
    assert in_cycles(pairs) == ("b", "c")
    assert in_cycles([("a", "b"), ("b", "c"), ("a", "a")]) == ()
