"""Engines: the same maps from each, in the precision and on the device asked for, and in files for other programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from test_bundle import parts_of, write_parts

from cloudseg_sdk import (
    BundleError,
    CloudDataset,
    CloudsegError,
    ConfigError,
    Decision,
    MissingExtraError,
    ModelConfig,
    Segmenter,
    TrainConfig,
)
from cloudseg_sdk.bundle import MANIFEST, read_bundle, write_bundle
from cloudseg_sdk.config import CLOUD_CLASSES
from cloudseg_sdk.graph import keep_outputs
from cloudseg_sdk.inference import engines
from cloudseg_sdk.inference.engines import Engine, KerasEngine, ONNXRuntimeEngine, OpenVINOEngine, Output
from cloudseg_sdk.network import EngineName, Precision
from cloudseg_sdk.parity import TOLERANCE, distance, probe_images

CONFIG = ModelConfig(classes=("a", "b"), input_size=(32, 48), filters=(4, 5, 6), output_stride=1, presence_head=True)
DECISION = Decision((0.3, 0.3), (0.4, 0.6), (0.0, 0.01))
HAS_BFLOAT16 = engines.has_bfloat16(engines.import_openvino().Core())
needs_bfloat16 = pytest.mark.skipif(not HAS_BFLOAT16, reason="this CPU does not compute in bfloat16")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose normalization does something, with thresholds."""
    path = tmp_path_factory.mktemp("engines") / "model.cloudseg"
    segmenter = Segmenter.build(CONFIG, seed=1)
    rng = np.random.default_rng(2)
    for variable in segmenter.model.variables:
        value = np.asarray(variable)
        noise = rng.normal(size=value.shape).astype(np.float32)
        variable.assign(np.abs(value + 0.15 * noise) if "variance" in variable.path else value + 0.15 * noise)
    segmenter.save(path, metrics={"dice": 0.5}, provenance={"data": "none"})
    write_bundle(path, replace(read_bundle(path), decision=DECISION), "float32")
    return path


@pytest.fixture
def images() -> NDArray[np.uint8]:
    return probe_images(CONFIG)


def engine_of(path: Path, engine: EngineName, precision: Precision = "auto", level: int | None = None) -> Engine:
    if engine == "onnxruntime":
        pytest.importorskip("onnxruntime")
    return Segmenter.load(path, engine=engine, precision=precision, level=level)._running_engine()


# --- parity ---


@pytest.mark.parametrize("level", [None, 1])
def test_every_engine_gives_keras_maps(saved: Path, images: NDArray[np.uint8], level: int | None) -> None:
    pytest.importorskip("onnxruntime")
    wanted = engine_of(saved, "keras", level=level).run(images)
    assert wanted.maps.std() > 0.01
    assert (wanted.presence is None) == (level is not None)
    for engine in ("openvino", "onnxruntime"):
        found = engine_of(saved, engine, level=level).run(images)
        assert len(found) == 2
        assert (found.presence is None) == (wanted.presence is None)
        assert found.maps.dtype == np.float32
        assert distance(found, wanted) < 1e-5


def test_a_file_says_how_far_its_engines_are_from_keras(saved: Path, images: NDArray[np.uint8]) -> None:
    parity = Segmenter.load(saved).parity
    assert json.loads(parts_of(saved)[MANIFEST])["parity"] == parity
    assert set(parity) >= {"openvino"}
    wanted = engine_of(saved, "keras").run(images)
    for name, distances in parity.items():
        for precision, recorded in distances.items():
            found = engine_of(saved, name, precision).run(images)  # type: ignore[arg-type]
            assert distance(found, wanted) == pytest.approx(recorded, rel=0.05, abs=2e-6)
            assert recorded < (1e-5 if precision == "float32" else 0.05)


def test_a_saved_models_parity_stays_while_nobody_changes_it(saved: Path, tmp_path: Path) -> None:
    parity = {"openvino": {"float32": 0.5}}
    write_bundle(tmp_path / "a.cloudseg", replace(read_bundle(saved), parity=parity), "float32")
    Segmenter.load(tmp_path / "a.cloudseg").save(tmp_path / "b.cloudseg")
    assert Segmenter.load(tmp_path / "b.cloudseg").parity == parity
    assert Segmenter.build(CONFIG).parity == {}


