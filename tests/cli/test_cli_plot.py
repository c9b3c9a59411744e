"""`inspect --plot`: contents of the picture, and refusals."""

import subprocess
import sys
from itertools import pairwise
from math import isnan, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from safetensors.numpy import load_file
from skillpm_world import PACKAGES, World
from tiny_models import Models, Pair

from skillpm.archive.reader import PackFile, open_pack
from skillpm.archive.writer import write_archive
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.errors import SpecError
from skillpm.flows.inspect.picture import _column, _columns, picture_of
from skillpm.pictures.draw import draw, png
from skillpm.pictures.parts import Column, Curve, Picture
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Manifest

LAYERS = (Column(None, ""), Column("model.layers", "0"), Column("model.layers", "1"))


@pytest.fixture
def pair(models: Models) -> Pair:
    return models.pair("fp32")


def _image(axes: Axes) -> list[list[float | None]]:
    values = axes.images[0].get_array()
    assert values is not None
    filled = np.ma.filled(values.astype(float), np.nan)
    return [[None if isnan(one) else one for one in row] for row in filled.tolist()]


def _line(axes: Axes, number: int) -> list[tuple[float, float]]:
    points = np.asarray(axes.lines[number].get_xydata())
    return [(float(x), float(y)) for x, y in points]


def _with_settings(pack: PackFile, path: Path, **more: Any) -> PackFile:
    """The same pack, whose manifest records more settings."""
    plain = pack.manifest.to_dict()
    plain["compression"]["settings"] |= more
    config = Manifest.model_validate(plain).canonical()
    digest = Digest.of(config)
    described = pack.image.config.model_copy(update={"digest": digest, "size": len(config)})
    image = pack.image.model_copy(update={"config": described})
    blobs: dict[Digest, Path | bytes] = {
        layer: pack.blobs[layer].read(0, size)
        for layer, size in pack.image.blobs.items()
        if layer != pack.image.config.digest
    }
    write_archive(path, image.canonical(), str(pack.manifest.version), {**blobs, digest: config})
    return open_pack(path)


def test_plot_shows_every_byte_by_layer_and_kind(world: World, pair: Pair) -> None:
    path = world.pack(pair, "acme/math", "1.0.0", "--scheme", "graftllm")
    found = open_pack(path)
    picture = picture_of(found)
    assert picture.columns == LAYERS
    assert picture.kinds == ("embedding", "head", "attention", "mlp", "norm")
    by_kind = {
        kind: sum(cell or 0 for cell in row)
        for kind, row in zip(picture.kinds, picture.bytes, strict=True)
    }
    assert by_kind == {k: one.bytes for k, one in found.manifest.compression.modules.items()}
    shown = _image(draw(picture).axes[0])
    wanted = [[None if not one else one / 1000 for one in row] for row in picture.bytes]
    assert shown == [[None if one is None else pytest.approx(one) for one in r] for r in wanted]
    assert shown[0][1] is shown[1][2] is shown[2][0] is None
    assert shown[4][0] is not None  # the last norm is in no layer


def test_plot_shows_the_error_of_each_kind_and_marks_exact_ones(world: World, pair: Pair) -> None:
    found = open_pack(world.pack(pair, "acme/math", "1.0.0", "--scheme", "graftllm"))
    picture = picture_of(found)
    modules = found.manifest.compression.modules
    assert picture.errors[2] == (None, *[pytest.approx(modules["attention"].relative_error)] * 2)
    assert picture.errors[4] == (0.0, 0.0, 0.0)
    axes = draw(picture).axes[1]
    assert _image(axes)[4] == [None, None, None]
    marked = axes.images[1].get_array()
    assert marked is not None
    assert (marked[4] == 1.0).all()  # white: exact
    assert np.ma.getmaskarray(marked)[:4].all() or np.isnan(np.ma.filled(marked[:4], np.nan)).all()


def test_plot_shows_recorded_errors_of_tensors(world: World, pair: Pair, tmp_path: Path) -> None:
    plain = open_pack(world.pack(pair, "acme/math", "1.0.0", "--scheme", "graftllm"))
    table = {f"model.layers.0.mlp.{name}_proj.weight": 0.1 for name in ("gate", "up")}
    found = _with_settings(plain, tmp_path / "more.skillpack", errors=table)
    row = picture_of(found).errors[3]
    kind = plain.manifest.compression.modules["mlp"].relative_error
    assert kind is not None
    assert row[1] == pytest.approx(sqrt((2 * 0.1**2 + kind**2) / 3))
    assert row[2] == pytest.approx(kind)


def test_plot_shows_the_recorded_curve(world: World, pair: Pair, tmp_path: Path) -> None:
    plain = open_pack(world.pack(pair, "acme/math", "1.0.0"))
    own = plain.manifest.compression.payload_bytes
    curve = [[own * 100, 0.0001], [own / 4, 0.4], [own * 4, 0.1]]
    found = _with_settings(plain, tmp_path / "curve.skillpack", curve=curve)
    axes = draw(picture_of(found)).axes[2]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    wanted = [(own / 4000, 0.4), (own / 250, 0.1), (own / 10, 0.0001)]
    assert _line(axes, 0) == [pytest.approx(point) for point in wanted]
    assert _line(axes, 1) == [pytest.approx((own / 1000, 0.2))]
    flat = [[own, 0.5], [2 * own, 0.0]]
    found = _with_settings(plain, tmp_path / "flat.skillpack", curve=flat)
    axes = draw(picture_of(found)).axes[2]
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "linear")
    assert _line(axes, 1) == [pytest.approx((own / 1000, 0.5))]


