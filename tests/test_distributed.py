"""Prediction on Ray: whatever happens there, the rows are those of `predict_to`, each image's once."""

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bulk_job
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_files import write_scenes

from cloudseg_sdk import CloudsegError, ConfigError, DataError, ImageError, MissingExtraError, Segmenter, distributed
from cloudseg_sdk.bundle import Bundle, read_bundle, write_bundle
from cloudseg_sdk.distributed import BatchPredictor, _JobPredictor, predict_dataset
from cloudseg_sdk.inference.engines import OpenVINOEngine
from cloudseg_sdk.inference.parts import BulkReport
from cloudseg_sdk.inference.writers import make_table

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # Ray Data warns of its own settings

COUNT = 40
DAMAGED = (5, 6, 33)
WHOLE = BulkReport(COUNT, 2 * COUNT - len(DAMAGED), len(DAMAGED))
MANIFEST = "_manifest-0-of-1.json"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty small images, three of them damaged."""
    return write_scenes(
        tmp_path_factory.mktemp("ray") / "scenes", COUNT, dict.fromkeys(DAMAGED, b"no picture") | {33: b""}
    )


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter.load(bulk_job.BUNDLE)


@pytest.fixture(scope="module")
def wanted(scenes: Path, segmenter: Segmenter) -> pa.Table:
    """The rows that `predict_to` writes."""
    folder = scenes.parent / "wanted.parquet"
    assert segmenter.predict_to(folder, scenes, progress=False) == WHOLE
    return rows(folder)


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Ray on this machine, with two CPUs."""
    reason = 'Ray is not installed: pip install "cloudseg-sdk[ray]"'
    settings = {
        "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent
        "RAY_AUTH_MODE": "disabled",  # or it writes a token into the home directory
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # or it warns
        "PYTHONPATH": os.pathsep.join(sys.path),  # of the workers
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        ray = pytest.importorskip("ray", reason=reason)
        pytest.importorskip("ray.data", reason=reason)
        ray.init(
            address="local",
            num_cpus=2,
            object_store_memory=200_000_000,
            include_dashboard=False,
            logging_level="error",
            log_to_driver=False,
        )
        patch.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
        yield ray
        ray.shutdown()


def predict(images: Any, folder: Path, **options: Any) -> BulkReport:
    settings = {"concurrency": 2, "num_cpus": 0.5, "images_per_call": 4, "part_size": 5, "progress": False}
    return predict_dataset(images, bulk_job.BUNDLE, folder, **{**settings, **options})


def rows(folder: Path) -> pa.Table:
    """All rows, in the order of sources; an image's stay in the order of classes."""
    tables = [pq.read_table(path) for path in sorted(folder.glob("part-*.parquet"))]
    table = pa.concat_tables(tables)
    order = sorted(range(len(table)), key=lambda row: str(table["source"][row]))
    return table.take(order)


def parts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("part-*")}


def read_manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / MANIFEST).read_text()))


def batch_of(scenes: Path, *, as_bytes: bool) -> dict[str, Any]:
    paths = sorted(scenes.iterdir())
    batch = {"path": np.array([str(path) for path in paths], object), "label": np.zeros(COUNT)}
    if as_bytes:
        batch["bytes"] = np.array([path.read_bytes() for path in paths], object)
    return batch


# --- the class, which needs no cluster


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_batch_becomes_the_table_of_its_predictions(segmenter: Segmenter, scenes: Path, as_bytes: bool) -> None:
    found = BatchPredictor(bulk_job.BUNDLE)(batch_of(scenes, as_bytes=as_bytes))
    assert found == make_table(segmenter.predict(scenes))
    assert sum(found["error"].is_valid().to_pylist()) == len(DAMAGED)


def test_options_are_those_of_predict(segmenter: Segmenter, scenes: Path) -> None:
    options: dict[str, Any] = {"output_size": (10, 15), "tta": "flips", "threshold": {"a": 0.5}, "batch_size": 3}
    found = BatchPredictor(bulk_job.BUNDLE, **options)(batch_of(scenes, as_bytes=False))
    assert found == make_table(segmenter.predict(scenes, **options))
    assert found != make_table(segmenter.predict(scenes))