def test_parity_is_of_the_weights_that_were_saved_last(tmp_path: Path, dataset_folder: Path) -> None:
    segmenter = Segmenter.build(replace(CONFIG, classes=CLOUD_CLASSES))
    assert segmenter.parity == {}
    segmenter.save(tmp_path / "model.cloudseg")
    again = Segmenter.load(tmp_path / "model.cloudseg")
    assert again.parity == segmenter.parity != {}
    dataset = CloudDataset.from_kaggle(dataset_folder, (140, 210))[:2]
    again.fit(dataset, dataset, TrainConfig(epochs=1), progress=False)
    assert again.parity == {}
    segmenter.save(tmp_path / "half.cloudseg", dtype="float16")
    assert Segmenter.load(tmp_path / "half.cloudseg").parity == segmenter.parity


@pytest.mark.parametrize(
    ("engine", "precision", "follows"),
    [("keras", "float32", True), ("keras", "bfloat16", False), ("openvino", "float32", False)],
)
def test_what_is_changed_in_the_model_is_saved_and_predicted_with_by_keras_alone(
    engine: EngineName, precision: Precision, follows: bool, saved: Path, tmp_path: Path, images: NDArray[np.uint8]
) -> None:
    """As the docstring of Segmenter.model says."""
    segmenter = Segmenter.load(saved, engine=engine, precision=precision)
    before, digest = segmenter._running_engine().run(images), segmenter.table_settings()["model"]
    kernel = segmenter.model.get_layer("conv11_1").kernel
    kernel.assign(-kernel)
    assert segmenter.table_settings()["model"] != digest
    assert (distance(segmenter._running_engine().run(images), before) > 0) == follows
    segmenter.save(tmp_path / "changed.cloudseg")
    assert distance(engine_of(tmp_path / "changed.cloudseg", engine, precision).run(images), before) > 0.001


def test_a_graph_that_disagrees_is_left_out_and_the_reason_said(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = Segmenter.load(saved, engine="keras")
    from cloudseg_sdk.models import weights

    def mistaken(network: Any, config: ModelConfig) -> bytes:
        model = onnx.load_from_string(read_bundle(saved).graph or b"")
        for node in model.graph.node:
            if node.op_type == "Relu":
                node.op_type = "Sigmoid"
        return bytes(model.SerializeToString())

    monkeypatch.setattr(weights, "to_onnx", mistaken)
    words = r"gets no ONNX graph, so it will need Keras: openvino's maps differ from Keras' by up to 0\.\d+, more"
    with pytest.warns(UserWarning, match=words):
        segmenter.save(tmp_path / "model.cloudseg")
    again = Segmenter.load(tmp_path / "model.cloudseg")
    assert (again.engine, again.parity) == ("keras", {})


def test_a_file_of_today_has_its_parity(saved: Path, tmp_path: Path) -> None:
    parts = parts_of(saved)
    manifest = json.loads(parts[MANIFEST])
    del manifest["parity"]
    write_parts(tmp_path / "model.cloudseg", {**parts, MANIFEST: json.dumps(manifest).encode()})
    with pytest.raises(BundleError, match=r"manifest\.json is damaged: 'parity' is missing or not an object$"):
        read_bundle(tmp_path / "model.cloudseg")


@pytest.mark.parametrize(("value", "wanted"), [(0.25, 0.25), (np.nan, np.inf), (np.inf, np.inf)])
def test_distance_is_the_largest_difference(value: float, wanted: float) -> None:
    maps, presence = np.zeros((1, 2, 2, 1), np.float32), np.zeros((1, 1), np.float32)
    other = maps.copy()
    other[0, 1, 0, 0] = value
    assert distance(Output(maps), Output(other)) == wanted
    assert distance(Output(maps, presence), Output(maps, presence + np.float32(value))) == wanted


# --- compilation, threads ---


@pytest.mark.parametrize("name", ["openvino", "keras"])
def test_each_batch_shape_is_compiled_once(saved: Path, images: NDArray[np.uint8], name: EngineName) -> None:
    engine = engine_of(saved, name)
    assert isinstance(engine, OpenVINOEngine | KerasEngine)
    assert engine.compilations == 0
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(engine.run, [images] * 16))
    assert engine.compilations == 1
    assert {output.maps.tobytes() for output in found} == {engine.run(images).maps.tobytes()}
    one = engine.run(images[:1])
    assert engine.compilations == 2
    assert distance(engine.run(images[:1], alone=True), one) < 1e-6
    assert engine.compilations == (3 if name == "openvino" else 2)  # for all cores, and for its share of them


