"""The forecast of a dry run: which skills a merge would harm."""

import json

import pytest
from skillpm_world import World
from tiny_models import Models, Pair

KEYS = {"a", "b", "overlap", "cosine", "cosine_error", "harm_to_a", "harm_to_b", "level"}


def test_dry_run_forecasts_the_pairs_of_added_skills(market: World) -> None:
    found = market.ask("install", "acme/sql", "--dry-run")
    (pair,) = found["forecast"]
    assert pair.keys() == KEYS
    assert (pair["a"], pair["b"], pair["overlap"]) == ("acme/math", "acme/sql", 0.0)
    assert [one["skill"] for one in found["forecast_skills"]] == ["acme/math", "acme/sql"]
    assert found["forecast_notes"] == []


def test_forecast_downloads_documents_and_no_payload(market: World) -> None:
    def blobs() -> set[str]:
        store = market.home / "store"
        return {path.name for path in store.rglob("*") if path.is_file() and len(path.name) == 64}

    path = market.folder / "acme-tone-1.0.0.skillpack"
    footprint = market.ask("inspect", path)["manifest"]["footprint"]
    layers = {str(entry["layer"]).partition(":")[2] for entry in footprint}
    before = blobs()
    assert before
    assert len(market.ask("install", "acme/tone", "--dry-run")["forecast"]) == 1
    assert len(blobs() - before) == 2
    assert layers
    assert not layers & blobs()
    market.ask("install", "acme/tone")
    assert layers <= blobs()


def test_incomparable_packs_have_an_unknown_forecast_with_a_reason(market: World) -> None:
    (pair,) = market.ask("install", "acme/sql", "--dry-run")["forecast"]
    assert (pair["harm_to_a"], pair["harm_to_b"], pair["level"]) == (None, None, "unknown")
    shown = market.run("install", "acme/sql", "--dry-run")
    assert shown.err.count("cannot be compared unless both record a gain") == 1
    assert "lose" not in shown.out.replace("loses", "")


def test_explain_forecasts_every_pair(market: World) -> None:
    market.ask("install", "acme/sql")
    asked = ("install", "acme/tone", "--dry-run")
    assert len(market.ask(*asked)["forecast"]) == 2
    assert len(market.ask(*asked, "--explain")["forecast"]) == 3
    assert len(market.ask("upgrade", "--dry-run", "--explain")["forecast"]) == 1
    assert market.ask("upgrade", "--dry-run")["forecast"] == []


def test_explain_without_dry_run_is_refused(market: World) -> None:
    for command in (("install", "acme/sql"), ("upgrade",)):
        assert "--dry-run" in market.fail(*command, "--explain", code=2, kind="usage")


def test_applied_change_has_no_forecast(market: World) -> None:
    assert not {key for key in market.ask("install", "acme/sql") if key.startswith("forecast")}


def test_plan_with_a_forecast_is_applied(market: World) -> None:
    plan = market.folder / "plan.json"
    plan.write_text(json.dumps(market.ask("install", "acme/sql", "--dry-run", "--explain")))
    market.ask("apply", plan)
    assert market.installed() == {"acme/math": "1.0.0", "acme/sql": "1.0.0"}


def test_text_output_has_a_table_and_the_affected_skills(market: World) -> None:
    shown = market.run("install", "acme/tone", "--dry-run")
    assert shown.code == 0
    assert "what a merge by `sum` would cost" in shown.out
    row = next(line for line in shown.out.splitlines() if line.startswith("acme/math  acme/tone"))
    assert "100%" in row
    assert row.endswith("high (claimed)")
    assert "not verified on this base yet: acme/tone" in shown.err
    assert "acme/math (installed) would lose " in shown.out
    assert "graft.mode routed" in shown.err
    assert market.run("install", "acme/tone", "--dry-run", "-q").err == ""


def test_forecast_notes_another_merge_method_or_routed_mode(market: World) -> None:
    text = market.file.read_text()
    asked = ("install", "acme/tone", "--dry-run")
    market.file.write_text(text + '\n[graft]\nmethod = "ties"\n')
    found, shown = market.ask(*asked), market.run(*asked)
    assert (len(found["forecast"]), found["forecast_method"]) == (1, "sum")
    assert "`[graft]` sets `ties`" in found["forecast_notes"][0]
    assert "a merge by `sum` would cost" in shown.out
    assert "`[graft]` sets `ties`" in shown.err

    market.file.write_text(text + '\n[graft]\nmode = "routed"\n')
    found, shown = market.ask(*asked), market.run(*asked)
    assert (found["forecast"], found["forecast_skills"], found["forecast_method"]) == ([], [], None)
    assert "nothing is merged" in found["forecast_notes"][0]
    assert "nothing is merged" in shown.err
    assert "lose" not in shown.out


def test_cosine_within_its_error_is_shown_as_possibly_zero(market: World) -> None:
    found = market.ask("install", "acme/sql", "--dry-run")["forecast"][0]
    assert abs(found["cosine"]) < 2 * found["cosine_error"]
    assert "(0?)" in market.run("install", "acme/sql", "--dry-run").out


def test_single_skill_has_no_forecast(world: World, math: Pair) -> None:
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    assert "forecast" not in world.run("install", "acme/math", "--dry-run").out
    assert world.ask("install", "acme/math", "--dry-run")["forecast"] == []


def test_long_forecast_shows_the_worst_pairs(market: World, models: Models) -> None:
    for number in range(11):
        market.ask("install", market.pack(models.tuned("norm", 5), f"acme/n{number}", "1.0.0"))
    shown = market.run("install", "acme/tone", "--dry-run").out
    assert "and 2 pairs with the same or less harm; `--explain` shows all" in shown


def test_install_with_forecast_harm_warns_with_remedies(market: World) -> None:
    shown = market.run("install", "acme/tone", "-y")
    assert shown.code == 0
    assert "warning: `acme/math` is forecast to lose" in shown.err
    assert "graft.mode routed" in shown.err
    assert "--guard" in shown.err
    assert set(market.installed()) == {"acme/math", "acme/tone"}


def test_declining_to_continue_changes_nothing(
    market: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(question: str) -> bool:
        asked.append(question)
        return False

    monkeypatch.setattr("skillpm.cli.state.can_ask", lambda: True)
    monkeypatch.setattr("skillpm.cli.state.confirm", refuse)
    shown = market.run("install", "acme/tone")
    assert shown.code == 1
    assert "`acme/math` is forecast to lose" in asked[0]
    assert "nothing was changed" in shown.err
    assert market.installed() == {"acme/math": "1.0.0"}


def test_routed_skills_are_installed_without_a_warning(market: World) -> None:
    market.file.write_text(market.file.read_text() + '\n[graft]\nmode = "routed"\n')
    assert "warning" not in market.run("install", "acme/tone").err
