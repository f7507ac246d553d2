"""Several devices that share each batch: the weights on all of them, a part of the images on each."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cloudseg_sdk.errors import ConfigError
from cloudseg_sdk.training.batches import Batch


class Devices:
    """The first `count` of the devices that Keras lists, GPUs where there are any.

    On JAX (``keras.distribution``) a step is that of one device, but for rounding. TensorFlow
    (``tf.distribute.MirroredStrategy``) takes every part of a batch for itself and adds up the gradients: see `parts`.

    Parameters
    ----------
    count
        How many; 1 leaves everything where Keras puts it.
    batch_size
        Images in a batch.

    Attributes
    ----------
    count
        As given.
    parts
        Into how many a batch is taken apart. Each has batch statistics, a loss and a gradient of its own.

    Raises
    ------
    ConfigError
        Where there are not as many, they cannot share a batch evenly, or Keras cannot train on several.
    """

    def __init__(self, count: int, batch_size: int) -> None:
        if type(count) is not int or count < 1:
            raise ConfigError(f"devices must be a whole number of at least 1, got {count!r}")
        self.count = count
        self.parts = 1
        self._distribution: Any = None
        if count == 1:
            return
        backend = keras.backend.backend()
        if backend not in ("jax", "tensorflow"):
            raise ConfigError(
                f"devices={count} wants Keras on JAX or TensorFlow, but it runs on {backend}, where it trains on one "
                "device; set KERAS_BACKEND to jax or tensorflow"
            )
        names = keras.distribution.list_devices()
        if count > len(names):
            raise ConfigError(f"devices={count}, but Keras on {backend} has {len(names)}: {', '.join(names)}")
        if batch_size % count:
            raise ConfigError(
                f"{count} devices cannot share batches of {batch_size} evenly; batch_size must be a multiple of {count}"
            )
        if backend == "jax":
            self._distribution = keras.distribution.DataParallel(devices=names[:count], auto_shard_dataset=False)
        else:
            import tensorflow as tf

            self.parts = count
            # Not the collective operations of the default: those of two strategies in one process meet each other.
            reduction = tf.distribute.ReductionToOneDevice()
            self._distribution = tf.distribute.MirroredStrategy(names[:count], cross_device_ops=reduction)

    def scope(self) -> AbstractContextManager[Any]:
        """Return a context for making learner and optimizer, and for each step; all else stays outside."""
        return nullcontext() if self._distribution is None else self._distribution.scope()

    def share(self, batch: Batch) -> tuple[Any, Any]:
        """Give each device its part of a batch, for ``train_on_batch``."""
        images, masks = batch
        return (images, masks) if self.parts == 1 else (self._part(images), self._part(masks))

    def _part(self, array: NDArray[np.uint8]) -> Any:
        """Split the first axis: Keras would hand the whole array to every replica."""
        import tensorflow as tf

        parts = np.split(array, self.parts)
        return self._distribution.experimental_distribute_values_from_function(
            lambda context: tf.convert_to_tensor(parts[context.replica_id_in_sync_group])
        )