def test_onnx_runtime_is_thread_safe(saved: Path, images: NDArray[np.uint8]) -> None:
    engine = engine_of(saved, "onnxruntime")
    assert isinstance(engine, ONNXRuntimeEngine)
    with ThreadPoolExecutor(8) as pool:
        assert len({output.maps.tobytes() for output in pool.map(engine.run, [images] * 16)}) == 1
    assert engine.compilations == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_an_engine_computes_on_the_threads_that_it_is_given(
    saved: Path, images: NDArray[np.uint8], threads: int
) -> None:
    wanted = engine_of(saved, "openvino").run(images)
    engine = Segmenter.load(saved, engine="openvino", threads=threads)._running_engine()
    assert isinstance(engine, OpenVINOEngine)
    assert distance(engine.run(images), wanted) < TOLERANCE
    (compiled,) = engine._compiled.values()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == threads
    other = Segmenter.load(saved, engine="onnxruntime", threads=threads)._running_engine()
    assert isinstance(other, ONNXRuntimeEngine)
    assert distance(other.run(images), wanted) < TOLERANCE
    assert other._session.get_session_options().intra_op_num_threads == threads


# --- precision and device ---


@needs_bfloat16
@pytest.mark.parametrize("name", ["openvino", "keras"])
def test_bfloat16_is_near_float32_and_not_the_same(saved: Path, images: NDArray[np.uint8], name: EngineName) -> None:
    exact, auto, half = (engine_of(saved, name, precision).run(images) for precision in ("float32", "auto", "bfloat16"))
    assert distance(auto, exact) == 0
    assert 1e-4 < distance(half, exact) < 0.05
    assert half.maps.dtype == np.float32


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"engine": "openvino", "device": "gpu"}, r'runs on the CPU; for device "gpu" take "keras" or "onnxruntime"$'),
        (
            {"engine": "onnxruntime", "precision": "bfloat16"},
            r'computes in float32; for bfloat16 take "openvino" or "k',
        ),
        (
            {"engine": "keras", "threads": 2},
            r"^the keras engine takes its threads from its backend's settings; leave threads out$",
        ),
    ],
)
def test_what_an_engine_cannot_do_is_said(saved: Path, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Segmenter.load(saved, **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"precision": "float16"}, r"^precision must be one of 'auto', 'float32', 'bfloat16', got 'float16'$"),
        ({"device": "tpu"}, r"^device must be one of None, 'cpu', 'gpu', got 'tpu'$"),
        ({"threads": 0}, r"^threads must be a whole number of at least 1 or None, got 0$"),
        ({"threads": 2.0}, r"^threads must be a whole number of at least 1 or None, got 2.0$"),
    ],
)
def test_unknown_words_are_named(saved: Path, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Segmenter.load(saved, **given)


def test_a_cpu_without_bfloat16_says_so(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "has_bfloat16", lambda core: False)
    with pytest.raises(ConfigError, match=r"^precision bfloat16 needs a CPU that computes in it .*; take float32$"):
        Segmenter.load(saved, precision="bfloat16")


def test_a_device_is_used_or_refused(saved: Path, images: NDArray[np.uint8]) -> None:
    from cloudseg_sdk.models.weights import has_gpu

    on_cpu = Segmenter.load(saved, engine="keras", device="cpu")._running_engine().run(images)
    assert distance(on_cpu, engine_of(saved, "openvino").run(images)) < 1e-5
    if has_gpu():
        return
    with pytest.raises(ConfigError, match=r'^device "gpu": Keras\' backend sees none; `cloudseg doctor` shows'):
        Segmenter.load(saved, device="gpu")
    pytest.importorskip("onnxruntime")
    with pytest.raises(ConfigError, match=r"needs ONNX Runtime's CUDA provider .* runs on CPUExecutionProvider$"):
        Segmenter.load(saved, engine="onnxruntime", device="gpu")


def test_a_missing_onnx_or_onnx_runtime_is_named(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r'needs ONNX Runtime .*pip install "cloudseg-sdk\[onnx\]"$'):
        Segmenter.load(saved, engine="onnxruntime")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(
        MissingExtraError, match=r'^cutting an ONNX graph needs the package onnx .*pip install "cloudseg-sdk\[onnx\]"$'
    ):
        Segmenter.load(saved, engine="onnxruntime")


def test_a_graph_that_onnx_runtime_cannot_read_is_refused() -> None:
    with pytest.raises(BundleError, match=r"^ONNX Runtime cannot read the model's graph: "):
        ONNXRuntimeEngine(b"no graph")


def test_without_tf2onnx_there_is_no_graph_to_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tf2onnx", "jax2onnx", "onnx"):
        monkeypatch.setitem(sys.modules, name, None)
    segmenter = Segmenter.build(CONFIG)
    words = r"^there is no ONNX graph to export: tf2onnx \(on JAX jax2onnx\) is missing$"
    with pytest.raises(CloudsegError, match=words):
        segmenter.export(tmp_path / "model.onnx")
    with pytest.warns(UserWarning, match=r"model\.cloudseg gets no ONNX graph, so it will need Keras: tf2onnx"):
        segmenter.save(tmp_path / "model.cloudseg")
    assert read_bundle(tmp_path / "model.cloudseg").graph is None


def test_without_onnx_runtime_parity_is_of_openvino_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    Segmenter.build(CONFIG).save(tmp_path / "model.cloudseg")
    assert Segmenter.load(tmp_path / "model.cloudseg").parity.keys() == {"openvino"}


def test_without_keras_nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    words = r"^building and training need Keras 3 and a backend \(.*\); install it .*cloudseg-sdk\[tensorflow\].$"
    with pytest.raises(MissingExtraError, match=words):
        Segmenter.build(CONFIG)


# --- export ---


@pytest.mark.parametrize(("kind", "name"), [("onnx", "model.onnx"), ("openvino", "model.xml")])
@pytest.mark.parametrize("level", [None, 1])
def test_an_export_loads_again(
    saved: Path, tmp_path: Path, images: NDArray[np.uint8], kind: Any, name: str, level: int | None
) -> None:
    segmenter = Segmenter.load(saved, level=level)
    path = tmp_path / name
    assert segmenter.export(path, format=kind) < 1e-5
    again = Segmenter.load(path)
    assert (again.engine, again.classes, again.decision) == ("openvino", ("a", "b"), segmenter.decision)
    assert (again.metrics, again.provenance) == (segmenter.metrics, {"data": "none"})
    assert again.config.output_size == segmenter.config.output_size
    wanted = segmenter._running_engine().run(images)
    assert distance(again._running_engine().run(images), wanted) < 1e-5
    assert (again._running_engine().run(images).presence is None) == (level is not None)
    for item, other in zip(again.predict(images), segmenter.predict(images), strict=True):
        assert item.rles == other.rles
    with pytest.raises(BundleError, match=r"^an exported model has no weights for Keras; use the \.cloudseg file"):
        again.save(tmp_path / "model.cloudseg")
    assert {file.name for file in tmp_path.iterdir()} == {name} | ({"model.bin"} if kind == "openvino" else set())
    if kind == "openvino":
        with pytest.raises(ConfigError, match=r"is an OpenVINO model, which the onnxruntime engine cannot read"):
            Segmenter.load(path, engine="onnxruntime")
        (tmp_path / "model.bin").unlink()
        with pytest.raises(BundleError, match=r"^cannot read .*No such file or directory: .*model\.bin$"):
            Segmenter.load(path)


def test_what_is_exported_is_plain_onnx(saved: Path, tmp_path: Path, images: NDArray[np.uint8]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    Segmenter.load(saved, engine="keras").export(path)
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(path)
    maps, presence = session.run(["maps_2", "presence"], {"images": images})
    assert distance(Output(maps, presence), engine_of(saved, "keras").run(images)) < 1e-5
    assert distance(engine_of(path, "onnxruntime").run(images), Output(maps, presence)) < 1e-6


def test_a_saved_model_gives_the_same_maps(saved: Path, tmp_path: Path, images: NDArray[np.uint8]) -> None:
    import tensorflow as tf

    segmenter = Segmenter.load(saved, engine="keras")
    assert segmenter.export(tmp_path / "saved", format="saved_model") < 1e-5
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    maps, presence = loaded.serve(images)
    assert distance(Output(maps.numpy(), presence.numpy()), segmenter._running_engine().run(images)) < 1e-5
    assert json.loads((tmp_path / "saved" / "cloudseg.json").read_text())["decision"] == DECISION.to_dict()
    with pytest.raises(ConfigError, match=r"saved is there already; give a new folder$"):
        segmenter.export(tmp_path / "saved", format="saved_model")


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("model.xml", "onnx", r"^onnx is written to a file \*\.onnx, got .*model\.xml$"),
        ("model", "openvino", r"^openvino is written to a file \*\.xml, got .*model$"),
        ("a.onnx", "saved_model", r"^saved_model is written to a folder, without a suffix, got .*a\.onnx$"),
        ("a.onnx", "tflite", r"^format must be one of onnx, openvino, saved_model, got 'tflite'$"),
    ],
)
def test_formats_and_paths_go_together(saved: Path, tmp_path: Path, name: str, kind: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Segmenter.load(saved).export(tmp_path / name, format=kind)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "name"), [("onnx", "model.onnx"), ("openvino", "model.xml")])
def test_an_export_that_disagrees_is_not_written(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, name: str
) -> None:
    segmenter = Segmenter.load(saved)
    honest = segmenter._only_network().run_exactly
    monkeypatch.setattr(
        segmenter._only_network(), "run_exactly", lambda images: Output(honest(images).maps + np.float32(2 * TOLERANCE))
    )
    with pytest.raises(
        CloudsegError, match=r"maps differ from the network's by up to 0\.002, more than 0\.001; nothing"
    ):
        segmenter.export(tmp_path / name, format=kind)
    assert list(tmp_path.iterdir()) == []


