"""`inspect --plot`: contents of the picture, and refusals."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import pairwise
from math import isnan
from pathlib import Path
from typing import Any

import pytest
from changed_packs import with_settings
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from skillpm_world import PACKAGES, World
from tiny_models import Models, Pair

from skillpm.archive.reader import open_pack
from skillpm.delta.tensors.module_kinds import KINDS
from skillpm.errors import SpecError
from skillpm.flows.inspect.picture import _column, _columns, _layers, picture_of
from skillpm.pictures.canvas import figure_file
from skillpm.pictures.draw import draw
from skillpm.pictures.formats import Format
from skillpm.pictures.parts import Column, Curve, KindSummary, LayerTable, Picture
from skillpm.spec.manifest import FootprintEntry

LAYERS = (Column("model.layers", "0"), Column("model.layers", "1"))
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def pair(models: Models) -> Pair:
    return models.pair("fp32")


def texts(figure: Figure) -> list[str]:
    """Every text of a figure, in the order of its panels."""
    inside = [text.get_text() for axes in figure.axes for text in axes.texts]
    return [text.get_text() for text in figure.texts] + inside


def bars(axes: Axes) -> dict[str, list[float]]:
    """The height of each kind's segment of the bar of each layer."""
    found: dict[str, list[float]] = {}
    for patch in axes.patches:
        tops, _, floors = patch.get_data()  # type: ignore[attr-defined]
        found[str(patch.get_label())] = (tops - floors)[::2].tolist()
    return found


def _points(line: Any) -> tuple[list[float], list[float]]:
    """The coordinates of a line of a plot."""
    return list(line.get_xdata()), list(line.get_ydata())


def test_plot_shows_every_byte_by_kind_and_layer(world: World, pair: Pair) -> None:
    pack = open_pack(world.pack(pair, "acme/math", "1.0.0", "--scheme", "graftllm"))
    picture = picture_of(pack)
    modules = pack.manifest.compression.modules
    assert {one.kind: one.bytes for one in picture.kinds} == {
        k: m.bytes for k, m in modules.items()
    }
    assert picture.layers.columns == LAYERS
    stored = sum(module.bytes for module in modules.values())
    assert picture.layers.total + picture.layers.outside == stored
    figure = draw(picture)
    assert len(figure.axes) == 3
    heights = bars(figure.axes[1])
    assert heights.keys() == {"attention", "MLP", "norm"}
    attention = picture.layers.bytes[KINDS.index("attention")]
    assert heights["attention"] == pytest.approx([(cell or 0) / 1000 for cell in attention])


def test_sizes_and_errors_are_those_that_inspect_prints(world: World, pair: Pair) -> None:
    path = world.pack(pair, "acme/math", "1.0.0", "--scheme", "graftllm")
    shown = world.run("inspect", path).out
    pack = open_pack(path)
    written = texts(draw(picture_of(pack)))
    assert written[0] == "acme/math 1.0.0"
    size = next(line for line in shown.splitlines() if line.startswith("size "))
    assert written[1] == size.removeprefix("size").strip()
    error = next(line for line in shown.splitlines() if line.startswith("error "))
    assert error.removeprefix("error").strip() in written[2]
    for module in pack.manifest.compression.modules.values():
        error_text = f"{module.relative_error:.3g}" if module.relative_error else "exact"
        assert error_text in written


def test_lossless_pack_has_no_error_and_no_curve(world: World, pair: Pair) -> None:
    picture = picture_of(open_pack(world.pack(pair, "acme/math", "1.0.0")))
    figure = draw(picture)
    assert not picture.lossy
    assert picture.curve is None
    assert [len(figure.axes), "relative error" in texts(figure)] == [3, False]
    assert texts(figure)[2].endswith("exact")


def test_bits_are_those_stored_for_each_weight(world: World, pair: Pair) -> None:
    pack = open_pack(world.pack(pair, "acme/math", "1.0.0"))
    layers = picture_of(pack).layers
    weights = sum(
        entry.spec.elements
        for entry in pack.manifest.footprint
        if entry.tensor.startswith("model.layers.1.mlp")
    )
    mlp = KINDS.index("mlp")
    stored, bits = layers.bytes[mlp][1], layers.bits[mlp][1]
    assert stored
    assert bits == pytest.approx(8 * stored / weights)
    axes = draw(picture_of(pack)).axes[2]
    lines = {line.get_label(): _points(line)[1] for line in axes.lines}
    assert lines["MLP"] == list(layers.bits[mlp])


