"""Prediction on a Ray cluster, with Ray Data: a class for its ``map_batches``, and bulk jobs made of it.

`docs/ray.md` says how to size a cluster. Ray is imported when first needed, and comes with the extra ``ray``.
"""

from __future__ import annotations

import hashlib
import io
import math
import pickle
import sys
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack

import cv2
import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.data.sources import Images, Source
from cloudseg_sdk.errors import CloudsegError, ConfigError, DataError, ImageError, MissingExtraError
from cloudseg_sdk.inference.bulk import list_names
from cloudseg_sdk.inference.engines import Device
from cloudseg_sdk.inference.options import PredictOptions
from cloudseg_sdk.inference.parts import BulkReport, Parts, open_parts
from cloudseg_sdk.inference.prediction import Prediction
from cloudseg_sdk.inference.progress import Bar
from cloudseg_sdk.inference.writers import make_table
from cloudseg_sdk.network import Choice, EngineName, Precision
from cloudseg_sdk.segmenter import open_model

if TYPE_CHECKING:
    import pyarrow as pa
    import ray.data

__all__ = ["BatchPredictor", "predict_dataset"]

Batch: TypeAlias = Mapping[str, NDArray[Any]]

_DIGEST = 16  # bytes of a source's hash


class PredictorOptions(PredictOptions, total=False):
    """How :class:`BatchPredictor` loads a model, and how it predicts."""

    engine: EngineName
    precision: Precision
    device: Device | None
    level: int | None


class BatchPredictor:
    """Predicts batches of images in an actor of Ray Data, which loads the model once.

    Its table has the rows and columns of :meth:`cloudseg_sdk.Predictions.to_frame`: an image that cannot be read is a
    row with its error. On a CPU the network runs on as many cores as Ray has reserved for the actor, but with Keras,
    whose backends have settings of their own for that.

    Parameters
    ----------
    model, engine, precision, device, level
        As for :meth:`cloudseg_sdk.Segmenter.load`, in the actor: a path is one of its node.
    **options
        Those of :meth:`cloudseg_sdk.Segmenter.predict`, but for probabilities, which tables do not hold.

    Examples
    --------
    >>> import numpy as np
    >>> predictor = BatchPredictor("clouds", output_size=(350, 525))
    >>> predictor({"path": np.array(["gone.jpg"])})["error"].to_pylist()
    ['cannot read gone.jpg: No such file or directory']

    On a cluster, one image and class in a row:

    >>> def predict_folder(folder: str, out: str) -> None:
    ...     import ray
    ...
    ...     images = ray.data.read_binary_files(folder, include_paths=True)
    ...     actors = ray.data.ActorPoolStrategy(size=8)
    ...     rows = images.map_batches(
    ...         BatchPredictor, fn_constructor_args=["clouds"], compute=actors, num_cpus=4, batch_size=64
    ...     )
    ...     rows.write_parquet(out)
    """

    def __init__(
        self,
        model: str | Path,
        *,
        engine: EngineName = "auto",
        precision: Precision = "auto",
        device: Device | None = None,
        level: int | None = None,
        **options: Unpack[PredictOptions],
    ) -> None:
        cores = None if device == "gpu" else _reserved_cpus()
        if cores is not None:
            cv2.setNumThreads(cores)
        self._segmenter = open_model(model, Choice(engine, precision, device, reserved=cores), level)
        self._options = options
        self.settings = self._segmenter.table_settings(**options)

    def __call__(self, batch: Batch) -> pa.Table:
        """Return the table of a batch.

        Parameters
        ----------
        batch
            Columns ``path``, text that names each image, and ``bytes`` with the image files; without ``bytes`` the
            paths are read, as they are found from the actor's node. Other columns are passed over.
        """
        return make_table(self.predict(batch))

    def predict(self, batch: Batch) -> list[Prediction]:
        """Return the predictions of a batch, in its order; a row without a path has the source ``""``."""
        _check_columns(batch)
        names = batch["path"]
        contents = batch.get("bytes", names)
        faults = [_find_fault(*row) for row in zip(names, contents, strict=True)]
        if self._options.get("on_error") == "raise" and any(faults):
            raise ImageError(next(filter(None, faults)))
        rows = zip(names, contents, faults, strict=True)
        found = self._segmenter.stream((_as_source(*row) for *row, fault in rows if fault is None), **self._options)
        return [
            next(found)
            if fault is None
            else Prediction(name if isinstance(name, str) else "", self._segmenter.classes, error=fault)
            for name, fault in zip(names, faults, strict=True)
        ]