def with_text(graph: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    model = onnx.load_from_string(graph)
    about = json.loads(model.metadata_props[0].value)
    model.metadata_props[0].value = json.dumps(change(about) or about)
    return bytes(model.SerializeToString())


def test_other_files_are_refused(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    Segmenter.load(saved).export(path)
    good = path.read_bytes()
    cases: list[tuple[bytes, str]] = [
        (b"", "OpenVINO cannot read the model's graph"),
        (good[: len(good) // 2], "OpenVINO cannot read the model's graph"),
        (keep_outputs(good, None), "was not exported by cloudseg-sdk: it says nothing of classes and thresholds"),
        (with_text(good, lambda about: about.update(version=2)), "has export version 2; this release reads 1"),
        (with_text(good, lambda about: about.pop("decision") and None), "its text 'cloudseg' is damaged: 'decision'"),
        (with_text(good, lambda about: [1]), "its text 'cloudseg' is damaged: list indices"),
        (with_text(good, lambda about: about["config"].update(classes=["a"])), "1 classes, but a decision for 2"),
        (with_text(good, lambda about: about["config"].update(filters="no")), "its text 'cloudseg' is damaged: "),
    ]
    for data, words in cases:
        path.write_bytes(data)
        with pytest.raises(BundleError) as caught:
            Segmenter.load(path)
        assert str(caught.value).startswith(str(path))
        assert words in str(caught.value)
    path.write_bytes(good)
    assert Segmenter.load(path).decision == DECISION


def test_the_digest_of_an_exported_model_is_of_its_graph(saved: Path, tmp_path: Path) -> None:
    models = {"one": Segmenter.load(saved), "same": Segmenter.load(saved), "other": Segmenter.build(CONFIG)}
    for name, model in models.items():
        model.export(tmp_path / f"{name}.onnx")
    one, same, other = (Segmenter.load(tmp_path / f"{name}.onnx")._only_network().digest() for name in models)
    assert one == same != other


def test_the_command_exports(saved: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cloudseg_sdk", "export", str(saved), str(tmp_path / "model.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"wrote {tmp_path / 'model.onnx'}; its maps differ by at most ")
    assert Segmenter.load(tmp_path / "model.onnx").decision == DECISION


FIRST = """
import sys, threading
import numpy as np
from cloudseg_sdk import Segmenter

segmenter = Segmenter.load(sys.argv[1])
barrier = threading.Barrier(8)

def predict():
    barrier.wait()
    segmenter.predict([np.zeros((32, 48, 3), np.uint8)] * 8)

threads = [threading.Thread(target=predict) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def test_the_first_inferences_of_a_process_do_not_wait_for_each_other(tiny_bundle: Path) -> None:
    """OpenVINO's bindings can, in one process of some hundreds."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    for _ in range(3):
        subprocess.run([sys.executable, "-c", FIRST, str(tiny_bundle)], env=environment, timeout=60, check=True)