def test_plot_shows_the_recorded_curve_and_the_payload(
    world: World, pair: Pair, tmp_path: Path
) -> None:
    plain = open_pack(world.pack(pair, "acme/math", "1.0.0"))
    own = plain.manifest.compression.payload_bytes
    curve = [[own * 100, 0.0001], [own / 4, 0.4], [own * 4, 0.1]]
    pack = with_settings(plain, tmp_path / "curve.skillpack", curve=curve)
    axes = draw(picture_of(pack)).axes[3]
    assert axes.get_xscale() == "log"
    assert _points(axes.lines[0])[1] == pytest.approx([40.0, 10.0, 0.01])
    drawn = _points(axes.lines[0])[0]
    assert drawn == pytest.approx([drawn[0], 16 * drawn[0], 400 * drawn[0]])
    assert _points(axes.lines[1])[0] == pytest.approx([4 * drawn[0]] * 2)


def test_curve_of_an_auto_pack_is_drawn(world: World, pair: Pair) -> None:
    pack = open_pack(world.pack(pair, "acme/math", "1.0.0", "--keep", "0.9"))
    picture = picture_of(pack)
    assert picture.lossy
    assert picture.curve is not None
    recorded = pack.manifest.compression.settings["curve"]
    assert list(picture.curve.points) == sorted((size, lost) for size, lost in recorded)
    assert picture.curve.payload == pack.manifest.compression.payload_bytes
    assert len(draw(picture).axes) == 4


@pytest.mark.parametrize("curve", [[[1, 2], [3]], [], [[1, -1]], [[True, 0.5]]])
def test_invalid_curve_is_refused_by_name(
    world: World, pair: Pair, tmp_path: Path, curve: Any
) -> None:
    plain = open_pack(world.pack(pair, "acme/math", "1.0.0"))
    pack = with_settings(plain, tmp_path / "odd.skillpack", curve=curve)
    with pytest.raises(SpecError, match=r"compression\.settings\.curve"):
        picture_of(pack)


def test_plot_is_written_and_overwritten_atomically(world: World, pair: Pair) -> None:
    path = world.pack(pair, "acme/math", "1.0.0")
    plot = world.project / "math.PNG"
    outcome = world.run("inspect", path, "--plot", plot)
    assert (outcome.code, outcome.err) == (0, f"wrote {plot}\n")
    first = plot.read_bytes()
    assert first.startswith(b"\x89PNG\r\n\x1a\n")
    plot.write_bytes(b"another picture")
    assert world.ask("inspect", path, "--plot", plot)["manifest"]["version"] == "1.0.0"
    assert plot.read_bytes() == first
    assert list(world.project.glob(".*")) == []


def test_ending_chooses_the_format_and_the_bytes_are_reproducible(world: World, pair: Pair) -> None:
    path = world.pack(pair, "acme/math", "1.0.0")
    first = {}
    for ending, magic in (("svg", b"<?xml"), ("pdf", b"%PDF")):
        plot = world.project / f"math.{ending}"
        world.ask("inspect", path, "--plot", plot)
        first[ending] = plot.read_bytes()
        assert first[ending].startswith(magic)
    written = [text.text for text in ET.fromstring(first["svg"]).iter(f"{SVG}text")]  # noqa: S314
    assert {"acme/math 1.0.0", "By kind of module", "MLP"} <= set(written)
    formats: tuple[Format, ...] = ("svg", "pdf")
    picture = picture_of(open_pack(path))
    assert {kind: figure_file(draw(picture), kind) for kind in formats} == first


def test_plot_refuses_other_names_damaged_packs_and_missing_folders(
    world: World, pair: Pair, tmp_path: Path
) -> None:
    path = world.pack(pair, "acme/math", "1.0.0")
    message = world.fail("inspect", path, "--plot", "math.gif", code=2, kind="usage")
    assert "`.png`, `.svg`, `.pdf`, found `math.gif`" in message
    assert "--plot math.png" in message
    for name in ("-", ".png", "math"):
        world.fail("inspect", path, "--plot", name, code=2, kind="usage")
    world.fail("inspect", path, "--plot", tmp_path / "no" / "a.png", code=1, kind="state")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    world.fail("inspect", path, "--plot", "math.png", code=3, kind="integrity")
    assert list(world.project.iterdir()) == []


