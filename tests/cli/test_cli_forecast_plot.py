"""`install --dry-run --plot`: the heat map of a forecast."""

from matplotlib.figure import Figure
from skillpm_world import World

from skillpm.pictures.heat import LIMIT, HeatMap, draw_heat
from skillpm.spec.forecast import Forecast, PairForecast, SkillForecast, level_of
from skillpm.spec.names import SkillName


def _skill(name: str) -> SkillName:
    return SkillName.parse(f"acme/{name}")


def _pair(a: str, b: str, to_a: float | None, to_b: float | None) -> PairForecast:
    return PairForecast(_skill(a), _skill(b), 1.0, 0.5, 0.1, to_a, to_b, "low")


def _total(name: str, harm: float | None) -> SkillForecast:
    return SkillForecast(_skill(name), harm, level_of(harm))


def _cells(figure: Figure) -> dict[tuple[float, float], str]:
    (axes,) = figure.axes
    return {text.get_position(): text.get_text() for text in axes.texts}


def test_each_row_shows_what_its_skill_loses() -> None:
    pairs = (_pair("a", "b", 0.123, 1.5), _pair("a", "c", None, 0.0))
    forecast = Forecast(pairs, (_total("a", 0.6), _total("b", 1.2), _total("c", None)), ())
    figure = draw_heat(HeatMap.of(forecast))
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["acme/a", "acme/b", "acme/c"]
    assert [label.get_text() for label in axes.get_xticklabels()][-1] == "all others"
    cells = _cells(figure)
    assert (cells[1, 0], cells[0, 1]) == ("12", ">100")
    assert (cells[2, 0], cells[0, 2]) == ("?", "0")
    assert [cells[3.3, row] for row in range(3)] == ["60", ">100", "?"]
    assert (0, 0) not in cells, "a skill loses nothing to itself"
    assert (2, 1) not in cells, "this pair is not in the forecast"
    levels = [str(patch.get_label()) for patch in axes.patches]
    assert levels == ["low", "unknown", "high", "high", "high", "none", "unknown"]


def test_skills_that_lose_least_are_left_out_and_counted() -> None:
    names = [f"s{number:03}" for number in range(LIMIT + 5)]
    totals = tuple(_total(name, number / 100) for number, name in enumerate(names))
    heat = HeatMap.of(Forecast((), totals, ()))
    assert heat.skills == tuple(f"acme/{name}" for name in names[5:])
    assert any("5 more skills" in text.get_text() for text in draw_heat(heat).texts)


def test_names_stay_in_the_picture() -> None:
    name = "a" * 60
    pairs = (_pair(name, "b", 0.1, 0.1),)
    forecast = Forecast(pairs, (_total(name, 0.1), _total("b", 0.1)), ())
    figure = draw_heat(HeatMap.of(forecast))
    figure.canvas.draw()
    (axes,) = figure.axes
    labels = [*axes.get_xticklabels(), *axes.get_yticklabels(), *figure.texts]
    for label in labels:
        box = label.get_window_extent()
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1, label.get_text()
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1, label.get_text()


def test_dry_run_draws_the_forecast_and_changes_nothing_else(market: World) -> None:
    plot = market.project / "forecast.svg"
    planned = ("install", "acme/tone", "--dry-run")
    plain = market.ask(*planned)
    assert market.ask(*planned, "--plot", plot) == plain
    text = plot.read_text()
    assert ">acme/math<" in text
    assert ">acme/tone<" in text
    assert market.installed() == {"acme/math": "1.0.0"}


def test_plot_without_a_plan_or_without_two_skills_is_refused(market: World) -> None:
    message = market.fail("install", "acme/tone", "--plot", "a.png", code=2, kind="usage")
    assert "`--plot` needs `--dry-run`" in message
    market.fail("upgrade", "--dry-run", "--plot", "a.gif", code=2, kind="usage")
    message = market.fail("upgrade", "--dry-run", "--plot", "a.png", code=1, kind="state")
    assert "merges no two skills" in message
    assert not list(market.project.glob("a.*"))
