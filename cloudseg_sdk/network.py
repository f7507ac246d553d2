"""One network: the parts of a file until Keras is asked for, then Keras' model; and the engine that runs it."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.bundle import Bundle
from cloudseg_sdk.config import ModelConfig
from cloudseg_sdk.errors import BundleError, CloudsegError, ConfigError, MissingExtraError, naming
from cloudseg_sdk.graph import Weights
from cloudseg_sdk.inference.engines import (
    Device,
    Engine,
    KerasEngine,
    ONNXRuntimeEngine,
    OpenVINOEngine,
    Output,
    Shapes,
    keras_device,
)
from cloudseg_sdk.parity import TOLERANCE, Parity, measure_parity, probe_images

if TYPE_CHECKING:
    import keras

EngineName = Literal["auto", "keras", "onnxruntime", "openvino"]
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class Choice:
    """What is to run a network, and how; see :meth:`cloudseg_sdk.Segmenter.load`.

    `reserved` are cores to compute on that no user asked for: of those the engine that is chosen takes what it can be
    told, where `threads` are refused by one that takes none.
    """

    engine: EngineName = "auto"
    precision: Precision = "auto"
    device: Device | None = None
    threads: int | None = None
    reserved: int | None = None

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("engine", self.engine, get_args(EngineName)),
            ("precision", self.precision, get_args(Precision)),
            ("device", self.device, (None, *get_args(Device))),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
        if self.engine == "openvino" and self.device == "gpu":
            raise ConfigError('the openvino engine runs on the CPU; for device "gpu" take "keras" or "onnxruntime"')
        if self.engine == "onnxruntime" and self.precision == "bfloat16":
            raise ConfigError('the onnxruntime engine computes in float32; for bfloat16 take "openvino" or "keras"')
        if self.threads is not None and (type(self.threads) is not int or self.threads < 1):
            raise ValueError(f"threads must be a whole number of at least 1 or None, got {self.threads!r}")
        if self.threads is not None and self.engine == "keras":
            raise ConfigError("the keras engine takes its threads from its backend's settings; leave threads out")

    @property
    def arithmetic(self) -> Literal["float32", "bfloat16"]:
        """The precision, decided: float32 unless the other is asked for."""
        return "bfloat16" if self.precision == "bfloat16" else "float32"


class Parts(NamedTuple):
    """What a file holds of one network; `without_graph` says why there is no graph."""

    weights: Weights
    graph: bytes | None
    parity: Parity
    graph_data: bytes = b""
    without_graph: str = ""


class Network:
    """A network that makes its Keras model and its engine when they are first needed, in whichever thread.

    Parameters
    ----------
    config
        Of the network that `weights`, `graph` or `model` hold.
    saved
        The parts of a file; not used where there is a `model`.
    model
        None to build it of `saved`.
    level
        The head to end at; None for the last.
    choice
        What is to run it.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        saved: Parts | None = None,
        model: keras.Model | None = None,
        level: int | None = None,
        choice: Choice | None = None,
    ) -> None:
        self.config = config if level is None else config.pruned(level)
        self._whole = config
        self._saved = saved or Parts({}, None, {})
        self.parity: Parity = self._saved.parity  # as measured when these weights were last written
        self._model = model
        self._choice = choice or Choice("keras")
        self._engine: Engine | None = None
        self._making = threading.RLock()

    @classmethod
    def open(cls, bundle: Bundle, choice: Choice, level: int | None, file: str | Path) -> Network:
        """Open what was read from `file`; a damaged part or a missing backend shows here and not at the first image."""
        name = choice.engine
        if name == "auto":
            name = "keras" if choice.device == "gpu" or bundle.graph is None else "openvino"
        choice = replace(choice, engine=name)
        threads = choice.threads or choice.reserved
        saved = Parts(bundle.weights, bundle.graph, bundle.parity, bundle.graph_data)
        network = cls(bundle.config, saved=saved, level=level, choice=choice)
        if name == "keras":
            with naming(file):
                _ = network.model
            return network
        if bundle.graph is None:
            raise BundleError(
                f"{file} holds no ONNX graph for the {name} engine; load it with the keras engine where tf2onnx is "
                "installed and save it again"
            )
        if name == "onnxruntime" and bundle.graph_data:
            raise ConfigError(f'{file} is an OpenVINO model, which the onnxruntime engine cannot read; take "openvino"')
        head = None if network.is_whole else level
        engine: OpenVINOEngine | ONNXRuntimeEngine
        with naming(file):
            if name == "openvino":
                engine = OpenVINOEngine(bundle.graph, head, choice.arithmetic, bundle.graph_data, threads=threads)
            else:
                engine = ONNXRuntimeEngine(bundle.graph, head, choice.device, threads=threads)
        _check_shapes(engine.shapes, network.config, file)
        network._engine = engine
        return network

    @property
    def is_whole(self) -> bool:
        """Whether no level was left out."""
        return self.config == self._whole

    @property
    def precision(self) -> Literal["float32", "bfloat16"]:
        """What its engine computes in."""
        return self._choice.arithmetic

    @property
    def model(self) -> keras.Model:
        """The Keras network: scaled images in, class maps out."""
        with self._making:
            if self._model is None:
                self._model = self._build()
            return self._model

    def _build(self) -> keras.Model:
        import_keras()
        from cloudseg_sdk.models.unetpp import build_network, prune
        from cloudseg_sdk.models.weights import check_widths, has_gpu, set_weights

        if not self._saved.weights:
            raise BundleError("an exported model has no weights for Keras; use the .cloudseg file that it was made of")
        device = self._choice.device if self._choice.engine == "keras" else None
        if device == "gpu" and not has_gpu():
            raise ConfigError('device "gpu": Keras\' backend sees none; `cloudseg doctor` shows backend and devices')
        check_widths(self._whole, self._saved.weights)
        with keras_device(device):
            network = build_network(self._whole)
            set_weights(network, self._saved.weights)
        return network if self.is_whole else prune(network, self.config.nested)

    @property
    def engine(self) -> Engine:
        """What runs it: Keras, unless it was opened for another."""
        with self._making:
            if self._engine is None:
                network, choice = self.model, self._choice
                from cloudseg_sdk.models.serving import serving_model
                from cloudseg_sdk.models.weights import copy_network

                if choice.arithmetic == "bfloat16":
                    with keras_device(choice.device):
                        network = copy_network(network, self.config, "mixed_bfloat16")
                self._engine = KerasEngine(serving_model(network, self.config), choice.device)
            return self._engine

    def forget_engine(self) -> None:
        """Make a new Keras engine when next asked: this one, and parity, are of the weights before training."""
        if self._choice.engine != "keras":
            self._choice = Choice("keras")
        self._engine = None
        self.parity = {}

    def digest(self) -> str:
        """Return the SHA-256 of the configuration and of the weights as they are now, or of a graph without weights."""
        weights = self._saved.weights
        if self._model is not None:
            from cloudseg_sdk.models.weights import get_weights

            weights = get_weights(self._model)
        digest = hashlib.sha256(json.dumps(self.config.to_dict()).encode())
        for name, array in sorted(weights.items()):
            digest.update(name.encode() + np.asarray(array, np.float32).tobytes())
        if not weights:
            digest.update((self._saved.graph or b"") + self._saved.graph_data)
        return digest.hexdigest()

    def parts(self, dtype: Literal["float32", "float16"]) -> Parts:
        """Return weights and graph as they are now: the file's own where nobody has had the model to change it."""
        stored = {array.dtype for array in self._saved.weights.values() if array.ndim > 1}
        unchanged = self._model is None and self.is_whole and self._saved.graph is not None
        if unchanged and stored == {np.dtype(dtype)}:
            return self._saved
        network = self.model
        from cloudseg_sdk.models.weights import get_weights, to_onnx

        weights, graph = get_weights(network), to_onnx(network, self.config)
        if graph is None:
            return Parts(weights, None, {}, without_graph="tf2onnx (on JAX jax2onnx) is missing")
        images = probe_images(self.config)
        parity = measure_parity(graph, images, self.run_exactly(images))
        for name, distances in parity.items():
            if distances["float32"] > TOLERANCE:
                found = f"{name}'s maps differ from Keras' by up to {distances['float32']:.2g}"
                return Parts(weights, None, {}, without_graph=f"{found}, more than {TOLERANCE:g}")
        return Parts(weights, graph, parity)

    def graph(self) -> tuple[bytes, int | None]:
        """Return an ONNX graph of the network, and the head to end at."""
        if self._model is None and self._saved.graph is not None and not self._saved.graph_data:
            return self._saved.graph, None if self.is_whole else self.config.nested
        found = self.parts("float32")
        if found.graph is None:
            raise CloudsegError(f"there is no ONNX graph to export: {found.without_graph}")
        return found.graph, None

    def run_exactly(self, images: NDArray[np.uint8]) -> Output:
        """Run a batch in float32: with Keras, or where nobody has asked for its model, with the file's graph."""
        if self._model is None and self._saved.graph is not None:
            head = None if self.is_whole else self.config.nested
            return OpenVINOEngine(self._saved.graph, head, data=self._saved.graph_data).run(images)
        return _run_eagerly(self.model, self.config, images)