class _JobPredictor(BatchPredictor):
    """Gives whole predictions, one in a row: Ray may part the rows of a table between blocks, and so an image's."""

    def __init__(self, wanted: Mapping[str, Any], model: str | Path, **options: Unpack[PredictorOptions]) -> None:
        super().__init__(model, **options)
        if self.settings != wanted:
            raise ConfigError(f"the model {str(model)!r} is not the same on all nodes; copy it to each, or share it")

    def __call__(self, batch: Batch) -> dict[str, list[bytes]]:
        try:
            found: list[Prediction] | list[CloudsegError] = list(self.predict(batch))
        except CloudsegError as error:  # a result like others, because Ray would make a traceback of it
            found = [error]
        return {"prediction": [pickle.dumps(item) for item in found]}


def predict_dataset(
    images: Images | ray.data.Dataset,
    model: str | Path,
    path: str | Path,
    *,
    concurrency: int | tuple[int, int],
    num_cpus: float = 1,
    num_gpus: float = 0,
    images_per_call: int = 64,
    part_size: int = 500,
    resume: bool = True,
    progress: bool = True,
    **options: Unpack[PredictorOptions],
) -> BulkReport:
    """Predict images on a Ray cluster into a folder of Parquet, and go on there after a crash.

    The cluster is the one that Ray is connected to, or a new one on this machine. Actors read and predict; this process
    writes their rows, in the order in which they come, into parts of `part_size` images, each whole or not at all. The
    folder is what :meth:`cloudseg_sdk.Segmenter.predict_to` writes, but for that order: the same columns, an image that
    cannot be read being one row with its error, and a manifest. Each source is predicted once, however often it is
    given. The same call again, after a kill, a full disk or Ctrl-C, predicts the sources that have no rows yet; it may
    be given more images than before, and other actors.

    Parameters
    ----------
    images
        A folder or any iterable of paths, as every node finds them; or a Ray dataset with the columns ``path`` (text)
        and, unless the paths are to be read, ``bytes``:
        ``ray.data.read_binary_files("s3://scenes/", include_paths=True)``.
    model
        As for :meth:`cloudseg_sdk.Segmenter.load`; a path is one of every node.
    path
        A folder ``.parquet`` that this process can write, made where it is missing.
    concurrency
        How many actors, or (least, most) for as many as there is work and room for.
    num_cpus, num_gpus
        What Ray reserves for each. On a CPU, the cores that its network runs on.
    images_per_call
        Images that an actor is given at once, at most: with ``bytes``, it holds the files of so many.
    part_size
        Images in a part. A kill costs those of one part, and those in the actors.
    resume
        Go on with what is there; False refuses a folder that holds a job already.
    progress
        Show a progress bar with images a second.
    **options
        Those of :class:`BatchPredictor`.

    Returns
    -------
    BulkReport
        The number of images, rows and errors in the folder, those of earlier calls included.

    Raises
    ------
    ConfigError
        Where the folder holds a job of another model or settings, or the model's files differ between nodes.
    DataError
        Where the dataset has no column ``path``, or a path is no UTF-8.
    CloudsegError
        Where the folder cannot be written, is gone, or another process is writing it.
    ValueError, TypeError, MissingExtraError, BundleError
        Where an argument cannot be, or Ray is missing; before anything is written.
    """
    ray = _import_ray()
    folder = Path(path)
    if folder.suffix != ".parquet":
        raise ValueError(f"predict_dataset writes a folder whose name ends in .parquet, got {folder}")
    for name, value in (("images_per_call", images_per_call), ("part_size", part_size)):
        if type(value) is not int or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    least, most = _actors(concurrency)
    names = None if isinstance(images, ray.data.Dataset) else _list_once(images)
    reserved = {"num_cpus": num_cpus, "num_gpus": num_gpus}

    # Asked of a worker: this machine may lack the GPU, the engine or the file.
    try:
        settings = ray.get(ray.remote(**reserved, max_calls=1)(_ask_settings).remote(model, options))
    except ray.exceptions.RayTaskError as error:  # whose message is a traceback
        raise error.cause from error
    with open_parts(folder, (0, 1), {**settings, "images": "those of a Ray cluster"}, resume=resume) as parts:
        finished = parts.clear_unfinished()
        if names is None:
            total, done, size = None, len(finished), images_per_call
            dataset = _without(images, finished)
        else:
            left = [name for name in names if name not in finished]
            total, done = len(names), len(names) - len(left)
            size = min(images_per_call, math.ceil(len(left) / most))  # or some actors would have nothing to do
            dataset = _paths_dataset(left, size) if left else None
        if dataset is not None:
            found = _take(
                dataset.map_batches(
                    _JobPredictor,
                    fn_constructor_args=[settings, model],
                    fn_constructor_kwargs=options,
                    compute=ray.data.ActorPoolStrategy(min_size=least, max_size=most),
                    batch_size=size,
                    **reserved,
                )
            )
            with closing(found), Bar(total, done=done, progress=progress) as bar:
                _write(bar.count(_unseen(found, finished)), parts, part_size)
        return parts.finish()


