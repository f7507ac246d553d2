"""The SDK's face: build or load a network, train it, predict with it, save it."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.bundle import Bundle, read_bundle, write_bundle
from cloudseg_sdk.config import TTA, Decision, ModelConfig, check_members, check_tta
from cloudseg_sdk.data.dataset import CloudDataset
from cloudseg_sdk.data.images import Source
from cloudseg_sdk.errors import BundleError, CloudsegError, ConfigError, DataError, MissingExtraError
from cloudseg_sdk.evaluation import evaluate_maps, report_scenes
from cloudseg_sdk.inference.engines import Engine, EnsembleEngine, KerasEngine, OpenVINOEngine
from cloudseg_sdk.inference.pipeline import Images, OnError, Options, map_images, predict_images
from cloudseg_sdk.inference.prediction import Prediction, Predictions
from cloudseg_sdk.metrics import Report, truth_at_metric_size
from cloudseg_sdk.page import Evaluation, write_page

if TYPE_CHECKING:
    import keras

    from cloudseg_sdk.training.calibrate import Calibration
    from cloudseg_sdk.training.fit import History

SHIPPED = ("clouds",)
"""Models that come with the package, for :meth:`Segmenter.load`."""

EngineName = Literal["auto", "keras", "openvino"]


class Segmenter:
    """A network with what it takes to use it. Make one with :meth:`build` or :meth:`load`.

    Examples
    --------
    >>> import numpy as np
    >>> from cloudseg_sdk import Segmenter
    >>> segmenter = Segmenter.load("clouds")
    >>> prediction = segmenter(np.zeros((320, 480, 3), np.uint8))
    >>> prediction.mask("Fish").shape
    (320, 480)
    """

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine | None = None,
        model: keras.Model | None = None,
        members: tuple[Segmenter, ...] = (),
    ) -> None:
        self._bundle = bundle
        self._engine = engine
        self._model = model
        self._members = members
        self._decision = bundle.decision
        self._metrics = bundle.metrics
        self._provenance = bundle.provenance
        self._making = threading.RLock()  # one model and one engine, whichever thread is the first to need them

    @classmethod
    def build(cls, config: ModelConfig | None = None, *, seed: int = 0) -> Segmenter:
        """Make a network with fresh weights (needs Keras and a backend).

        Parameters
        ----------
        config
            None for the default preset.
        seed
            Given to :func:`keras.utils.set_random_seed`: the same seed gives the same weights.
        """
        config = config or ModelConfig()
        keras = _import_keras()
        from cloudseg_sdk.models.unetpp import build_network

        keras.utils.set_random_seed(seed)
        bundle = Bundle(config, Decision.plain(len(config.classes)), {}, None)
        return cls(bundle, model=build_network(config))

    @classmethod
    def ensemble(cls, members: Sequence[Segmenter]) -> Segmenter:
        """Make one model of several: its class maps are the mean of theirs.

        It predicts, calibrates, evaluates and saves like any other, into one file; only training is left to the
        members. It starts with 0.5 on pixels, as thresholds of single members do not fit the mean.

        Parameters
        ----------
        members
            Two or more models with the same classes, input size and output size; what else they are made of may differ.

        Raises
        ------
        ConfigError
            Where there are fewer, sizes or classes differ, or one is an ensemble itself.

        Examples
        --------
        >>> clouds = Segmenter.load("clouds")
        >>> both = Segmenter.ensemble([clouds, clouds])
        >>> both.classes == clouds.classes
        True
        """
        members = tuple(members)
        if len(members) < 2:
            raise ConfigError(f"an ensemble needs at least 2 members, got {len(members)}")
        for number, member in enumerate(members, start=1):
            if member.members:
                raise ConfigError(f"member {number} is an ensemble itself; give its .members instead")
        check_members([member.config for member in members])
        config = members[0].config
        return cls(Bundle(config, Decision.plain(len(config.classes)), {}, None), members=members)

    @classmethod
    def load(cls, model: str | Path, *, engine: EngineName = "auto") -> Segmenter:
        """Open a saved model.

        Parameters
        ----------
        model
            "clouds" for the one that comes with the package, or the path of a ``.cloudseg`` file.
        engine
            "openvino" needs no deep-learning framework; "keras" runs on Keras' backend, and on its GPU. "auto" takes
            OpenVINO where the file holds a graph for it.

        Raises
        ------
        BundleError
            Where the file is missing, damaged or of a later version; the message names the part.
        MissingExtraError
            Where the engine is not installed; the message says how to install it.
        """
        bundle = read_bundle(_locate(model))
        if engine not in ("auto", "keras", "openvino"):
            raise ValueError(f'engine must be "auto", "keras" or "openvino", got {engine!r}')
        parts = [cls._open(part, engine, model) for part in bundle.members or [bundle]]
        return cls(bundle, members=tuple(parts)) if bundle.members else parts[0]

    @classmethod
    def _open(cls, bundle: Bundle, engine: EngineName, model: str | Path) -> Segmenter:
        if engine == "openvino" and bundle.graph is None:
            raise BundleError(
                f"{model} holds no ONNX graph for OpenVINO; load it with the keras engine where tf2onnx is installed "
                "and save it again"
            )
        if engine == "keras" or bundle.graph is None:
            segmenter = cls(bundle)
            _ = segmenter.model  # a damaged file or a missing backend shows here and not at the first image
            return segmenter
        return cls(bundle, OpenVINOEngine(bundle.graph))

    @property
    def config(self) -> ModelConfig:
        """The network's configuration; of an ensemble, the first member's."""
        return self._bundle.config

    @property
    def members(self) -> tuple[Segmenter, ...]:
        """Those of an ensemble; none for a single network."""
        return self._members

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.config.classes

    @property
    def decision(self) -> Decision:
        """How class maps become masks: 0.5 on pixels until :meth:`calibrate` has found better."""
        return self._decision

    @property
    def metrics(self) -> dict[str, Any]:
        """What the model scored when it was made, as saved with it."""
        return dict(self._metrics)

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the model comes from, as saved with it."""
        return dict(self._provenance)

    @property
    def engine(self) -> str:
        """Name of the engine that predicts."""
        return self._running_engine().name

    @property
    def model(self) -> keras.Model:
        """The Keras network: scaled images in, class maps out (needs Keras and a backend)."""
        if self._members:
            raise CloudsegError(
                "an ensemble has no network of its own; those of its members are .members[0].model, ..."
            )
        with self._making:
            if self._model is None:
                _import_keras()
                from cloudseg_sdk.models.unetpp import build_network
                from cloudseg_sdk.models.weights import set_weights

                network = build_network(self.config)
                set_weights(network, self._bundle.weights)
                self._model = network
            return self._model

    def fit(
        self,
        train: CloudDataset,
        validation: CloudDataset,
        *,
        epochs: int = 25,
        batch_size: int = 8,
        learning_rate: float = 1e-3,
        loss: str | keras.losses.Loss = "bce_dice",
        seed: int = 0,
        progress: bool = True,
    ) -> History:
        """Train the network, and keep the weights of the best epoch.

        AdamW under a cosine schedule with warm-up; images and masks are flipped at random. The whole dataset is held
        in memory at the network's sizes (uint8). Weights and optimizer steps stay on Keras' default device.

        Parameters
        ----------
        train, validation
            Their classes must be the model's. No image should be in both.
        epochs, batch_size, learning_rate
            The learning rate is the schedule's highest.
        loss
            "dice", "bce_dice", "tversky", "focal_tversky", or a Keras loss of masks and probabilities ``(N, H, W, C)``.
        seed
            Of the order of images and of their flips.
        progress
            Show a progress bar.

        Returns
        -------
        dict
            For each epoch ``loss``, ``val_loss`` (of the last head) and ``val_dice``, the competition's metric with
            0.5 as the threshold on pixels.

        Raises
        ------
        DataError, ImageError
            Where the datasets do not fit, or an image cannot be read.
        CloudsegError
            Where the loss becomes infinite or not a number.
        """
        network = self.model
        from cloudseg_sdk.training.fit import FitOptions, fit_network, load_training_data

        options = FitOptions(epochs, batch_size, learning_rate, loss, seed, progress)
        data = load_training_data(self.config, train, validation, progress=progress)
        try:
            return fit_network(network, self.config, data, options)
        finally:
            self._become_trained()

    def calibrate(self, dataset: CloudDataset, *, tta: TTA | None = None) -> Calibration:
        """Choose each class's presence, pixel and area thresholds by the exact metric, and use them from now on.

        Takes one pass over the images, and a few milliseconds more for each.

        Parameters
        ----------
        dataset
            Score on other images than these: the thresholds fit them a little too well. What to expect of others is in
            the result's ``cross_fitted`` numbers.
        tta
            As for :meth:`predict`. What the thresholds were chosen with is used with them from now on.

        Returns
        -------
        Calibration
            The decision, and what each step of it brought; also kept in :attr:`metrics` under ``calibration``.
        """
        self._check_classes(dataset)
        from cloudseg_sdk.training.calibrate import calibrate_decision

        tta = self._chosen_tta(tta)
        truth = [truth_at_metric_size(example.rles) for example in dataset]
        calibration = calibrate_decision(self._maps(dataset, tta), truth, self.classes, tta)
        self._decision = calibration.decision
        self._metrics = {**self._metrics, "calibration": calibration.to_dict()}
        return calibration

    def evaluate(self, dataset: CloudDataset, *, tta: TTA | None = None, report: str | Path | None = None) -> Report:
        """Score the model by the competition's metric, overall and for each class.

        Parameters
        ----------
        dataset
            Images that neither training nor calibration has seen.
        tta
            As for :meth:`predict`.
        report
            An HTML file to write: the numbers, curves of the thresholds and of the training, worst and best scenes. It
            holds all that it shows.
        """
        self._check_classes(dataset)
        decision = replace(self._decision, tta=self._chosen_tta(tta))
        maps = self._maps(dataset, decision.tta)
        scenes, curves = evaluate_maps(dataset, maps, decision, curves=report is not None)
        found = report_scenes(scenes, self.classes)
        if report is not None and curves is not None:
            write_page(Path(report), Evaluation(found, scenes, curves, decision, self._metrics))
        return found

    def __call__(
        self, image: Source, *, output_size: tuple[int, int] | None = None, tta: TTA | None = None
    ) -> Prediction:
        """Predict one image, a file or a uint8 array ``(H, W)`` or RGB ``(H, W, 3)``; raise if it cannot be read."""
        (prediction,) = self.stream([image], output_size=output_size, batch_size=1, on_error="raise", tta=tta)
        return prediction

    def predict(
        self,
        images: Images,
        *,
        output_size: tuple[int, int] | None = None,
        batch_size: int = 8,
        on_error: OnError = "record",
        tta: TTA | None = None,
    ) -> Predictions:
        """Predict masks for many images; the results have their number and order.

        Parameters
        ----------
        images
            A file, a folder of images, an RGB array ``(H, W, 3)`` or ``(N, H, W, 3)``, a grey one ``(H, W)`` (uint8
            all), or an iterable of files and arrays, which is read lazily.
        output_size
            (height, width) of the masks; None for each image's own. A submission wants (350, 525).
        batch_size
            Images that the engine runs at once.
        on_error
            "record": an image that cannot be read gives a prediction with ``.error``; "raise": it raises.
        tta
            Test-time augmentation. "flips" averages the maps of the image and of its three mirror images, which takes
            four times as long; "none" doesn't; None does what the thresholds were chosen with (``decision.tta``).

        Returns
        -------
        Predictions
            One for each image, even for a single one.
        """
        stream = self.stream(images, output_size=output_size, batch_size=batch_size, on_error=on_error, tta=tta)
        return Predictions(tuple(stream))

    def stream(
        self,
        images: Images,
        *,
        output_size: tuple[int, int] | None = None,
        batch_size: int = 8,
        on_error: OnError = "record",
        tta: TTA | None = None,
    ) -> Iterator[Prediction]:
        """Do the same as :meth:`predict`, yielding each prediction when it is ready and holding a few batches only."""
        options = Options(output_size, batch_size, on_error, self._chosen_tta(tta))
        return predict_images(images, self._running_engine(), self.config, self._decision, options)

    def save(
        self,
        path: str | Path,
        *,
        dtype: Literal["float32", "float16"] = "float32",
        metrics: dict[str, Any] | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        """Write a ``.cloudseg`` file, whole or not at all.

        Needs Keras and a backend, but for a model that was loaded for OpenVINO and is saved with the dtype it has.

        It holds an ONNX graph, for engines that need no framework, wherever the backend's exporter is installed
        (tf2onnx comes with the extra ``tensorflow``); a warning says where it does not.

        Parameters
        ----------
        path
            The file.
        dtype
            How kernels are stored; float16 halves the file.
        metrics, provenance
            JSON values to keep with the model; None keeps what it has.
        """
        if dtype not in ("float32", "float16"):
            raise ValueError(f'dtype must be "float32" or "float16", got {dtype!r}')
        metrics = self._metrics if metrics is None else metrics
        provenance = self._provenance if provenance is None else provenance
        members = tuple(member._to_bundle(path, dtype) for member in self._members)
        bundle = replace(self._bundle, members=members) if members else self._to_bundle(path, dtype)
        bundle = replace(bundle, decision=self._decision, metrics=metrics, provenance=provenance)
        write_bundle(Path(path), bundle, dtype)
        self._metrics, self._provenance = metrics, provenance

    def _to_bundle(self, path: str | Path, dtype: Literal["float32", "float16"]) -> Bundle:
        """Return a network as it is now: its file's own parts if nobody has had the Keras model to change it."""
        bundle = replace(self._bundle, decision=self._decision, metrics=self._metrics, provenance=self._provenance)
        kernels = {array.dtype for array in bundle.weights.values() if array.ndim > 1}
        if self._model is None and bundle.graph is not None and kernels == {np.dtype(dtype)}:
            return bundle
        network = self.model
        from cloudseg_sdk.models.weights import export

        weights, graph = export(network, self.config, dtype)
        if graph is None:
            warnings.warn(
                f"{path} gets no ONNX graph, so it will need Keras: tf2onnx (on JAX jax2onnx) is missing", stacklevel=3
            )
        return replace(bundle, weights=weights, graph=graph)

    def _running_engine(self) -> Engine:
        if self._members:
            return EnsembleEngine([member._running_engine() for member in self._members])
        with self._making:
            if self._engine is None:
                network = self.model
                from cloudseg_sdk.models.serving import serving_model

                self._engine = KerasEngine(serving_model(network, self.config))
            return self._engine

    def _chosen_tta(self, tta: TTA | None) -> TTA:
        if tta is None:
            return self._decision.tta
        check_tta(tta)
        return tta

    def _maps(self, dataset: CloudDataset, tta: TTA) -> Iterator[NDArray[np.float32]]:
        options = Options(None, 8, "raise", tta)
        images = (example.image for example in dataset)
        with ThreadPoolExecutor() as pool:
            for _, maps in map_images(pool, images, self._running_engine(), self.config, options):
                if maps is not None:  # never None under "raise"
                    yield maps

    def _become_trained(self) -> None:
        """Forget what belonged to the weights before training: engine, decision, scores."""
        self._engine = None
        self._decision = Decision.plain(len(self.classes))
        self._metrics = {}
        self._provenance = {}

    def _check_classes(self, dataset: CloudDataset) -> None:
        if dataset.classes != self.classes or not len(dataset):
            raise DataError(f"wanted images with the classes {self.classes}, got {len(dataset)} with {dataset.classes}")


def _locate(model: str | Path) -> Path:
    if isinstance(model, str) and model in SHIPPED:
        return Path(str(resources.files("cloudseg_sdk") / "bundles" / f"{model}.cloudseg"))
    path = Path(model)
    if not path.is_file():
        raise BundleError(f"no model {str(model)!r}; wanted a .cloudseg file or one of {', '.join(SHIPPED)}")
    return path


def _import_keras() -> Any:
    try:
        import keras
    except ImportError as error:  # Keras itself, or the backend that it imports at once
        raise MissingExtraError(f"building and training need Keras 3 and a backend ({error})", "tensorflow") from error
    return keras
