"""Pictures of every depth and mode become 8-bit colour, and what is none is said."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from hwgen.frontend.pictures import (
    PictureError,
    PictureSizeError,
    fit_note,
    fit_picture,
    open_rgb,
    picture_files,
    read_fitted,
)
from hwgen.spec.presets import M3VIT_MICRO


def _save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_sixteen_bit_grey_keeps_its_shades(tmp_path: Path) -> None:
    wanted = np.arange(256, dtype=np.uint8).reshape(16, 16)
    found = np.asarray(open_rgb(_save(tmp_path / "grey.png", wanted.astype(np.uint16) * 257)))
    assert found.shape == (16, 16, 3)
    assert (found == wanted[..., None]).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_grey_and_transparency(channels: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(channels).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    path = _save(tmp_path / "x.png", pixels[..., 0] if channels == 1 else pixels)
    colour = pixels[..., :3] if channels > 2 else np.repeat(pixels[..., :1], 3, axis=2)
    assert (np.asarray(open_rgb(path)) == colour).all()


@pytest.mark.parametrize("held", range(1, 9))
def test_a_photograph_stands_upright(held: int, tmp_path: Path) -> None:
    """EXIF says how the camera was held."""
    pixels = np.random.default_rng(held).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = held
    Image.fromarray(pixels).save(tmp_path / "photo.png", exif=exif)
    with Image.open(tmp_path / "photo.png") as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored))
    assert (np.asarray(open_rgb(tmp_path / "photo.png")) == upright).all()
    assert np.array_equal(upright, pixels) == (held == 1)
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png", exif=exif)
    assert (np.asarray(open_rgb(tmp_path / "deep.png"))[..., 0] == upright[..., 0]).all()


@pytest.mark.filterwarnings("error")
def test_damaged_exif_spoils_no_picture(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Make] = 6, "maker"
    good = exif.tobytes()
    pixels = np.full((5, 7, 3), 9, dtype=np.uint8)
    for place in range(len(good)):
        damaged = bytearray(good)
        damaged[place] ^= 0xFF
        for name in ("photo.jpg", "photo.png"):
            Image.fromarray(pixels).save(tmp_path / name, exif=bytes(damaged))
            assert np.asarray(open_rgb(tmp_path / name)).size == pixels.size


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(PictureError, match="no regular file"):
        open_rgb(tmp_path / "pipe.png")


def test_what_is_no_picture_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _save(tmp_path / "big.png", np.arange(12800, dtype=np.uint16).reshape(80, 160).astype(np.uint8))
    content = path.read_bytes()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 9_000)
    assert open_rgb(path).size == (160, 80)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 6_000)
    with pytest.raises(PictureError, match="more than 12,000 pixels; scale it down first"):
        open_rgb(path)
    monkeypatch.undo()
    for number, damaged in enumerate((b"", b"text", content[:20], content[: len(content) // 2])):
        bad = tmp_path / f"{number}.png"
        bad.write_bytes(damaged)
        with pytest.raises(PictureError):
            open_rgb(bad)
    with pytest.raises(FileNotFoundError):
        open_rgb(tmp_path / "none.png")


def test_grey_values_without_a_meaning_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    Image.fromarray(np.full((2, 2), 70_000, dtype=np.int32)).save(path)
    with pytest.raises(PictureError, match=r"deep.tif has grey values outside 0..65535"):
        open_rgb(path)


def _stripes(width: int, height: int) -> Image.Image:
    """A picture whose left and right quarters are white, and its middle red."""
    pixels = np.full((height, width, 3), 255, dtype=np.uint8)
    pixels[:, width // 4 : width - width // 4] = (200, 0, 0)
    return Image.fromarray(pixels)


def test_the_right_size_stays_as_it_is():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for fit in ("crop", "pad", "exact"):
        found = fit_picture(Image.fromarray(noise), M3VIT_MICRO, fit)
        assert not found.changed
        assert (found.pixels == noise).all()


def test_cropping_keeps_the_middle():
    """Twice as wide as high: the quarters left and right are gone."""
    found = fit_picture(_stripes(256, 128), M3VIT_MICRO, "crop")
    assert found.changed
    assert found.pixels.shape == (64, 64, 3)
    assert (found.pixels[:, 2:-2] == (200, 0, 0)).all()


def test_padding_keeps_everything_and_fills_with_the_mean():
    found = fit_picture(_stripes(256, 128), M3VIT_MICRO, "pad")
    assert found.pixels.shape == (64, 64, 3)
    assert (found.pixels[20:44, 20:44] == (200, 0, 0)).all()
    assert (found.pixels[20:44, :12] == 255).all()
    mean = np.round(np.asarray(_stripes(256, 128)).mean(axis=(0, 1)))
    assert (found.pixels[:15] == mean).all()
    assert (found.pixels[-15:] == mean).all()
    black = fit_picture(Image.new("RGB", (64, 32)), M3VIT_MICRO, "pad")
    assert (black.pixels[:15] == 1).all(), "the machine takes code 0 for 1"


def test_an_exact_size_is_insisted_on():
    with pytest.raises(PictureSizeError, match=r"80 x 40 pixels \(width x height\), m3vit-micro takes exactly 64 x 64"):
        fit_picture(Image.new("RGB", (80, 40)), M3VIT_MICRO, "exact")


def test_the_pictures_of_a_folder_and_what_was_done_to_them(tmp_path: Path):
    for name, size in (("b.PNG", (80, 40)), ("a.png", (64, 64)), ("c.bmp", (30, 90)), (".hidden.png", (9, 9))):
        Image.new("RGB", size, (9, 9, 9)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    files = picture_files(tmp_path)
    assert [path.name for path in files] == ["a.png", "b.PNG", "c.bmp"]
    changed = [read_fitted(path, M3VIT_MICRO, "pad").changed for path in files]
    assert changed == [False, True, True]
    said = "2 of 3 pictures scaled to 64 x 64 pixels (width x height) and padded with their mean colour (--fit pad)"
    assert fit_note(2, 3, M3VIT_MICRO, "pad") == said
    assert "cut around the middle" in fit_note(2, 3, M3VIT_MICRO, "crop")
    assert fit_note(0, 1, M3VIT_MICRO, "crop") == ""
