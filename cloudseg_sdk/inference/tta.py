"""Test-time augmentation: the mean of what an engine says of an image and of its mirror images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.config import TTA
from cloudseg_sdk.inference.engines import Engine, Output

_FLIPS: tuple[tuple[int, ...], ...] = ((), (1,), (2,), (1, 2))  # axes of a batch: none, rows, columns, both


def run_augmented(engine: Engine, images: NDArray[np.uint8], tta: TTA, *, alone: bool = False) -> Output:
    """Run a batch of RGB images ``(N, H, W, 3)``; `alone` is as in :class:`Engine`.

    Under "flips" the engine runs four batches of the same shape, and each one's maps are flipped back before the mean.
    """
    if tta == "none":
        return engine.run(images, alone=alone)
    outputs = []
    for axes in _FLIPS:
        output = engine.run(np.ascontiguousarray(np.flip(images, axes)), alone=alone)
        outputs.append(output._replace(maps=np.flip(output.maps, axes)))
    return Output.mean(outputs)
