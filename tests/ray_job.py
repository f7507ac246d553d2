"""A bulk job on a Ray cluster, to be killed: ``python ray_job.py FOLDER IMAGES``, on the cluster of RAY_ADDRESS.

The images come slowly, so that there is time to kill it.
"""

import sys
import time
from pathlib import Path
from typing import Any

import bulk_job
import pyarrow as pa
import ray.data

from cloudseg_sdk.distributed import predict_dataset

PART_SIZE, CALL = 5, 4


def slow_dataset(images: Path, seconds: float) -> Any:
    """The paths of a folder, each call's after some seconds."""
    paths = [str(path) for path in sorted(images.iterdir())]
    tables = [pa.table({"path": paths[start : start + CALL]}) for start in range(0, len(paths), CALL)]

    def wait(batch: pa.Table) -> pa.Table:
        time.sleep(seconds)
        return batch

    return ray.data.from_arrow(tables).map_batches(wait, batch_format="pyarrow", num_cpus=0)


if __name__ == "__main__":
    ray.init(logging_level="error", log_to_driver=False)
    predict_dataset(
        slow_dataset(Path(sys.argv[2]), 0.3),
        bulk_job.BUNDLE,
        sys.argv[1],
        concurrency=2,
        num_cpus=0.5,
        images_per_call=CALL,
        part_size=PART_SIZE,
        progress=False,
    )