FAULTS: list[tuple[Any, Any, str, str]] = [
    (None, b"x", "", "the row has no path, which is text, but None"),
    (7, b"x", "", "the row has no path, which is text, but 7"),
    ("a.png", None, "a.png", "a.png has no bytes, but None"),
    ("a.png", b"", "a.png", "a.png is empty (0 bytes)"),
    (
        "a.png",
        b"no picture",
        "a.png",
        "a.png is damaged or not an image (10 bytes); wanted one of .bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp",
    ),
]


@pytest.mark.parametrize(("path", "content", "source", "words"), FAULTS)
def test_a_row_that_is_no_image_is_a_row_with_its_error(
    scenes: Path, path: Any, content: Any, source: str, words: str
) -> None:
    good = (scenes / "00.png").read_bytes()
    batch = {"path": np.array(["x", path, "y"], object), "bytes": np.array([good, content, good], object)}
    found = BatchPredictor(bulk_job.BUNDLE)(batch)
    assert found["source"].to_pylist() == ["x", "x", source, "y", "y"]
    assert found["error"].to_pylist() == [None, None, words, None, None]
    with pytest.raises(ImageError) as caught:
        BatchPredictor(bulk_job.BUNDLE, on_error="raise")(batch)
    assert str(caught.value) == words


def test_a_batch_without_paths_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        BatchPredictor(bulk_job.BUNDLE)({"bytes": np.array([b""]), "item": np.array([1])})
    assert str(caught.value) == (
        "a dataset of images has a column path, text that names each, and may have one with their bytes; got bytes, "
        "item; read_binary_files(..., include_paths=True) makes both"
    )


def test_another_model_on_a_node_is_refused(segmenter: Segmenter) -> None:
    _JobPredictor(segmenter.table_settings(), bulk_job.BUNDLE)
    with pytest.raises(ConfigError) as caught:
        _JobPredictor({**segmenter.table_settings(), "model": ["00"]}, str(bulk_job.BUNDLE))
    assert str(caught.value) == (
        f"the model '{bulk_job.BUNDLE}' is not the same on all nodes; copy it to each, or share it"
    )


