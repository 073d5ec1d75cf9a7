"""Reads picture files as 8-bit colour, whatever depth and mode they are stored in."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

_DEEP = ("I", "I;16", "I;16B", "I;16L", "F")  # one channel of more than eight bits
_DEPTH_RATIO = 257  # 65535 over 255
_DEEP_MAX = 65535


class PictureError(ValueError):
    """A file that cannot be read as a picture."""


def _eight_bits(picture: Image.Image, path: Path) -> Image.Image:
    """A picture of 16-bit grey scaled to 8 bits: Pillow itself cuts at 255, so that nearly all is white."""
    values = np.asarray(picture)
    if values.dtype.kind == "f" or values.min(initial=0) < 0 or values.max(initial=0) > _DEEP_MAX:
        raise PictureError(f"{path.name} has grey values outside 0..{_DEEP_MAX}; save it with 8 or 16 bits a channel")
    return Image.fromarray(np.round(values / _DEPTH_RATIO).astype(np.uint8))


def open_rgb(path: Path) -> Image.Image:
    """The picture as RGB, transparency dropped; PictureError says why it is none; FileNotFoundError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                file.load()
                return (_eight_bits(file, path) if file.mode in _DEEP else file).convert("RGB")
    except FileNotFoundError:
        raise
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)  # from one times this on Pillow only warns
        raise PictureError(f"more than {limit:,} pixels; scale it down first") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # damaged files raise all of these in Pillow
        raise PictureError(str(error)) from error
