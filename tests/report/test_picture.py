"""Colours of the picture, its layout, and that it is written whole."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwgen.report.picture import CLASS_COLOURS, MARGIN, PANEL_PIXELS, Panel, colour_classes, colour_depth, compose, save

GREY = np.full((64, 64, 3), 128, dtype=np.uint8)


def test_classes_have_different_colours():
    assert len(set(CLASS_COLOURS)) == len(CLASS_COLOURS) >= 20
    labels = np.arange(len(CLASS_COLOURS)).reshape(4, -1)
    assert len(np.unique(colour_classes(labels).reshape(-1, 3), axis=0)) == len(CLASS_COLOURS)
    assert (colour_classes(labels)[0, 1] == CLASS_COLOURS[1]).all()


def test_near_is_brighter_than_far():
    depth = np.linspace(1.0, 9.0, 50)[None]
    light = colour_depth(depth, 1.5, 8.0).astype(int).sum(axis=-1)[0]
    assert (np.diff(light) <= 0).all()
    assert light[0] > 2 * light[-1]
    with pytest.raises(ValueError, match=r"far 1\.0 must exceed near 2\.0"):
        colour_depth(depth, 2.0, 1.0)


def test_panels_stand_side_by_side():
    image = compose([Panel(title="a", pixels=GREY), Panel(title="b", pixels=255 - GREY)], ("sky", "ball"), "a line")
    assert image.width == MARGIN + 2 * (PANEL_PIXELS + MARGIN)
    middle = image.height // 2
    assert image.getpixel((MARGIN + 5, middle)) == (128, 128, 128)
    assert image.getpixel((2 * MARGIN + PANEL_PIXELS + 5, middle)) == (127, 127, 127)
    assert image.getpixel((2, middle)) == (255, 255, 255)
    assert image.height > compose([Panel(title="a", pixels=GREY)]).height


def test_a_wide_image_keeps_its_shape():
    wide = np.zeros((32, 64, 3), dtype=np.uint8)
    image = compose([Panel(title="a", pixels=wide)])
    black = (np.asarray(image).sum(axis=2) == 0).sum()
    assert black == pytest.approx(PANEL_PIXELS * PANEL_PIXELS // 2, rel=0.01)


def test_a_drawn_panel_keeps_its_size_and_a_long_line_has_room():
    grey = Panel(title="a", pixels=GREY)
    drawn = Panel(title="b", pixels=np.zeros((300, 100, 3), dtype=np.uint8), drawn=True)
    image = compose([grey, drawn])
    assert image.width == 3 * MARGIN + PANEL_PIXELS + 100
    black = (np.asarray(image).sum(axis=2) == 0).sum()
    assert black == 300 * 100
    assert compose([grey], footer="a line " * 60).width > 2 * compose([grey], footer="a line").width


def test_an_empty_picture_is_refused():
    with pytest.raises(ValueError, match="at least one panel"):
        compose([])


def test_it_is_written_as_png(tmp_path: Path):
    save(compose([Panel(title="a", pixels=GREY)]), tmp_path / "x.png")
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    with Image.open(tmp_path / "x.png") as image:
        assert image.format == "PNG"
