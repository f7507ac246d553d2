"""What runs a network: Keras on any backend, OpenVINO, or ONNX Runtime. Same input, same output."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.data.images import CORES
from cloudseg_sdk.errors import BundleError, CloudsegError, ConfigError, MissingExtraError
from cloudseg_sdk.graph import choose_outputs, keep_outputs

Device = Literal["cpu", "gpu"]
Shapes: TypeAlias = tuple[tuple[int | None, ...], ...]
"""Of a graph's images, maps and presence; None for a side that it leaves open."""


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

    def run(self, images: NDArray[np.uint8], *, alone: bool = False) -> Output:
        """Run a batch of RGB images ``(N, *input_size, 3)``.

        `alone` says that no other call will run beside this one, which may then take all cores to itself.
        """
        ...


class KerasEngine:
    """Runs the serving model on Keras' own backend.

    Parameters
    ----------
    model
        See :func:`cloudseg_sdk.models.serving.serving_model`.
    device
        None for Keras' own choice.
    """

    name = "keras"
    batch_size = 8
    calls = 2  # the other one waits for its turn, ready to go

    def __init__(self, model: Any, device: Device | None = None) -> None:
        self._model = model
        self._device = device
        self._shapes: set[tuple[int, ...]] = set()
        self._lock = threading.Lock()  # Keras' TensorFlow backend is not thread-safe

    @property
    def compilations(self) -> int:
        """How many batch shapes were compiled for."""
        return len(self._shapes)

    def run(self, images: NDArray[np.uint8], *, alone: bool = False) -> Output:
        """See :class:`Engine`."""
        with self._lock, keras_device(self._device):
            self._shapes.add(images.shape)
            found = self._model.predict_on_batch(images)
        return Output(*(np.asarray(array, np.float32) for array in (found if isinstance(found, list) else [found])))


def keras_device(device: Device | None) -> Any:
    """Return a context in which Keras works on `device`, or where it likes."""
    if device is None:
        return nullcontext()
    import keras

    return keras.device(f"{device}:0")


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

    def run(self, images: NDArray[np.uint8], *, alone: bool = False) -> Output:
        """See :class:`Engine`."""
        return Output.mean([engine.run(images, alone=alone) for engine in self._engines])


# The first inference of a process makes tables in OpenVINO's bindings, each behind a lock of C++ and with the GIL given
# up in between: two first inferences may wait for each other for ever.
_warm, _warming = threading.Event(), threading.Lock()


