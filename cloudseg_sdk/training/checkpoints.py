"""A training run on disk: what it needs to go on as if nothing had happened, the weights to keep, its history.

``last.npz`` is everything that the next step depends on; ``kept.npz`` and ``history.csv`` follow from it. Each is
written whole or not at all, ``last.npz`` last, so that a kill between them only repeats what was done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cloudrle._files import atomic_path, locked
from cloudseg_sdk.errors import BundleError, CloudsegError, ConfigError

History = dict[str, list[float]]

Weights = Sequence[NDArray[np.floating[Any]]]


@dataclass
class Progress:
    """Where a run stands.

    Parameters
    ----------
    epoch, losses
        The epoch that is running, and the loss of each of its batches so far.
    history
        Of the epochs before it.
    """

    epoch: int = 0
    losses: list[float] = field(default_factory=list)
    history: History = field(default_factory=lambda: {"loss": [], "val_loss": [], "val_dice": []})

    @property
    def best_epoch(self) -> int | None:
        """The first of those with the best ``val_dice``, from 0; None before one has ended."""
        scores = self.history["val_dice"]
        return scores.index(max(scores)) if scores else None


class Checkpoint:
    """The folder of one run.

    Parameters
    ----------
    folder
        Of :func:`one_writer`.
    run
        JSON values that tell this run from others: one that differs in any of them is never gone on with.
    """

    def __init__(self, folder: Path, run: Mapping[str, Any]) -> None:
        self._folder = folder
        self._run = json.loads(json.dumps(run))  # as it comes back: tuples are lists

    def load(self, variables: Sequence[keras.Variable]) -> Progress | None:
        """Give `variables` their values back; return None where the folder holds no run.

        Raises
        ------
        ConfigError
            Where it holds another run; the message says in what it differs.
        BundleError
            Where a file is damaged.
        """
        path = self._folder / "last.npz"
        if not path.exists():
            return None
        arrays = _read(path)
        try:
            saved = json.loads(str(arrays.pop("state")))
            run, progress = saved["run"], Progress(**saved["progress"])
        except (KeyError, ValueError, TypeError) as error:
            raise BundleError(f"{path} is damaged: {error!r}") from error
        for name, value in self._run.items():
            if run.get(name) != value:
                raise ConfigError(
                    f"{self._folder} holds a run with {name}={run.get(name)!r}, not {value!r}; give another folder, or "
                    "call it as before"
                )
        _assign(variables, arrays, path)
        return progress

    def save(self, progress: Progress, variables: Sequence[keras.Variable]) -> None:
        """Write where the run stands."""
        state = json.dumps({"run": self._run, "progress": asdict(progress)})
        arrays = {str(number): keras.ops.convert_to_numpy(variable) for number, variable in enumerate(variables)}
        with self._file("last.npz") as temporary:
            np.savez(temporary, allow_pickle=False, state=np.array(state), **arrays)

    def save_kept(self, weights: Weights) -> None:
        """Write the weights that a run would end with now."""
        with self._file("kept.npz") as temporary:
            np.savez(temporary, allow_pickle=False, **{str(number): array for number, array in enumerate(weights)})

    def load_kept(self, weights: Sequence[keras.Variable]) -> None:
        """Give `weights` the values of :meth:`save_kept`."""
        path = self._folder / "kept.npz"
        _assign(weights, _read(path), path)

    def write_history(self, history: History) -> None:
        """Write ``history.csv``: a row for each epoch, from 1."""
        rows = zip(*history.values(), strict=True)
        lines = [f"{number},{','.join(map(repr, row))}\n" for number, row in enumerate(rows, start=1)]
        with self._file("history.csv") as temporary:
            temporary.write_text(f"epoch,{','.join(history)}\n{''.join(lines)}", encoding="utf-8")

    @contextmanager
    def _file(self, name: str) -> Iterator[Path]:
        with _writing(self._folder), atomic_path(self._folder / name) as temporary:
            yield temporary


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Make the folder of a run where it is missing, and keep other processes from writing to it.

    Raises
    ------
    CloudsegError
        Where another process is training into it, or it cannot be written.
    """
    with ExitStack() as lock:
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock.enter_context(locked(folder / ".lock"))
        yield


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say what it means for the run that a file cannot be written."""
    try:
        yield
    except BlockingIOError as error:
        raise CloudsegError(
            f"another process is training into {folder}; let it end, or stop it first, or give another folder"
        ) from error
    except OSError as error:
        raise CloudsegError(
            f"cannot write to {folder}: {os.strerror(error.errno or 0)}; the run is kept as it was last written: mend "
            "that, and call it again to go on"
        ) from error


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:  # np.load may leave its own open
            return dict(arrays)
    except Exception as error:  # NumPy and zipfile raise all sorts
        raise BundleError(f"{path} is damaged: {error}") from error


def _assign(variables: Sequence[keras.Variable], arrays: Mapping[str, NDArray[Any]], path: Path) -> None:
    shapes = {str(number): tuple(variable.shape) for number, variable in enumerate(variables)}
    if shapes != {name: array.shape for name, array in arrays.items()}:
        raise BundleError(f"{path} is damaged: its arrays are not those of this network")
    for variable, name in zip(variables, shapes, strict=True):
        variable.assign(arrays[name])