def test_plot_without_matplotlib_suggests_the_install_command(world: World, pair: Pair) -> None:
    path = world.pack(pair, "acme/math", "1.0.0")
    code = (
        "import sys; sys.modules['matplotlib'] = None; from skillpm.cli import main; "
        "main(['inspect', sys.argv[1], '--plot', 'a.png'])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env={"PYTHONPATH": PACKAGES, "SKILLPM_HOME": str(world.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert "pip install 'skillpm-graft[plot]'" in ran.stderr
    assert not (world.project / "a.png").exists()


def test_layers_are_in_order_with_short_gaps_filled() -> None:
    digits = "9" * 5000
    names = ("embed", "a.10.x", "a.2.x", f"b.{digits}.x", "b.007.x", "c.5000.x", "9.x")
    placed = [_column(f"{name}.weight") for name in names]
    assert placed[0] is None
    columns = _columns({column for column in placed if column is not None})
    stacks = {stack: [one.number for one in columns if one.stack == stack] for stack in "abc"}
    assert stacks == {"a": [str(n) for n in range(11)], "b": ["7", digits], "c": ["5000"]}


def _entry(tensor: str) -> FootprintEntry:
    digest = "sha256:" + "0" * 64
    return FootprintEntry.model_validate(
        {"tensor": tensor, "change": "changed", "shape": (2, 2), "dtype": "F32", "leaf": digest,
         "result": digest, "codec": "lossless", "layer": digest}
    )  # fmt: skip


def test_only_the_largest_stacks_are_drawn_and_the_others_are_counted() -> None:
    footprint = [_entry(f"s{number}.0.mlp.weight") for number in range(3000)]
    layers = _layers(footprint, {e.tensor: n for n, e in enumerate(footprint)})
    assert len(layers.columns) == 6
    assert {column.stack for column in layers.columns} == {f"s{n}" for n in range(2994, 3000)}
    assert layers.hidden == 2994
    assert layers.hidden_bytes + layers.total == sum(range(3000))
    figure = draw(Picture("a", ("b", "c"), (), layers, lossy=False, curve=None))
    assert any("2994 smaller stacks" in text for text in texts(figure))


def _many(stacks: dict[str, int]) -> Picture:
    """A picture of all kinds in stacks of layers, with texts as long as they may be."""
    columns = tuple(Column(name, str(n)) for name, count in stacks.items() for n in range(count))
    row = tuple(float(10 + place % 7) ** 3 for place in range(len(columns)))
    cells = tuple(row for _ in KINDS)
    kinds = tuple(KindSummary(kind, 123_456_789, 0.123456) for kind in KINDS)
    curve = Curve(((1.0, 1.0), (9e7, 0.5)), 5)
    layers = LayerTable(columns, cells, cells, 10**9, 12345, 10**9)
    title = f"{'a' * 64}/{'b' * 64} 10.20.30-alpha.1"
    return Picture(title, ("f" * 300, "$x^2$ \x1b\n" * 40), kinds, layers, lossy=True, curve=curve)


@pytest.mark.parametrize(
    "stacks",
    [
        {"model.layers": 2},
        {"": 200},
        {"encoder.block": 12, "decoder.block": 12},
        {
            "vision.$\n<&>\x1b" * 9: 40,
            "model.language_model.layers": 80,
            "a": 1,
            "b": 1,
            "c" * 80: 3,
        },
    ],
)
def test_no_label_overlaps_another_or_leaves_the_picture(stacks: dict[str, int]) -> None:
    figure = draw(_many(stacks))
    figure.canvas.draw()
    frame = figure.bbox
    for axes in figure.axes:
        ticks = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert all(one.x1 < two.x0 for one, two in pairwise(ticks))
    everything = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    boxes = [text.get_window_extent() for text in everything]
    for number, box in enumerate(boxes):
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1, everything[number].get_text()
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1, everything[number].get_text()
        assert not any(box.overlaps(other) for other in boxes[:number]), everything[number]
    for text in everything:
        assert text.get_text().isprintable()


def test_lines_are_broken_between_stacks() -> None:
    axes = draw(_many({"encoder": 3, "decoder": 2})).axes[2]
    heights = _points(axes.lines[0])[1]
    assert [isnan(height) for height in heights] == [False] * 3 + [True] + [False] * 2


def test_pack_without_tensors_says_so() -> None:
    layers = LayerTable((), (), (), 0)
    figure = draw(Picture("a/b 1.0.0", ("x", "y"), (), layers, lossy=False, curve=None))
    assert "The pack stores no tensor." in texts(figure)
    assert figure.axes == []
