"""`tree --plot`: what the picture shows, hostile text, and bounds."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from changed_packs import written
from skillpm_world import PACKAGES, World
from tiny_models import Models, Pair, copy_model, rewrite

from skillpm.archive.reader import open_pack
from skillpm.errors import StateError
from skillpm.pictures.graph import Edge, EdgeKind, Graph, Node
from skillpm.pictures.graph_figure import draw_graph
from skillpm.pictures.graph_svg import svg_of
from skillpm.pictures.layout import HEIGHT, Drawing, arrange
from skillpm.spec.digests import Digest

SVG = "{http://www.w3.org/2000/svg}"
DIGEST = str(Digest.of(b"an older release"))
BASE = Node("base", "base", ("model", "sha256:12345678"), "base model")
HOSTILE = "</text><script>alert(1)</script>&\x00\x1b[31m\ud800\uffff\u202e$x$"


def _texts(svg: bytes) -> list[str]:
    root = ET.fromstring(svg)  # noqa: S314
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def _titles(svg: bytes) -> list[str]:
    root = ET.fromstring(svg)  # noqa: S314
    return [title.text or "" for title in root.iter(f"{SVG}title")]


@pytest.fixture
def layered(world: World, math: Pair, models: Models, tmp_path: Path) -> World:
    """`up` is layered on `math` and derived from `old`; `tone` requires `math`."""
    world.init(math[0])
    world.publish(math, "acme/math", "1.0.0")
    tuned = copy_model(math[1], tmp_path / "over")
    rewrite(tuned, lambda tensors: tensors["lm_head.weight"].add_(1))
    pack = open_pack(world.pack((math[0], tuned), "acme/up", "1.0.0", "--over", "acme/math"))
    manifest = json.loads(pack.read(pack.image.config.digest))
    manifest["lineage"] = [
        {"skill": "acme/old", "version": "0.9.0", "digest": DIGEST, "base": DIGEST}
    ]
    layers = [(layer.media_type, pack.read(layer.digest)) for layer in pack.image.layers]
    world.ask("publish", written(tmp_path / "up.skillpack", pack.image_bytes, manifest, layers))
    pair = models.tuned("attn", seed=2)
    world.publish(pair, "acme/tone", "1.0.0", "--requires", "acme/math ^1")
    world.ask("install", "acme/up", "acme/tone")
    return world


def test_tree_plot_shows_base_layers_requirements_and_ancestors(layered: World) -> None:
    plot = layered.project / "tree.svg"
    outcome = layered.run("tree", "--plot", plot)
    assert (outcome.code, outcome.err) == (0, f"wrote {plot}\n")
    assert outcome.out == layered.run("tree").out
    names = _texts(plot.read_bytes())
    for name in ("acme/math", "acme/up", "acme/tone", "acme/old", "0.9.0, other base"):
        assert names.count(name) == 1
    assert names[-3:] == ["built on", "derived from", "requires"]
    relations = {title for title in _titles(plot.read_bytes()) if title.startswith("acme/")}
    assert {
        "acme/math is built on the base alone",
        "acme/tone is built on the base alone",
        "acme/up is built on acme/math",
        "acme/tone requires acme/math ^1",
        "acme/up is derived from acme/old 0.9.0",
    } <= relations
    assert not any(title.startswith("acme/up requires") for title in relations)


def test_tree_plot_shows_the_skills_of_the_printed_tree(layered: World) -> None:
    plot = layered.project / "tree.svg"
    layered.ask("tree", "acme/tone", "--depth", 0, "--plot", plot)
    assert {text for text in _texts(plot.read_bytes()) if "/" in text} == {"acme/tone"}
    layered.ask("tree", "--invert", "acme/math", "--depth", 1, "--plot", plot)
    assert {"acme/math", "acme/tone", "acme/up"} <= set(_texts(plot.read_bytes()))
    layered.ask("tree", "acme/tone", "--plot", plot)
    assert {text for text in _texts(plot.read_bytes()) if "/" in text} == {"acme/math", "acme/tone"}


def test_tree_plot_as_png_needs_matplotlib_and_as_svg_does_not(layered: World) -> None:
    layered.ask("tree", "--plot", layered.project / "tree.png")
    assert (layered.project / "tree.png").read_bytes().startswith(b"\x89PNG")
    code = (
        "import sys; sys.modules['matplotlib'] = None; from skillpm.cli import main; "
        "main(['tree', '--plot', sys.argv[1]])"
    )
    environment = {"PYTHONPATH": PACKAGES, "SKILLPM_HOME": str(layered.home)}
    codes = {}
    for name in ("a.svg", "a.pdf"):
        command = [sys.executable, "-c", code, name]
        ran = subprocess.run(
            command,
            env=environment,
            cwd=layered.project,
            capture_output=True,
            text=True,
            check=False,
        )
        codes[name] = ran.returncode
    assert codes == {"a.svg": 0, "a.pdf": 2}
    assert "pip install 'skillpm-graft[plot]'" in ran.stderr


def test_tree_plot_refuses_other_endings_and_needs_the_manifests(layered: World) -> None:
    message = layered.fail("tree", "--plot", "tree.dot", code=2, kind="usage")
    assert "--plot tree.png" in message
    for path in (layered.home / "store").rglob("*"):
        if path.is_file() and len(path.name) == 64:
            path.unlink()
    outcome = layered.run("tree", "--plot", "tree.svg")
    assert outcome.code != 0
    assert "hint:" in outcome.err
    assert not (layered.project / "tree.svg").exists()


def _graph(names: list[str], edges: list[tuple[str, str, EdgeKind]]) -> Graph:
    nodes = (BASE, *(Node(name, "named", (name, "1.0.0"), name) for name in names))
    return Graph("t", nodes, tuple(Edge(low, up, kind, f"{low} {up}") for low, up, kind in edges))


def _check(drawing: Drawing) -> None:
    """No box overlaps another or leaves the picture."""
    for box in drawing.boxes:
        assert 0 <= box.left < box.left + box.width <= drawing.width
        assert 0 <= box.top < box.top + HEIGHT <= drawing.height
    for one, two in combinations(drawing.boxes, 2):
        beside = one.left + one.width <= two.left or two.left + two.width <= one.left
        assert beside or abs(one.top - two.top) >= HEIGHT


def test_boxes_do_not_overlap_and_lower_nodes_are_left_of_upper_ones() -> None:
    names = [f"acme/s{number}" for number in range(60)]
    edges: list[tuple[str, str, EdgeKind]] = [("base", name, "built on") for name in names]
    edges += [(names[n // 3], names[n], "requires") for n in range(1, 60)]
    edges += [(names[n * 7 % n], names[n], "built on") for n in range(8, 60)]
    drawing = arrange(_graph(names, edges))
    _check(drawing)
    assert all(line.points[0][0] < line.points[-1][0] for line in drawing.lines)
    assert drawing == arrange(_graph(names, edges))


def test_skills_that_require_each_other_are_drawn() -> None:
    edges: list[tuple[str, str, EdgeKind]] = [
        ("base", "a/a", "built on"), ("base", "a/b", "built on"),
        ("a/a", "a/b", "requires"), ("a/b", "a/a", "requires"),
    ]  # fmt: skip
    drawing = arrange(_graph(["a/a", "a/b"], edges))
    _check(drawing)
    assert drawing.boxes[0].left == min(box.left for box in drawing.boxes)
    assert len(drawing.lines) == 4
    assert draw_graph(drawing).axes[0].patches


def test_base_without_skills_is_drawn() -> None:
    drawing = arrange(Graph("t", (BASE,), ()))
    _check(drawing)
    assert _texts(svg_of(drawing)) == ["t", "model", "sha256:12345678"]
    assert [text.get_text() for text in draw_graph(drawing).axes[0].texts][1] == "model"


def test_hostile_text_is_escaped_and_short() -> None:
    node = Node("x", "required", (HOSTILE * 50, HOSTILE), HOSTILE * 999)
    edge = Edge("base", "x", "built on", HOSTILE)
    drawing = arrange(Graph(HOSTILE * 99, (BASE, node), (edge,)))
    _check(drawing)
    svg = svg_of(drawing)
    assert len(svg) < 10_000
    root = ET.fromstring(svg)  # noqa: S314
    assert not list(root.iter(f"{SVG}script"))
    for element in root.iter():
        if element.tag != f"{SVG}style":
            assert (element.text or "").strip().isprintable()
    shown = [text.get_text() for text in draw_graph(drawing).axes[0].texts]
    assert all(text.isprintable() for text in shown)
    assert any("<script>" in text for text in _texts(svg))


def test_large_trees_are_written_as_svg_and_refused_as_png() -> None:
    names = [f"acme/s{number}" for number in range(1500)]
    chain: list[tuple[str, str, EdgeKind]] = [("base", names[0], "built on")]
    chain += [(low, up, "requires") for low, up in pairwise(names)]
    chain += [("base", name, "built on") for name in names[1:]]
    drawing = arrange(_graph(names, chain))
    assert len(_texts(svg_of(drawing))) > 3000
    with pytest.raises(StateError, match="1501 boxes") as caught:
        draw_graph(drawing)
    assert caught.value.hint == "--plot tree.svg"