def test_cores_that_ray_reserved_are_for_the_engines_that_take_them(
    segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = read_bundle(bulk_job.BUNDLE)
    members = (bundle, replace(bundle, graph=None, parity={}))
    write_bundle(tmp_path / "mixed", Bundle(bundle.config, bundle.decision, {}, None, members=members), "float32")
    monkeypatch.setattr(distributed, "_reserved_cpus", lambda: 1)
    monkeypatch.setattr(cv2, "setNumThreads", lambda threads: None)  # which would last
    predictor = BatchPredictor(tmp_path / "mixed")
    assert predictor.settings["engine"] == ["openvino", "keras"]
    engine = predictor._segmenter.members[0]._running_engine()
    assert isinstance(engine, OpenVINOEngine)
    engine.run(np.zeros((1, *segmenter.config.input_size, 3), np.uint8))
    (compiled,) = engine._compiled.values()
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert BatchPredictor(bulk_job.BUNDLE, engine="keras").settings["engine"] == "keras"


def test_ray_is_imported_when_it_is_needed_and_named_where_it_is_missing(tmp_path: Path) -> None:
    code = """
import sys
import cloudseg_sdk.distributed as distributed
print("ray" in sys.modules)
sys.modules["ray"] = None
try:
    distributed.predict_dataset([], "clouds", "out.parquet", concurrency=1)
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "False",
        "prediction on a cluster needs Ray Data (import of ray halted; None in sys.modules); install it with: "
        'pip install "cloudseg-sdk[ray]"',
    ]
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_comes_back_from_another_process() -> None:
    error = MissingExtraError("this needs that", "ray")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


# --- on a cluster


@pytest.mark.parametrize(("cpus", "wanted_threads"), [(0.5, 1), (1, 1), (2, 2)])
def test_an_actor_computes_on_the_cores_that_it_has(ray: Any, scenes: Path, cpus: float, wanted_threads: int) -> None:
    def threads(path: str) -> tuple[int, int]:
        predictor = BatchPredictor(bulk_job.BUNDLE)
        predictor({"path": np.array([path, path])})
        engine = predictor._segmenter._running_engine()
        assert isinstance(engine, OpenVINOEngine)
        (compiled,) = engine._compiled.values()
        return compiled.get_property("INFERENCE_NUM_THREADS"), cv2.getNumThreads()

    task = ray.remote(num_cpus=cpus, max_calls=1)(threads)
    assert ray.get(task.remote(str(scenes / "00.png"))) == (wanted_threads, wanted_threads)


def test_paths_and_bytes_give_the_rows_of_predict_to(ray: Any, scenes: Path, wanted: pa.Table, tmp_path: Path) -> None:
    assert predict(scenes, tmp_path / "paths.parquet") == WHOLE
    assert rows(tmp_path / "paths.parquet") == wanted
    images = ray.data.read_binary_files(str(scenes), include_paths=True)
    assert predict(images, tmp_path / "bytes.parquet") == WHOLE
    assert rows(tmp_path / "bytes.parquet") == wanted


def test_the_manifest_tells_what_made_the_parts(ray: Any, scenes: Path, segmenter: Segmenter, tmp_path: Path) -> None:
    folder = tmp_path / "out.parquet"
    paths = [str(path) for path in sorted(scenes.iterdir())[:12]]
    assert predict(paths * 2, folder, tta="flips", level=None) == BulkReport(12, 22, 2)  # each once
    found = read_manifest(folder)
    settings = json.loads(json.dumps(segmenter.table_settings(tta="flips")))
    assert found["job"] == {**settings, "images": "those of a Ray cluster"}
    assert found["complete"]
    assert found["versions"][0]["ray"] == ray.__version__
    assert [(part["name"], part["images"]) for part in found["parts"]] == [
        ("part-0000-000000.parquet", 5),
        ("part-0000-000001.parquet", 5),
        ("part-0000-000002.parquet", 2),
    ]
    assert rows(folder)["source"].unique().to_pylist() == paths


def test_a_killed_run_is_gone_on_with(ray: Any, scenes: Path, wanted: pa.Table, tmp_path: Path) -> None:
    folder = tmp_path / "out.parquet"
    import ray_job

    with subprocess.Popen([sys.executable, ray_job.__file__, str(folder), str(scenes)]) as job:
        deadline = time.monotonic() + 100
        while len(parts(folder)) < 2 and job.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        job.kill()
    assert job.returncode == -signal.SIGKILL
    before = parts(folder)
    assert 2 <= len(before) < COUNT // 5
    listed = {part["name"] for part in read_manifest(folder)["parts"]}
    assert predict(scenes, folder) == WHOLE
    assert rows(folder) == wanted
    assert {name: data for name, data in parts(folder).items() if name in listed} == {
        name: before[name] for name in listed
    }, "finished parts stay"


def test_a_part_that_is_lost_cut_short_or_unlisted_is_made_again(
    ray: Any, scenes: Path, wanted: pa.Table, tmp_path: Path
) -> None:
    folder = tmp_path / "out.parquet"
    assert predict(scenes, folder, part_size=11) == WHOLE
    (folder / "part-0000-000000.parquet").unlink()
    cut = folder / "part-0000-000001.parquet"
    cut.write_bytes(cut.read_bytes()[:-1])
    kept = parts(folder)["part-0000-000002.parquet"]
    (folder / "part-0000-000009.parquet").write_bytes(kept)  # as a kill before the manifest leaves it
    images = ray.data.read_binary_files(str(scenes), include_paths=True)
    assert predict(images, folder, part_size=30) == WHOLE
    assert rows(folder) == wanted
    assert parts(folder)["part-0000-000002.parquet"] == kept
    assert [part["images"] for part in read_manifest(folder)["parts"]] == [11, 7, 22]


def test_more_images_are_added(ray: Any, scenes: Path, wanted: pa.Table, tmp_path: Path) -> None:
    folder = tmp_path / "out.parquet"
    predict(sorted(scenes.iterdir())[:9], folder)
    before = parts(folder)
    assert predict(scenes, folder) == WHOLE
    assert rows(folder) == wanted
    assert before.items() <= parts(folder).items()
    after = parts(folder)
    assert predict(scenes, folder) == WHOLE, "nothing is left to do"
    assert parts(folder) == after


def test_an_actor_that_dies_costs_nothing(ray: Any, scenes: Path, wanted: pa.Table, tmp_path: Path) -> None:
    import ray_job

    folder = tmp_path / "out.parquet"
    killed: list[int] = []

    def kill() -> None:
        deadline = time.monotonic() + 60
        while not killed and time.monotonic() < deadline:
            time.sleep(0.01)
            if parts(folder):
                killed.extend(actors()[:1])
                os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    report = predict(ray_job.slow_dataset(scenes, 0.3), folder)
    killer.join()
    assert killed
    assert report == WHOLE
    assert rows(folder) == wanted


def actors() -> list[int]:
    """The processes of the cluster's predictors."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if words.startswith(b"ray::MapWorker(MapBatches(_JobPredictor)"):
            found.append(int(process.name))
    return found


# --- refusals

ARGUMENTS: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        {"folder": "out.csv"},
        ValueError,
        "predict_dataset writes a folder whose name ends in .parquet, got {tmp}/out.csv",
    ),
    *(
        (
            {"concurrency": value},
            ValueError,
            f"concurrency must be a number of actors, or (least, most), of at least 1, got {value!r}",
        )
        for value in (0, (0, 1), (2, 1), (1, 2, 3), 1.5, True)
    ),
    ({"part_size": 0}, ValueError, "part_size must be a whole number of at least 1, got 0"),
    ({"images_per_call": 2.0}, ValueError, "images_per_call must be a whole number of at least 1, got 2.0"),
    (
        {"images": [np.zeros((4, 4), np.uint8)]},
        TypeError,
        "a bulk job wants paths, which a later run finds again, got array 0 (ndarray); write such images to files, or "
        "use stream()",
    ),
    ({"images": []}, DataError, "there are no images to predict"),
    (
        {"images": ["\udcff.png"]},
        DataError,
        "the name '\\udcff.png' is no UTF-8, as Ray and Parquet want; rename the file",
    ),
    ({"model": "nope"}, CloudsegError, "no model 'nope'; wanted a .cloudseg file or one of clouds"),
    ({"tta": "hflip"}, ConfigError, 'tta must be "none" or "flips", got \'hflip\''),
    ({"treshold": 0.5}, TypeError, "no option 'treshold'; did you mean 'threshold'?"),
    (
        {"probabilities": True},
        ValueError,
        "tables do not hold probabilities; stream(..., probabilities=True) yields them",
    ),
]


