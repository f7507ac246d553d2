"""Shrinking of images by area averaging."""

import numpy as np
import numpy.typing as npt

def shrink(image: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]: ...
