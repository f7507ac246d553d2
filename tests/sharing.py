"""Training on one device and on two, in a process with two CPU devices: ``python sharing.py DATA FOLDER``.

JAX wants ``XLA_FLAGS=--xla_force_host_platform_device_count=2``. Leaves ``FOLDER/found.json`` and the weights of each
run as ``FOLDER/RUN.npz``.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import resumable

from cloudseg_sdk import Augmentation, CloudDataset, ConfigError, ModelConfig, Segmenter, TrainConfig
from cloudseg_sdk.models.weights import get_weights
from cloudseg_sdk.training import fit
from cloudseg_sdk.training.learner import Learner

BATCH_SIZE = 4
# No batch statistics. An epsilon this large lets weights show the size of gradients, and not their signs alone.
PLAIN = ModelConfig(input_size=(32, 48), filters=(4, 6, 8), normalization="none", l2=0.01, presence_head=True)
STEPS = TrainConfig(
    epochs=2,
    batch_size=BATCH_SIZE,
    learning_rate=0.1,
    schedule="constant",
    epsilon=0.1,
    clip_norm=None,
    ema=0.5,
    keep="last",
)
LOSSES: dict[str, Any] = {
    "number": "bce_dice",  # one for the batch
    "pairs": "dice",  # one for each image and class
    "sum": keras.losses.BinaryCrossentropy(reduction="sum"),
}


def main(data: str, folder: str) -> None:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    shapes = watch_shapes()
    dataset = CloudDataset.from_kaggle(Path(data), (140, 210))
    histories: dict[str, Any] = {}

    def run(name: str, config: ModelConfig, train: CloudDataset, options: TrainConfig, devices: int) -> None:
        segmenter = Segmenter.build(config, seed=1)
        checkpoint = Path(folder) / "checkpoint" if name == "stopped" else None
        histories[name] = segmenter.fit(
            train, dataset[6:], options, devices=devices, checkpoint=checkpoint, progress=False
        )
        np.savez(Path(folder) / f"{name}.npz", allow_pickle=False, **get_weights(segmenter.model))

    for devices in (1, 2):
        for name, loss in LOSSES.items():
            run(f"{name}{devices}", PLAIN, dataset[:6], replace(STEPS, loss=loss, epochs=1), devices)
        # A batch of one image twice: each part has the statistics and the direction of the whole.
        twins = replace(STEPS, batch_size=2, clip_norm=0.01, augmentation=Augmentation.none())
        run(f"twins{devices}", replace(resumable.CONFIG, dropout=0.0), dataset[:1], twins, devices)
        run(f"whole{devices}", resumable.CONFIG, dataset[:6], replace(STEPS, clip_norm=0.1), devices)

    fit.SECONDS_BETWEEN_SAVES = 0
    step, left = Learner.train_on_batch, iter(range(3))

    def stop_after_three(*arguments: Any) -> Any:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return step(*arguments)

    Learner.train_on_batch = stop_after_three
    try:
        run("stopped", resumable.CONFIG, dataset[:6], replace(STEPS, clip_norm=0.1), 2)
    except KeyboardInterrupt:
        Learner.train_on_batch = step
    run("stopped", resumable.CONFIG, dataset[:6], replace(STEPS, clip_norm=0.1), 2)

    errors = []
    wrong = (("error", 3, 4), ("error", 2, 5), ("stopped", 1, 4))
    for name, devices, batch_size in wrong:
        try:
            run(name, resumable.CONFIG, dataset[:6], replace(STEPS, clip_norm=0.1, batch_size=batch_size), devices)
        except ConfigError as error:
            errors.append(str(error))
    found = {"histories": histories, "shapes": shapes, "errors": errors}
    (Path(folder) / "found.json").write_text(json.dumps(found), encoding="utf-8")


def watch_shapes() -> list[list[int]]:
    """Return a list that will hold the shape of the images that each device is given."""
    shapes: list[list[int]] = []
    call = Learner.call

    def watched(self: Learner, images: Any, training: bool = False) -> Any:
        if keras.backend.backend() == "jax":
            import jax

            def note(sharding: Any) -> None:
                shapes.append(list(sharding.shard_shape(images.shape)))

            jax.debug.inspect_array_sharding(images, callback=note)
        else:
            shapes.append(list(images.shape))
        return call(self, images, training)

    Learner.call = watched  # type: ignore[method-assign]
    return shapes


if __name__ == "__main__":
    main(*sys.argv[1:])