class OpenVINOEngine:
    """Compiles an ONNX graph for the CPU, once for each batch shape, and anew for calls that run alone.

    A call that runs alone has all cores. The others run on several streams of cores at once, a call on each, and each
    with one image: batches of 2 or 4 take from 7% less to 7% more time for an image, by network and precision (two
    cores), and the last of them would be padded.

    Parameters
    ----------
    graph
        ONNX bytes of :func:`cloudseg_sdk.models.weights.to_onnx`, or an OpenVINO model's ``.xml``.
    level
        The head to end at, where the graph has several; None for the last one and, where there is one, presence.
    precision
        Of the arithmetic; "bfloat16" needs a CPU that has it.
    data
        An OpenVINO model's ``.bin``.
    threads
        Cores to compute on; None for all.
    """

    name = "openvino"
    batch_size = 1

    def __init__(
        self,
        graph: bytes,
        level: int | None = None,
        precision: Literal["float32", "bfloat16"] = "float32",
        data: bytes = b"",
        *,
        threads: int | None = None,
    ) -> None:
        self.calls = max(2, (threads or CORES) // 4)
        self._threads = threads
        core = import_openvino().Core()
        if precision == "bfloat16" and not has_bfloat16(core):
            raise ConfigError(
                "precision bfloat16 needs a CPU that computes in it (AVX512_BF16 or AMX), which this one does not; "
                "take float32"
            )
        self._model = read_openvino(graph, data, level)
        self._core = core
        # Left alone, OpenVINO picks bfloat16 where the CPU has it.
        self._precision = {"float32": "f32", "bfloat16": "bf16"}[precision]
        self._compiled: dict[tuple[tuple[int, ...], bool], Any] = {}  # by shape, and whether calls run alone
        self._lock = threading.Lock()
        self._local = threading.local()

    @property
    def shapes(self) -> Shapes:
        """What the graph says of its inputs and outputs."""
        return tuple(_sides(port.partial_shape) for port in (*self._model.inputs, *self._model.outputs))

    @property
    def compilations(self) -> int:
        """How often the graph was compiled."""
        return len(self._compiled)

    def run(self, images: NDArray[np.uint8], *, alone: bool = False) -> Output:
        """See :class:`Engine`."""
        request = self._request(images.shape, alone)
        if _warm.is_set():
            result = request.infer([images], share_inputs=True, share_outputs=True)
        else:
            with _warming:
                result = request.infer([images], share_inputs=True, share_outputs=True)
                _warm.set()
        return Output(*(np.array(result[number], np.float32) for number in range(len(result))))

    def _request(self, shape: tuple[int, ...], alone: bool) -> Any:
        """Return an inference request of this thread's own: requests cannot be shared, compiled models can."""
        requests = self._local.__dict__.setdefault("requests", {})
        key = (shape, alone)
        if key not in requests:
            with self._lock:
                if key not in self._compiled:
                    self._model.reshape(list(shape))
                    self._compiled[key] = self._core.compile_model(self._model, "CPU", self._options(alone))
            requests[key] = self._compiled[key].create_infer_request()
        return requests[key]

    def _options(self, alone: bool) -> dict[str, str]:
        options = {"INFERENCE_PRECISION_HINT": self._precision}
        if self._threads is not None:
            options["INFERENCE_NUM_THREADS"] = str(self._threads)
        if alone:
            return {**options, "PERFORMANCE_HINT": "LATENCY"}
        return {**options, "PERFORMANCE_HINT": "THROUGHPUT", "PERFORMANCE_HINT_NUM_REQUESTS": str(self.calls)}


def _sides(shape: Any) -> tuple[int | None, ...]:
    return () if shape.rank.is_dynamic else tuple(None if side.is_dynamic else side.get_length() for side in shape)


def read_openvino(graph: bytes, data: bytes, level: int | None = None) -> Any:
    """Read a model as :class:`OpenVINOEngine` does, without what its outputs do not need."""
    openvino = import_openvino()
    try:
        model = openvino.Core().read_model(graph, data)
    except RuntimeError as error:
        raise BundleError(f"OpenVINO cannot read the model's graph: {error}") from error
    chosen = choose_outputs([output.names for output in model.outputs], level)
    wanted = [model.outputs[number].get_node() for number in chosen]
    cut = openvino.Model(wanted, model.get_parameters())
    for name, value in model.get_rt_info().items():
        cut.set_rt_info(value, [name])
    return cut


class ONNXRuntimeEngine:
    """Runs an ONNX graph on the CPU or on a CUDA GPU, in float32.

    Parameters
    ----------
    graph, level
        As for :class:`OpenVINOEngine`, but ONNX bytes only.
    device
        None for the GPU where ONNX Runtime finds one.
    threads
        Cores to compute on; None for all.
    """

    name = "onnxruntime"
    batch_size = 4
    calls = 2  # while one's results are copied, the other runs

    def __init__(
        self, graph: bytes, level: int | None = None, device: Device | None = None, *, threads: int | None = None
    ) -> None:
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0  # 0 for all
        options.log_severity_level = 3  # errors
        cuda = ("CUDAExecutionProvider", {"use_tf32": "0"})  # TF32 would keep 10 bits of float32's 23
        found = cuda[0] in onnxruntime.get_available_providers()
        providers = [*([cuda] if found and device != "cpu" else []), "CPUExecutionProvider"]
        try:
            self._session = onnxruntime.InferenceSession(keep_outputs(graph, level), options, providers=providers)
        except CloudsegError:
            raise
        except Exception as error:  # of a dozen classes of its own, which share no other parent
            raise BundleError(f"ONNX Runtime cannot read the model's graph: {error}") from error
        if device == "gpu" and self._session.get_providers()[0] != cuda[0]:
            raise ConfigError(
                'device "gpu" needs ONNX Runtime\'s CUDA provider (pip install onnxruntime-gpu) and a GPU that it can '
                f"use; it runs on {self._session.get_providers()[0]}"
            )

    compilations = 1  # for every shape

    @property
    def shapes(self) -> Shapes:
        """What the graph says of its inputs and outputs."""
        ports = (*self._session.get_inputs(), *self._session.get_outputs())
        return tuple(tuple(side if isinstance(side, int) else None for side in port.shape) for port in ports)

    def run(self, images: NDArray[np.uint8], *, alone: bool = False) -> Output:
        """See :class:`Engine`."""
        return Output(*self._session.run(None, {"images": images}))


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


def has_bfloat16(core: Any) -> bool:
    """Say whether OpenVINO's CPU computes in bfloat16; on another it would take the hint and compute in float32."""
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def import_onnxruntime() -> Any:
    """Import ONNX Runtime, or say what to install."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(f"the onnxruntime engine needs ONNX Runtime ({error})", "onnx") from error
    onnxruntime.disable_telemetry_events()  # on Windows it would send some
    return onnxruntime