@pytest.mark.parametrize(
    "settings",
    [{"curve": [[1, 2], [3]]}, {"curve": []}, {"curve": [[1, -1]]}, {"curve": [[True, 0.5]]},
     {"errors": [0.5]}, {"errors": {"a": "b"}}],
)  # fmt: skip
def test_invalid_tables_are_refused_by_name(
    world: World, pair: Pair, tmp_path: Path, settings: dict[str, Any]
) -> None:
    plain = open_pack(world.pack(pair, "acme/math", "1.0.0"))
    found = _with_settings(plain, tmp_path / "odd.skillpack", **settings)
    with pytest.raises(SpecError, match=rf"compression\.settings\.{min(settings)}"):
        picture_of(found)


def test_pack_without_a_curve_gets_one_from_its_layers(world: World, pair: Pair) -> None:
    found = open_pack(world.pack(pair, "acme/math", "1.0.0", "--scheme", "graftllm"))
    curve = picture_of(found).curve
    sizes, lost = zip(*curve.points, strict=True)
    assert list(sizes) == sorted(sizes)
    assert list(lost) == sorted(lost, reverse=True)
    assert curve.points[0] == (0.0, 1.0)
    error = found.manifest.compression.relative_error
    assert curve.points[-1] == curve.own
    assert curve.own == pytest.approx((sizes[-1], error))
    # The sort order is that of the decoded deltas' energies.
    base = load_file(pair[0] / "model.safetensors")
    opened = OpenPack.of(found.manifest, found.open_layer)
    deltas = {name: opened.decoder(name, found_spec(found, name)).delta_of(0) for name in base}
    energy = {name: float((d**2).sum()) for name, d in deltas.items() if d is not None}
    first = max(energy, key=lambda name: energy[name] / stored(opened, name))
    assert sizes[1] == stored(opened, first)


def found_spec(pack: PackFile, tensor: str) -> Any:
    return next(one.spec for one in pack.manifest.footprint if one.tensor == tensor)


def stored(opened: OpenPack, tensor: str) -> int:
    layer = opened.entries[tensor].layer
    assert layer is not None
    return opened.reader(layer).stored_bytes(tensor)


def test_curve_of_a_lossless_pack_counts_weights_equally(world: World, pair: Pair) -> None:
    found = open_pack(world.pack(pair, "acme/math", "1.0.0"))
    curve = picture_of(found).curve
    assert curve.own[1] == curve.points[-1][1] == pytest.approx(0.0, abs=1e-7)
    assert "all changed weights count the same" in curve.title
    assert len(curve.points) == len(found.manifest.footprint) + 1
    assert draw(picture_of(found)).axes[2].get_yscale() == "linear"


def test_plot_is_written_and_overwritten_atomically(world: World, pair: Pair) -> None:
    path = world.pack(pair, "acme/math", "1.0.0")
    plot = world.project / "math.PNG"
    outcome = world.run("inspect", path, "--plot", plot)
    assert (outcome.code, outcome.err) == (0, f"wrote {plot}\n")
    first = plot.read_bytes()
    assert first.startswith(b"\x89PNG\r\n\x1a\n")
    assert b"IEND" in first[-12:]
    plot.write_bytes(b"another picture")
    assert world.ask("inspect", path, "--plot", plot)["manifest"]["version"] == "1.0.0"
    assert plot.read_bytes() == first
    assert list(world.project.glob(".*")) == []


def test_plot_refuses_other_names_damaged_packs_and_missing_folders(
    world: World, pair: Pair, tmp_path: Path
) -> None:
    path = world.pack(pair, "acme/math", "1.0.0")
    said = world.fail("inspect", path, "--plot", "math.pdf", code=2, kind="usage")
    assert ".png" in said
    assert "--plot math.png" in said
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
    columns = _columns({_column(f"{name}.weight") for name in names})
    stacks = {stack: [one.number for one in columns if one.stack == stack] for stack in "abc"}
    assert columns[0] == Column(None, "")
    assert stacks == {"a": [str(n) for n in range(11)], "b": ["7", digits], "c": ["5000"]}


def test_curve_of_an_auto_pack_contains_its_own_point(world: World, pair: Pair) -> None:
    found = open_pack(world.pack(pair, "acme/math", "1.0.0", "--keep", "0.9"))
    curve = picture_of(found).curve
    recorded = found.manifest.compression.settings["curve"]
    assert list(curve.points) == sorted((size, lost) for size, lost in recorded)
    assert curve.own[0] == found.manifest.compression.payload_bytes
    assert curve.points[0][1] >= curve.own[1] >= curve.points[-1][1]


def test_labels_of_eighty_layers_do_not_overlap() -> None:
    columns = (Column(None, ""), *(Column("model.layers", str(n)) for n in range(80)),
               *(Column("vision.$\n", str(n)) for n in range(40)))  # fmt: skip
    row = tuple(float(1 + place) ** 3 for place in range(len(columns)))
    curve = Curve(((1.0, 1.0), (9e7, 0.5)), (5.0, 0.9), "spent", "lost", "curve")
    picture = Picture("a" * 300, ("mlp",), columns, (row,), "bytes", (row,), "errors", curve)
    figure = draw(picture)
    assert isinstance(figure.axes[0].images[0].norm, LogNorm)
    figure.canvas.draw()
    for axes in figure.axes[:2]:
        boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert len(boxes) > 20
        assert all(one.x1 < two.x0 for one, two in pairwise(boxes))
        assert [label.get_text() for label in axes.get_xticklabels()][:2] == ["no layer", "0"]
    assert png(picture).startswith(b"\x89PNG")
