"""A short training run, to be called or to be killed: ``python resumable.py DATA CHECKPOINT STEP`` dies before STEP."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from cloudseg_sdk import CloudDataset, ModelConfig, Segmenter, TrainConfig

CONFIG = ModelConfig(input_size=(32, 48), filters=(4, 6, 8), dropout=0.2, presence_head=True)
EPOCHS, BATCHES = 3, 4


def train(data: Path, checkpoint: Path | None) -> Segmenter:
    """Seven images in four batches, one to measure on."""
    dataset = CloudDataset.from_kaggle(data, (140, 210))
    segmenter = Segmenter.build(CONFIG, seed=1)
    segmenter.fit(
        dataset[:7],
        dataset[7:],
        TrainConfig(epochs=EPOCHS, batch_size=2, learning_rate=0.01, seed=3),
        checkpoint=checkpoint,
        progress=False,
    )
    return segmenter


def kill(data: Path, checkpoint: Path, step: int) -> None:
    """Have it die before `step`, in a process of its own."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, __file__, str(data), str(checkpoint), str(step)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr


def main(data: str, checkpoint: str, last: str) -> None:
    from cloudseg_sdk.training import fit
    from cloudseg_sdk.training.learner import Learner

    fit.SECONDS_BETWEEN_SAVES = 0
    steps = iter(range(EPOCHS * BATCHES))
    step = Learner.train_on_batch

    def train_on_batch(self: Learner, *arguments: Any) -> Any:
        if next(steps) == int(last):
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, *arguments)

    Learner.train_on_batch = train_on_batch
    train(Path(data), Path(checkpoint))


if __name__ == "__main__":
    main(*sys.argv[1:])
