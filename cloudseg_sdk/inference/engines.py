"""What runs a network: Keras on any backend, or OpenVINO. Same input, same output."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.errors import BundleError


class Engine(Protocol):
    """Runs batches; may be called from several threads."""

    name: str

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn RGB images ``(N, *input_size, 3)`` into class maps ``(N, *output_size, classes)``."""
        ...


class KerasEngine:
    """Runs the serving model on Keras' own backend.

    Parameters
    ----------
    model
        uint8 images in, float32 class maps out.
    """

    name = "keras"

    def __init__(self, model: Any) -> None:
        self._model = model
        self._lock = threading.Lock()  # Keras' TensorFlow backend is not thread-safe

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`Engine`."""
        with self._lock:
            return np.asarray(self._model.predict_on_batch(images), np.float32)


class EnsembleEngine:
    """Runs several engines one after another; the class maps are the mean of theirs.

    Parameters
    ----------
    engines
        For networks with the same classes, input size and output size.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = tuple(engines)
        self.name = "+".join(dict.fromkeys(engine.name for engine in engines))

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`Engine`."""
        return np.asarray(np.mean([engine.run(images) for engine in self._engines], axis=0), np.float32)


class OpenVINOEngine:
    """Compiles an ONNX graph for the CPU, in float32 (left alone, OpenVINO picks bfloat16 where the CPU has it).

    Parameters
    ----------
    graph
        ONNX bytes: uint8 images in, float32 class maps out.
    """

    name = "openvino"

    def __init__(self, graph: bytes) -> None:
        openvino = import_openvino()
        core = openvino.Core()
        try:
            self._model = core.read_model(graph, b"")
        except RuntimeError as error:
            raise BundleError(f"OpenVINO cannot read the model's graph: {error}") from error
        self._core = core
        self._compiled: dict[tuple[int, ...], Any] = {}
        self._lock = threading.Lock()
        self._local = threading.local()

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See :class:`Engine`; each new batch shape is compiled once."""
        request = self._request(images.shape)
        result = request.infer([images], share_inputs=True)
        return np.array(result[0], np.float32)

    def _request(self, shape: tuple[int, ...]) -> Any:
        """Return an inference request of this thread's own: requests cannot be shared, compiled models can."""
        requests = self._local.__dict__.setdefault("requests", {})
        if shape not in requests:
            with self._lock:
                if shape not in self._compiled:
                    self._model.reshape(list(shape))
                    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
                    self._compiled[shape] = self._core.compile_model(self._model, "CPU", options)
            requests[shape] = self._compiled[shape].create_infer_request()
        return requests[shape]


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which would send usage events from a thread of its own."""
    if "openvino" not in sys.modules:
        telemetry = "openvino_telemetry"
        present = {telemetry: sys.modules[telemetry]} if telemetry in sys.modules else {}
        sys.modules[telemetry] = None  # type: ignore[assignment]  # makes importing it fail; OpenVINO then does without
        try:
            import openvino
        finally:
            del sys.modules[telemetry]
            sys.modules.update(present)
    import openvino

    return openvino