@pytest.mark.parametrize(("given", "kind", "words"), ARGUMENTS)
def test_wrong_arguments_are_refused_before_anything_is_written(
    ray: Any, scenes: Path, tmp_path: Path, given: dict[str, Any], kind: type[Exception], words: str
) -> None:
    given = {"images": scenes, "model": bulk_job.BUNDLE, "folder": "out.parquet", "concurrency": 1, **given}
    images, model, folder = (given.pop(name) for name in ("images", "model", "folder"))
    with pytest.raises(kind) as caught:
        predict_dataset(images, model, tmp_path / folder, progress=False, **given)
    assert str(caught.value) == words.format(tmp=tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_a_row_does_wrong_is_said_in_its_own_words(ray: Any, scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError) as unread:
        predict(scenes, tmp_path / "out.parquet", on_error="raise")
    assert str(unread.value).startswith(f"{scenes}/")
    deadline = time.monotonic() + 30
    while actors() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not actors(), "the cluster is free again, though the error holds on to what raised it"
    with pytest.raises(DataError, match=r"^a dataset of images has a column path, .*; got bytes; "):
        predict(ray.data.read_binary_files(str(scenes)), tmp_path / "other.parquet")


def test_folders_of_other_jobs_are_refused(ray: Any, scenes: Path, segmenter: Segmenter, tmp_path: Path) -> None:
    folder = tmp_path / "here.parquet"
    segmenter.predict_to(folder, scenes, progress=False)
    with pytest.raises(ConfigError, match=r"holds a job with images=40 from .*, not 'those of a Ray cluster'; give"):
        predict(scenes, folder)
    folder = tmp_path / "there.parquet"
    predict(scenes, folder)
    with pytest.raises(ConfigError, match=r"holds a job with threshold=\[0.66, 0.7\], not \[0.5, 0.5\]; give another"):
        predict(scenes, folder, threshold=0.5)
    with pytest.raises(ConfigError, match=r"holds this job already; give another folder, or resume=True"):
        predict(scenes, folder, resume=False)
    with pytest.raises(ConfigError, match=r"holds a job with images='those of a Ray cluster', not 40 from"):
        segmenter.predict_to(folder, scenes, progress=False)


def test_progress_is_shown_with_rate_and_count(
    ray: Any, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict(scenes, tmp_path / "out.parquet", progress=True)
    printed = capsys.readouterr().out
    assert "predicting, 3 unreadable" in printed
    assert "40/40" in printed
    assert "images/s" in printed
