"""Pictures with many pixels of code 0, which the machine takes for code 1."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hwgen.spec.numerics import DARKEST_PIXEL

BLACK_SHARE = 0.02  # of the pixel values; from here on it costs more than rounding does (docs/numerics.md)


def black_share(image: NDArray[np.uint8]) -> float:
    """Share of the values of a picture that the machine takes for a brighter one, 0..1."""
    return float((image < DARKEST_PIXEL).mean())


def black_warnings(images: Sequence[NDArray[np.uint8]], what: str) -> list[str]:
    """One sentence when any of the pictures has too many values of code 0; ``what`` the pictures are, in the plural."""
    shares = [black_share(image) for image in images]
    dark = [number for number, share in enumerate(shares) if share > BLACK_SHARE]
    if not dark:
        return []
    worst = max(dark, key=lambda number: shares[number])
    count = int((images[worst] < DARKEST_PIXEL).sum())
    return [
        f"{len(dark)} of {len(images)} {what}: more than {100 * BLACK_SHARE:g} % of the pixel values are 0, which the"
        f" machine takes for 1; most in picture {worst + 1}: {100 * shares[worst]:.1f} %, {count:,} values. Ratios to"
        " the float model fall by that, by 1 to 4 dB from 5 % on (docs/numerics.md, Black pixels); give pictures whose"
        " black is 1 to leave it out of the comparison"
    ]
