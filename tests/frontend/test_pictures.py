"""Pictures of every depth and mode become 8-bit colour, and what is none is said."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hwgen.frontend.pictures import PictureError, open_rgb


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