def _check_shapes(found: Shapes, config: ModelConfig, file: str | Path) -> None:
    """Refuse a graph of another network than the configuration's."""
    wanted: Shapes = ((None, *config.input_size, 3), (None, *config.output_size, len(config.classes)))
    if config.presence_head:
        wanted = (*wanted, (None, len(config.classes)))
    alike = len(found) == len(wanted) and all(
        len(one) == len(other) and all(side in (None, length) for side, length in zip(one[1:], other[1:], strict=True))
        for one, other in zip(found, wanted, strict=True)
    )
    if not alike:
        raise BundleError(
            f"{file}: its graph has inputs and outputs of the shapes {list(found)}, wanted {list(wanted)} by its "
            "configuration"
        )


def _run_eagerly(network: keras.Model, config: ModelConfig, images: NDArray[np.uint8]) -> Output:
    """Run a batch once, without compiling for it."""
    from keras.ops import convert_to_numpy

    from cloudseg_sdk.models.serving import as_list, serving_model

    outputs = as_list(serving_model(network, config)(images, training=False))
    return Output(*(convert_to_numpy(array) for array in outputs))


def import_keras() -> Any:
    """Import Keras, or say what to install."""
    try:
        import keras
    except ImportError as error:  # Keras itself, or the backend that it imports at once
        raise MissingExtraError(f"building and training need Keras 3 and a backend ({error})", "tensorflow") from error
    return keras
