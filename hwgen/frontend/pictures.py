"""Reads picture files as 8-bit colour, whatever depth and mode they are stored in, at the size of a network."""

import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from hwgen.spec.graph_model import Model
from hwgen.spec.numerics import DARKEST_PIXEL

Fit = Literal["crop", "pad", "exact"]  # what becomes of a picture of another size
FITS: tuple[Fit, ...] = get_args(Fit)
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")  # of the pictures in a folder
_DEEP = ("I", "I;16", "I;16B", "I;16L", "F")  # one channel of more than eight bits
_DEPTH_RATIO = 257  # 65535 over 255
_DEEP_MAX = 65535

_TURNS = {  # EXIF orientation: how the camera was held
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PictureError(ValueError):
    """A file that cannot be read as a picture."""


class PictureSizeError(PictureError):
    """A picture of another size, where it may not be changed."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A picture at the size of a network."""

    pixels: NDArray[np.uint8]  # [height, width, 3]
    changed: bool  # it had another size


def _eight_bits(picture: Image.Image, path: Path) -> Image.Image:
    """A picture of 16-bit grey scaled to 8 bits: Pillow itself cuts at 255, so that nearly all is white."""
    values = np.asarray(picture)
    if values.dtype.kind == "f" or values.min(initial=0) < 0 or values.max(initial=0) > _DEEP_MAX:
        raise PictureError(f"{path.name} has grey values outside 0..{_DEEP_MAX}; save it with 8 or 16 bits a channel")
    return Image.fromarray(np.round(values / _DEPTH_RATIO).astype(np.uint8))


def _turn(picture: Image.Image) -> Image.Transpose | None:
    """What puts a photograph upright, by its EXIF; what is damaged there says nothing, and the pixels are good.

    Pillow's own `ImageOps.exif_transpose` writes the EXIF anew, and fails on any damaged entry of it.
    """
    with suppress(Exception):
        return _TURNS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    return None


def open_rgb(path: Path) -> Image.Image:
    """The picture as RGB, transparency dropped, upright; PictureError says why it is none; FileNotFoundError.

    A camera stores how it was held (EXIF) beside pixels that may lie on their side.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for, and cannot be read twice
        raise PictureError("no regular file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's: large pictures, damaged EXIF
            with Image.open(path) as file:
                file.load()
                colour = (_eight_bits(file, path) if file.mode in _DEEP else file).convert("RGB")
                turn = _turn(file)
                return colour if turn is None else colour.transpose(turn)
    except FileNotFoundError:
        raise
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # from one times this on Pillow only warns
        raise PictureError(f"more than {limit:,} pixels; scale it down first") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # damaged files raise all of these in Pillow
        raise PictureError(str(error)) from error


def picture_files(folder: Path) -> list[Path]:
    """The pictures that lie in a folder, in the order of their names; hidden files are none."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    return sorted(path for path in found if path.is_file())


def _mean_colour(picture: Image.Image) -> tuple[int, int, int]:
    """The mean of all pixels, as bright as the machine can see."""
    red, green, blue = np.maximum(np.asarray(picture).mean(axis=(0, 1)).round().astype(int), DARKEST_PIXEL)
    return int(red), int(green), int(blue)


def fit_picture(picture: Image.Image, config: Model, fit: Fit) -> Fitted:
    """An RGB picture at the size that ``config`` takes; one that has it stays as it is.

    ``crop`` scales until the short side fits and cuts the long one around the middle. ``pad`` scales until the long
    side fits and fills the rest with the picture's mean colour: black would be an edge that the network sees, and has
    pixels of code 0, which the machine does not. ``exact`` changes nothing: PictureSizeError.
    """
    size = config.image_width, config.image_height
    changed = picture.size != size
    if changed and fit == "exact":
        raise PictureSizeError(
            f"{picture.width} x {picture.height} pixels (width x height), {config.name} takes exactly"
            f" {size[0]} x {size[1]}; scale or crop it first, or give --fit crop or pad"
        )
    if changed:
        cropped = fit == "crop"
        picture = ImageOps.fit(picture, size) if cropped else ImageOps.pad(picture, size, color=_mean_colour(picture))
    return Fitted(pixels=np.asarray(picture, dtype=np.uint8), changed=changed)


def read_fitted(path: Path, config: Model, fit: Fit) -> Fitted:
    """The picture of a file at the size that ``config`` takes; PictureError says why not; FileNotFoundError."""
    return fit_picture(open_rgb(path), config, fit)


def fit_note(changed: int, count: int, config: Model, fit: Fit) -> str:
    """What was done to ``changed`` of ``count`` pictures, in a line; nothing when all had the right size."""
    if not changed:
        return ""
    how = "cut around the middle" if fit == "crop" else "padded with their mean colour"
    size = f"{config.image_width} x {config.image_height} pixels (width x height)"
    return f"{changed:,} of {count:,} pictures scaled to {size} and {how} (--fit {fit})"
