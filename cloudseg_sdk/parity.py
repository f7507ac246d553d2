"""How far engines are from Keras in float32, measured on two invented images."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.config import ModelConfig
from cloudseg_sdk.errors import MissingExtraError
from cloudseg_sdk.inference.engines import (
    Engine,
    ONNXRuntimeEngine,
    OpenVINOEngine,
    Output,
    has_bfloat16,
    import_openvino,
)

TOLERANCE = 1e-3  # of a probability, in float32: sound graphs are within 1e-4, and thresholds have two digits

Parity = dict[str, dict[str, float]]


def probe_images(config: ModelConfig) -> NDArray[np.uint8]:
    """Return the batch that engines are compared on, uint8 ``(2, *config.input_size, 3)``."""
    height, width = config.input_size
    coarse = np.random.default_rng(0).integers(0, 256, (2, 9, 13, 3), np.uint8)  # smooth, as clouds are
    return np.stack([cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC) for image in coarse])


def distance(one: Output, other: Output) -> float:
    """Return the largest difference between two outputs of a batch; infinite where one is not a number."""
    pairs = [(one.maps, other.maps)]
    if one.presence is not None and other.presence is not None:
        pairs.append((one.presence, other.presence))
    largest = float(np.max([np.abs(left - right).max() for left, right in pairs]))
    return largest if np.isfinite(largest) else float("inf")


def measure_parity(graph: bytes, images: NDArray[np.uint8], wanted: Output) -> Parity:
    """Run `graph` on every engine and precision that there is here.

    Returns
    -------
    dict
        By engine and precision, the :func:`distance` from `wanted`, such as ``{"openvino": {"float32": 1e-06}}``.
    """
    found: Parity = {}
    for precision, engine in _engines(graph):
        found.setdefault(engine.name, {})[precision] = distance(engine.run(images), wanted)
    return found


def _engines(graph: bytes) -> Iterator[tuple[str, Engine]]:
    yield "float32", OpenVINOEngine(graph)
    if has_bfloat16(import_openvino().Core()):
        yield "bfloat16", OpenVINOEngine(graph, precision="bfloat16")
    try:
        yield "float32", ONNXRuntimeEngine(graph, device="cpu")
    except MissingExtraError:  # it is an extra
        return