def _write(items: Iterator[Prediction], parts: Parts, size: int) -> None:
    names = (f"part-0000-{number:06}.parquet" for number in count())
    free = (name for name in names if not parts.holds(name))
    while part := tuple(islice(items, size)):
        parts.write(next(free), part)


def _take(rows: ray.data.Dataset) -> Generator[Prediction, None, None]:
    """Yield predictions as they come."""
    context = rows.context
    shown, context.enable_progress_bars = context.enable_progress_bars, False  # or Ray draws over the bar of images
    stream = iter(rows.iter_rows())
    try:
        for row in stream:
            item = pickle.loads(row["prediction"])
            if isinstance(item, CloudsegError):
                raise item
            yield item
    finally:
        context.enable_progress_bars = shown
        del rows, stream  # Ray ends its actors when nobody holds these, and a traceback would


def _unseen(items: Iterable[Prediction], seen: set[str]) -> Iterator[Prediction]:
    """Yield the first prediction of each source."""
    for item in items:
        if item.source not in seen:
            seen.add(item.source)
            yield item


def _list_once(images: Images) -> list[str]:
    names = list(dict.fromkeys(list_names(images)))
    if not names:
        raise DataError("there are no images to predict")
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"the name {name!r} is no UTF-8, as Ray and Parquet want; rename the file") from error
    return names


def _paths_dataset(names: list[str], size: int) -> ray.data.Dataset:
    """Return paths in blocks of one call each, because results come by the block."""
    import pyarrow as pa
    import ray.data

    return ray.data.from_arrow(
        [pa.table({"path": names[start : start + size]}) for start in range(0, len(names), size)]
    )


def _without(dataset: Any, finished: set[str]) -> ray.data.Dataset:
    """Return the rows whose path is not in `finished`, which goes to the nodes as one array that processes share."""
    known = np.sort(_digests(finished))

    def drop_finished(batch: pa.Table) -> pa.Table:
        if "path" not in batch.column_names:
            return batch  # the predictor says so
        found = _digests(batch["path"].to_pylist())
        places = np.minimum(np.searchsorted(known, found), len(known) - 1)
        return batch.filter(known[places] != found)

    return dataset.map_batches(drop_finished, batch_format="pyarrow") if finished else dataset


def _digests(names: Iterable[object]) -> NDArray[np.bytes_]:
    hashes = (hashlib.blake2b(str(name).encode(), digest_size=_DIGEST).digest() for name in names)
    return np.array(list(hashes), f"S{_DIGEST}")


def _ask_settings(model: str | Path, options: PredictorOptions) -> dict[str, Any]:
    return BatchPredictor(model, **options).settings


def _check_columns(columns: Iterable[str]) -> None:
    if "path" not in columns:
        raise DataError(
            f"a dataset of images has a column path, text that names each, and may have one with their bytes; got "
            f"{', '.join(columns) or 'none'}; read_binary_files(..., include_paths=True) makes both"
        )


def _find_fault(name: object, content: object) -> str | None:
    """Say what keeps a row from being an image at all; the images themselves are read later."""
    if not isinstance(name, str):
        return f"the row has no path, which is text, but {name!r}"
    if not isinstance(content, str | bytes):
        return f"{name} has no bytes, but {content!r}"
    return None if content else f"{name} is empty (0 bytes)"


def _as_source(name: str, content: str | bytes) -> Source:
    if isinstance(content, str):
        return content
    file = io.BytesIO(content)
    file.name = name
    return file


def _reserved_cpus() -> int | None:
    """Return how many cores Ray has reserved for this actor; None where that is not said, or outside of Ray."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    cpus = ray.get_runtime_context().get_assigned_resources().get("CPU", 0)
    return max(1, int(cpus)) if cpus else None


def _actors(concurrency: int | tuple[int, int]) -> tuple[int, int]:
    least, most = concurrency if isinstance(concurrency, tuple) and len(concurrency) == 2 else (concurrency,) * 2
    if type(least) is not int or type(most) is not int or not 1 <= least <= most:
        raise ValueError(
            f"concurrency must be a number of actors, or (least, most), of at least 1, got {concurrency!r}"
        )
    return least, most


def _import_ray() -> Any:
    """Import Ray with Ray Data, or say what to install."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError(f"prediction on a cluster needs Ray Data ({error})", "ray") from error
    return ray
