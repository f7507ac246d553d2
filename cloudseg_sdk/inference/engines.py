"""What runs a network: Keras on any backend, or OpenVINO. Same input, same output."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.errors import BundleError


class Output(NamedTuple):
    """What a network says of a batch of images; of one image, the same without the first axis.

    Parameters
    ----------
    maps
        Probability of each class at each pixel, float32 ``(N, *output_size, classes)``.
    presence
        Probability that a class is there at all, float32 ``(N, classes)``; None where the network has no such head.
    """

    maps: NDArray[np.float32]
    presence: NDArray[np.float32] | None = None

    def images(self) -> Iterator[Output]:
        """Yield the output of each image of the batch."""
        for number, maps in enumerate(self.maps):
            yield Output(maps, None if self.presence is None else self.presence[number])

    @classmethod
    def mean(cls, outputs: Sequence[Output]) -> Output:
        """Average what is said of one batch several times over; all have a presence head, or none has."""
        maps = [output.maps for output in outputs]
        heads = [output.presence for output in outputs if output.presence is not None]
        return cls(*(np.asarray(np.mean(parts, axis=0), np.float32) for parts in (maps, heads) if parts))


class Engine(Protocol):
    """Runs batches; may be called from several threads at once.

    `batch_size` images in a call, and that many `calls` at once, keep it as busy as more would.
    """

    name: str
    batch_size: int
    calls: int

    def run(self, images: NDArray[np.uint8]) -> Output:
        """Run a batch of RGB images ``(N, *input_size, 3)``."""
        ...


class KerasEngine:
    """Runs the serving model on Keras' own backend.

    Parameters
    ----------
    model
        See :func:`cloudseg_sdk.models.serving.serving_model`.
    """

    name = "keras"
    batch_size = 8
    calls = 2  # the other one waits for its turn, ready to go

    def __init__(self, model: Any) -> None:
        self._model = model
        self._lock = threading.Lock()  # Keras' TensorFlow backend is not thread-safe

    def run(self, images: NDArray[np.uint8]) -> Output:
        """See :class:`Engine`."""
        with self._lock:
            found = self._model.predict_on_batch(images)
        return Output(*(np.asarray(array, np.float32) for array in (found if isinstance(found, list) else [found])))


class EnsembleEngine:
    """Runs several engines one after another; class maps and presence are the mean of theirs.

    Parameters
    ----------
    engines
        For networks with the same classes, input size and output size, all with a presence head or none.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = tuple(engines)
        self.name = "+".join(dict.fromkeys(engine.name for engine in engines))
        self.batch_size = min(engine.batch_size for engine in engines)
        self.calls = max(engine.calls for engine in engines)

    def run(self, images: NDArray[np.uint8]) -> Output:
        """See :class:`Engine`."""
        return Output.mean([engine.run(images) for engine in self._engines])


class OpenVINOEngine:
    """Compiles an ONNX graph for the CPU, in float32 (left alone, OpenVINO picks bfloat16 where the CPU has it).

    Parameters
    ----------
    graph
        ONNX bytes of :func:`cloudseg_sdk.models.weights.to_onnx`.
    level
        Compute head ``maps_{level}`` and nothing that it does not need; None for the last head, and presence.
    """

    name = "openvino"
    batch_size = 4
    calls = 2

    def __init__(self, graph: bytes, level: int | None = None) -> None:
        openvino = import_openvino()
        core = openvino.Core()
        try:
            model = core.read_model(graph, b"")
        except RuntimeError as error:
            raise BundleError(f"OpenVINO cannot read the model's graph: {error}") from error
        wanted = [output.get_node() for output in _wanted(model.outputs, level)]
        self._model = openvino.Model(wanted, model.get_parameters())  # without what they do not need
        self._core = core
        self._compiled: dict[tuple[int, ...], Any] = {}
        self._lock = threading.Lock()
        self._local = threading.local()

    def run(self, images: NDArray[np.uint8]) -> Output:
        """See :class:`Engine`; each new batch shape is compiled once."""
        request = self._request(images.shape)
        result = request.infer([images], share_inputs=True)
        return Output(*(np.array(result[number], np.float32) for number in range(len(result))))

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


def _wanted(outputs: list[Any], level: int | None) -> list[Any]:
    if level is None:
        return outputs[-2:] if "presence" in outputs[-1].names else outputs[-1:]
    wanted = [output for output in outputs if f"maps_{level}" in output.names]
    if not wanted:
        raise BundleError(
            f"the model's graph has no head of level {level}, because an earlier release wrote it; load it with the "
            "keras engine and save it again"
        )
    return wanted


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
