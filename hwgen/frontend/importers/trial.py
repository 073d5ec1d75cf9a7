"""Images on which an imported network is compared with what it was made of."""

import numpy as np
from numpy.typing import NDArray

from golden.reference.scenes import CALIBRATION_FIRST_SEED
from hwgen.frontend.importers.imported import Imported
from hwgen.frontend.seeded import calibration_images


def trial_images(imported: Imported) -> NDArray[np.uint8]:
    """A generated scene and noise, uint8 [2, height, width, channels]."""
    config = imported.config
    shape = (config.image_height, config.image_width, config.channels)
    noise = np.random.default_rng(CALIBRATION_FIRST_SEED).integers(0, 256, shape, dtype=np.uint8)
    return np.stack([*calibration_images(config, 1), noise])
