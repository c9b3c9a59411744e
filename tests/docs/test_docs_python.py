"""`docs/how-to/python.md` is true: its code runs, and its tables have the names of the API."""

import inspect
import re

import pytest
from skillpm_world import REPOSITORY, World
from tiny_learners import tokenizer
from tiny_models import Models, copy_model

import skillpm

PAGE = (REPOSITORY / "docs" / "how-to" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
ROWS = re.findall(r"^\| `(\w+)\(([^)]*)\)` \|", PAGE, flags=re.MULTILINE)
ROWS_OF_IDS = [{"input_ids": [1, 2, 3, 4], "labels": [1, 2, 3, 4]}] * 4
"""What the page's Trainer learns."""


def parameters(method: str) -> list[str]:
    """The parameters of a method of `Project` as the page writes them: `*`, `*skills`, `dry_run`.

    Parameters after `*skills` are keywords, so that `*` alone is left out there.
    """
    found = list(inspect.signature(getattr(skillpm.Project, method)).parameters.values())[1:]
    names: list[str] = []
    for parameter in found:
        is_keyword = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        if is_keyword and not any(name.startswith("*") for name in names):
            names.append("*")
        is_variadic = parameter.kind is inspect.Parameter.VAR_POSITIONAL
        names.append(f"*{parameter.name}" if is_variadic else parameter.name)
    return names


@pytest.mark.filterwarnings("ignore:'pin_memory' argument:UserWarning")  # the page's Trainer
def test_the_code_of_the_page_runs(
    world: World, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, tuned = models.pair("fp32")
    base = copy_model(plain, world.folder / "base")
    tokenizer().save_pretrained(base)
    probes = world.folder / "probes.jsonl"
    probes.write_text('{"text": "the cat sat on the mat"}\n')
    for name in ("acme/math", "acme/sql"):
        pack = world.pack((base, tuned), name, "1.0.0", "--probes", probes)
        world.ask("publish", pack)
    skillpm.init_project(world.project, base).close()
    (world.project / "base").symlink_to(base)
    (world.project / "tuned").symlink_to(tuned)
    monkeypatch.chdir(world.project)
    code = compile("\n".join(BLOCKS), "docs/how-to/python.md", "exec")
    exec(code, {"rows": ROWS_OF_IDS})  # noqa: S102 - the page is ours
    assert (world.project / "acme-math-1.0.0.skillpack").is_file()
    assert (world.project / "out" / "acme-dates-1.0.0.skillpack").is_file()


@pytest.mark.parametrize(("method", "listed"), ROWS, ids=[method for method, _ in ROWS])
def test_a_row_of_the_table_has_the_parameters_of_the_method(method: str, listed: str) -> None:
    assert [name for name in listed.split(", ") if name] == parameters(method)


def test_the_page_lists_every_method_of_a_project() -> None:
    public = {
        name
        for name, _ in inspect.getmembers(skillpm.Project, inspect.isfunction)
        if not name.startswith("_")
    }
    assert public - {"close"} == {method for method, _ in ROWS}


def test_the_page_names_every_exported_error() -> None:
    section = PAGE.partition("\n## Errors\n")[2].partition("\n## ")[0]
    errors = {name for name in skillpm.__all__ if name.endswith("Error")}
    assert errors == set(re.findall(r"`(?:skillpm\.)?(\w+Error)`", section))
