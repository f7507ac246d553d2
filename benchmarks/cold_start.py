"""A new Python process to one prediction, beside a bare script that compiles and runs the same graph: wall seconds.

    python -m benchmarks.cold_start [ROUNDS]

The bare script imports OpenVINO, reads the graph, compiles it for one image, and runs it; it reads no image and makes
no masks. Both run in turn, after a run of each that leaves its bytecode, as an installation does; the class maps of
both are compared first.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from cloudseg_sdk.bundle import find_bundle, read_bundle
from cloudseg_sdk.data.images import read_image, stretch
from cloudseg_sdk.inference.engines import OpenVINOEngine
from cloudseg_sdk.synthetic import scene

SDK = "from cloudseg_sdk import Segmenter; import sys; Segmenter.load('clouds')(sys.argv[1])"
BARE = """
import sys
import numpy as np
sys.modules["openvino_telemetry"] = None
import openvino
graph, batch, number, out = sys.argv[1:]
core = openvino.Core()
model = core.read_model(graph)
model = openvino.Model([model.outputs[int(number)].get_node()], model.get_parameters())
images = np.load(batch)
model.reshape(images.shape)
options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
maps = core.compile_model(model, "CPU", options).create_infer_request().infer([images])[0]
if out:
    np.save(out, maps)
"""


def main(rounds: int) -> None:
    """Time both in turn and print the ratio of medians."""
    bundle = read_bundle(find_bundle("clouds"))
    if bundle.graph is None:
        raise SystemExit("the model clouds has no graph")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        picture, graph, batch = folder / "scene.jpg", folder / "model.onnx", folder / "batch.npy"
        cv2.imwrite(str(picture), scene(0, (700, 1050)).image[:, :, ::-1])
        graph.write_bytes(bundle.graph)
        images = stretch(read_image(picture), bundle.config.input_size)[None]
        np.save(batch, images)
        maps = OpenVINOEngine(bundle.graph).run(images).maps
        head = -2 if bundle.config.presence_head else -1
        bare = [sys.executable, "-c", BARE, str(graph), str(batch), str(head)]
        sdk = [sys.executable, "-c", SDK, str(picture)]
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": name}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        subprocess.run([*bare, str(folder / "maps.npy")], check=True, env=environment)
        np.testing.assert_array_equal(np.load(folder / "maps.npy"), maps)
        subprocess.run(sdk, check=True, env=environment)
        seconds: dict[str, list[float]] = {"bare": [], "cloudseg": []}
        for _ in range(rounds):
            for label, command in (("bare", [*bare, ""]), ("cloudseg", sdk)):
                start = time.perf_counter()
                subprocess.run(command, check=True, env=environment)
                seconds[label].append(time.perf_counter() - start)
    for words, choose in (("median", statistics.median), ("least", min)):
        one, other = choose(seconds["bare"]), choose(seconds["cloudseg"])
        print(f"{words:<6}  bare {one:.3f} s, cloudseg {other:.3f} s, {other / one:.2f} times")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
