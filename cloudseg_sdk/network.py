"""One network: the parts of a file until Keras is asked for, then Keras' model; and the engine that runs it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.bundle import Bundle
from cloudseg_sdk.config import ModelConfig
from cloudseg_sdk.errors import BundleError, MissingExtraError
from cloudseg_sdk.inference.engines import Engine, KerasEngine, OpenVINOEngine

if TYPE_CHECKING:
    import keras

EngineName = Literal["auto", "keras", "openvino"]
Weights = Mapping[str, NDArray[np.floating[Any]]]


class Network:
    """A network that makes its Keras model and its engine when they are first needed, in whichever thread.

    Parameters
    ----------
    config
        Of the network that `weights`, `graph` or `model` hold.
    weights, graph
        As in :class:`cloudseg_sdk.bundle.Bundle`; not used where there is a `model`.
    model
        None to build it of `weights`.
    level
        The head to end at; None for the last.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        weights: Weights | None = None,
        graph: bytes | None = None,
        model: keras.Model | None = None,
        level: int | None = None,
    ) -> None:
        self.config = config if level is None else config.pruned(level)
        self._whole = config
        self._weights = weights or {}
        self._graph = graph
        self._model = model
        self._engine: Engine | None = None
        self._making = threading.RLock()

    @classmethod
    def open(cls, bundle: Bundle, engine: EngineName, level: int | None, file: str | Path) -> Network:
        """Open what was read from `file`; a damaged part or a missing backend shows here and not at the first image."""
        network = cls(bundle.config, weights=bundle.weights, graph=bundle.graph, level=level)
        if engine == "openvino" and bundle.graph is None:
            raise BundleError(
                f"{file} holds no ONNX graph for OpenVINO; load it with the keras engine where tf2onnx is installed "
                "and save it again"
            )
        if engine == "keras" or bundle.graph is None:
            _ = network.model
        else:
            network._engine = OpenVINOEngine(bundle.graph, None if network.is_whole else level)
        return network

    @property
    def is_whole(self) -> bool:
        """Whether no level was left out."""
        return self.config == self._whole

    @property
    def model(self) -> keras.Model:
        """The Keras network: scaled images in, class maps out."""
        with self._making:
            if self._model is None:
                import_keras()
                from cloudseg_sdk.models.unetpp import build_network, prune
                from cloudseg_sdk.models.weights import set_weights

                network = build_network(self._whole)
                set_weights(network, self._weights)
                self._model = network if self.is_whole else prune(network, self.config.nested)
            return self._model

    @property
    def engine(self) -> Engine:
        """What runs it: Keras, unless it was opened for another."""
        with self._making:
            if self._engine is None:
                network = self.model
                from cloudseg_sdk.models.serving import serving_model

                self._engine = KerasEngine(serving_model(network, self.config))
            return self._engine

    def forget_engine(self) -> None:
        """Make a new engine when next asked: this one runs the weights of before training."""
        self._engine = None

    def digest(self) -> str:
        """Return the SHA-256 of the configuration and of the weights as they are now."""
        weights = self._weights
        if self._model is not None:
            from cloudseg_sdk.models.weights import get_weights

            weights = get_weights(self._model)
        digest = hashlib.sha256(json.dumps(self.config.to_dict()).encode())
        for name, array in sorted(weights.items()):
            digest.update(name.encode() + np.asarray(array, np.float32).tobytes())
        return digest.hexdigest()

    def parts(self, dtype: Literal["float32", "float16"]) -> tuple[Weights, bytes | None]:
        """Return weights and graph as they are now: the file's own where nobody has had the model to change it."""
        stored = {array.dtype for array in self._weights.values() if array.ndim > 1}
        if self._model is None and self.is_whole and self._graph is not None and stored == {np.dtype(dtype)}:
            return self._weights, self._graph
        network = self.model
        from cloudseg_sdk.models.weights import export

        return export(network, self.config, dtype)


def import_keras() -> Any:
    """Import Keras, or say what to install."""
    try:
        import keras
    except ImportError as error:  # Keras itself, or the backend that it imports at once
        raise MissingExtraError(f"building and training need Keras 3 and a backend ({error})", "tensorflow") from error
    return keras
