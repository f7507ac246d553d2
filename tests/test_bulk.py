"""Bulk jobs: whatever happens while they run, they end with the files of one to which nothing happened."""

import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import bulk_job
import numpy as np
import pandas as pd
import pytest
from faults import limited, without_privileges
from image_files import write_scenes

from cloudrle import RLE
from cloudseg_sdk import (
    CloudsegError,
    ConfigError,
    DataError,
    MissingExtraError,
    Prediction,
    Predictions,
    Segmenter,
)
from cloudseg_sdk.bundle import read_bundle, write_bundle
from cloudseg_sdk.inference.bulk import BulkJob, run_job
from cloudseg_sdk.inference.engines import has_bfloat16, import_openvino
from cloudseg_sdk.inference.parts import BulkReport

COUNT = 60
DAMAGED = (5, 6, 33)
MANIFEST = "_manifest-0-of-1.json"


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty small images, three of them damaged; two parts have all that are."""
    return write_scenes(tmp_path_factory.mktemp("bulk") / "scenes", COUNT, dict.fromkeys(DAMAGED, b"no picture"))


@pytest.fixture(scope="session")
def segmenter() -> Segmenter:
    return Segmenter.load(bulk_job.BUNDLE)


@pytest.fixture(scope="session")
def whole(scenes: Path, segmenter: Segmenter) -> dict[str, bytes]:
    """The files of a job to which nothing happened."""
    folder = scenes.parent / "whole.parquet"
    report = predict(segmenter, folder, scenes)
    assert report == BulkReport(COUNT, 2 * COUNT - len(DAMAGED), len(DAMAGED))
    return files(folder)


def predict(segmenter: Segmenter, folder: Path, images: Any, **options: Any) -> BulkReport:
    return segmenter.predict_to(folder, images, **{"part_size": bulk_job.PART_SIZE, "progress": False, **options})


def files(folder: Path) -> dict[str, bytes]:
    """What lies in a folder, but for locks."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".lock-")}


def read_csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def read_csvs(folder: Path) -> pd.DataFrame:
    tables = [read_csv(path) for path in sorted(folder.glob("part-*.csv"))]
    return pd.concat(tables, ignore_index=True)


def assert_same_cells(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """Compare what tables hold, whatever they hold it in."""
    assert list(found.columns) == list(wanted.columns)
    for name in wanted.columns:
        assert found[name].isna().tolist() == wanted[name].isna().tolist()
        assert found[name].dropna().tolist() == wanted[name].dropna().tolist()


def interrupted(
    segmenter: Segmenter, image: int, action: Callable[[], object]
) -> Callable[..., Generator[Prediction, None, None]]:
    """Predict, and do something before one image of the job, counted from 0."""
    counter = iter(range(1_000_000))

    def stream(names: Sequence[str]) -> Generator[Prediction, None, None]:
        for item in segmenter.stream(names):
            if next(counter) == image:
                action()
            yield item

    return stream


def job(folder: Path, images: Path) -> BulkJob:
    return BulkJob(folder, [str(path) for path in sorted(images.iterdir())], (0, 1), 2, {"of": "a test"})


def run(job: BulkJob, stream: Callable[[Sequence[str]], Iterator[Prediction]]) -> BulkReport:
    """Do a job with what predicts the images of a part."""
    return run_job(job, lambda parts: (stream(names) for names in parts), resume=True, progress=False)


# --- what is written


def test_the_parts_are_the_table_of_all_predictions(
    segmenter: Segmenter, scenes: Path, whole: dict[str, bytes]
) -> None:
    folder = scenes.parent / "whole.parquet"
    wanted = segmenter.predict(scenes).to_frame()
    assert sorted(whole) == [MANIFEST, *(f"part-0000-{number:06}.parquet" for number in range(30))]
    assert_same_cells(pd.read_parquet(folder), wanted)


def test_csv_parts_are_the_same_table(segmenter: Segmenter, scenes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out.csv"
    paths = sorted(scenes.iterdir())
    report = segmenter.predict_to(str(folder), (path for path in paths), part_size=7, progress=False)
    assert report == BulkReport(COUNT, 117, 3)
    assert len(list(folder.glob("part-*.csv"))) == 9
    segmenter.predict(paths).to_csv(tmp_path / "wanted.csv")
    pd.testing.assert_frame_equal(read_csvs(folder), read_csv(tmp_path / "wanted.csv"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_large_part_is_written_while_it_is_predicted(tmp_path: Path, suffix: str) -> None:
    alive: set[weakref.ref[Prediction]] = set()
    most = 0

    def make(number: int) -> Prediction:
        if number % 70 == 65:
            return Prediction(str(number), ("a", "b"), error="no picture")
        rles = (RLE.from_box((0, 0, 1, 1 + number), (2, 300)), RLE.from_box((0, 0, 0, 0), (2, 300)))
        return Prediction(str(number), ("a", "b"), (2, 300), rles, (number / 300, 0.5))

    def stream(names: Sequence[str]) -> Generator[Prediction, None, None]:
        nonlocal most
        for name in names:
            item = make(int(name))
            alive.add(weakref.ref(item, alive.discard))
            most = max(most, len(alive))
            yield item

    folder = tmp_path / f"out{suffix}"
    large = BulkJob(folder, [str(number) for number in range(300)], (0, 1), 250, {"of": "a test"})
    assert run(large, stream) == BulkReport(300, 596, 4)
    assert 0 < most < 150, "a few batches of rows, not the 250 of a part"
    everything = Predictions(tuple(map(make, range(300))))
    if suffix == ".csv":
        everything.to_csv(tmp_path / "wanted.csv")
        pd.testing.assert_frame_equal(read_csvs(folder), read_csv(tmp_path / "wanted.csv"))
    else:
        assert_same_cells(pd.read_parquet(folder), everything.to_frame())


def test_options_are_those_of_predict(segmenter: Segmenter, scenes: Path, tmp_path: Path) -> None:
    predict(segmenter, tmp_path / "out.csv", scenes, output_size=(10, 15), tta="flips", batch_size=3)
    segmenter.predict(scenes, output_size=(10, 15), tta="flips").to_csv(tmp_path / "wanted.csv")
    found, wanted = read_csvs(tmp_path / "out.csv"), read_csv(tmp_path / "wanted.csv")
    for name in ("source", "class", "area", "height", "width", "rle", "error"):
        assert found[name].tolist() == wanted[name].tolist()
    facts = json.loads((tmp_path / "out.csv" / MANIFEST).read_text())["job"]
    assert (facts["output_size"], facts["tta"]) == ([10, 15], "flips")


def test_the_manifest_tells_what_made_the_parts(segmenter: Segmenter, scenes: Path, whole: dict[str, bytes]) -> None:
    manifest = json.loads(whole[MANIFEST])
    assert (manifest["format_version"], manifest["complete"], manifest["shard"]) == (1, True, 0)
    assert (manifest["images"], manifest["rows"], manifest["errors"]) == (60, 117, 3)
    names = [str(path) for path in sorted(scenes.iterdir())]
    assert manifest["job"] == {
        "model": [segmenter._only_network().digest()],
        "classes": ["a", "b"],
        "engine": "openvino",
        "precision": "float32",
        "output_size": None,
        "windows": None,
        "presence": [0.1, 0.2],
        "threshold": [0.66, 0.7],
        "min_area": [0.0, 0.02],
        "tta": "none",
        "images": {
            "count": 60,
            "first": names[0],
            "last": names[-1],
            "sha256": hashlib.sha256("".join(f"{name}\0" for name in names).encode()).hexdigest(),
        },
        "shards": 1,
        "part_size": 2,
    }
    (versions,) = manifest["versions"]
    assert {"python", "cloudseg-sdk", "numpy", "openvino"} <= versions.keys()
    for part, (name, data) in zip(manifest["parts"], sorted(whole.items())[1:], strict=True):
        assert (part["name"], part["bytes"], part["sha256"]) == (name, len(data), hashlib.sha256(data).hexdigest())
    assert [part["errors"] for part in manifest["parts"]] == [0, 0, 1, 1, *[0] * 12, 1, *[0] * 13]
    assert [part["rows"] for part in manifest["parts"]] == [4, 4, 3, 3, *[4] * 12, 3, *[4] * 13]
    assert {part["images"] for part in manifest["parts"]} == {2}


def test_a_models_digest_is_of_its_weights_and_configuration(tmp_path: Path) -> None:
    bundle = read_bundle(bulk_job.BUNDLE)
    weights = {name: array.copy() for name, array in bundle.weights.items()}
    write_bundle(tmp_path / "same.cloudseg", replace(bundle, metrics={"dice": 1.0}), "float32")
    next(iter(weights.values())).flat[0] += 1
    write_bundle(tmp_path / "other.cloudseg", replace(bundle, weights=weights), "float32")
    write_bundle(
        tmp_path / "grey.cloudseg", replace(bundle, config=replace(bundle.config, scaling="standardize")), "float32"
    )
    found = [Segmenter.load(tmp_path / f"{name}.cloudseg")._only_network() for name in ("same", "other", "grey")]
    digests = [network.digest() for network in found]
    assert len(set(digests)) == 3
    assert digests[0] == Segmenter.load(bulk_job.BUNDLE)._only_network().digest()
    model = Segmenter.load(tmp_path / "same.cloudseg", engine="keras")._only_network()
    assert model.digest() == digests[0]
    model.model.weights[0].assign_add(np.ones(model.model.weights[0].shape, np.float32))
    assert model.digest() not in digests


@pytest.mark.parametrize("progress", [True, False])
def test_progress_is_shown_with_rate_and_count(
    segmenter: Segmenter, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], progress: bool
) -> None:
    predict(segmenter, tmp_path / "out.csv", scenes, progress=progress)
    printed = capsys.readouterr().out
    if progress:
        assert re.search(r"predicting, 3 unreadable .* 60/60 [0-9.]+ images/s 0:00:00", printed)
    else:
        assert printed == ""


def test_progress_counts_what_was_there_already(
    segmenter: Segmenter, scenes: Path, tmp_path: Path, whole: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out.parquet"
    shutil.copytree(scenes.parent / "whole.parquet", folder)
    (folder / "part-0000-000007.parquet").unlink()
    predict(segmenter, folder, scenes, progress=True)
    assert re.search(r"predicting .* 60/60 [0-9.]+ images/s 0:00:00", capsys.readouterr().out)
    assert files(folder) == whole


# --- going on


def test_killed_twenty_times_it_ends_as_if_nothing_had_happened(scenes: Path, whole: dict[str, bytes]) -> None:
    kills = np.random.default_rng(5).integers(1, 36, 20)
    folder = scenes.parent / "killed.parquet"
    command = [sys.executable, bulk_job.__file__, str(folder), str(scenes), *map(str, kills)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert [run["status"] for run in runs] == [-signal.SIGKILL] * 20 + [0]
    listed = [run["listed"] for run in runs]
    assert listed == sorted(listed), "no finished part is lost"
    assert 0 < listed[10] < listed[19] < 30
    assert any(run["temporary"] for run in runs), "a kill while a file was written"
    assert any(run["parts"] > run["listed"] for run in runs), "a kill between a part and the manifest"
    assert files(folder) == whole


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_part_that_is_lost_or_cut_short_is_made_again(
    segmenter: Segmenter, scenes: Path, whole: dict[str, bytes], tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    folder = tmp_path / "out.parquet"
    shutil.copytree(scenes.parent / "whole.parquet", folder)
    spoil(folder / "part-0000-000003.parquet")
    predict(segmenter, folder, scenes)
    assert files(folder) == whole


def test_a_finished_job_is_not_done_again(segmenter: Segmenter, scenes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out.parquet"
    shutil.copytree(scenes.parent / "whole.parquet", folder)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert predict(segmenter, folder, scenes) == BulkReport(60, 117, 3)
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {name: after[name] for name in before if not name.startswith(".")} == {
        name: time for name, time in before.items() if not name.startswith(".")
    }


def test_ctrl_c_keeps_what_was_finished(segmenter: Segmenter, scenes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out.parquet"
    stop = interrupted(segmenter, 9, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run(job(folder, scenes), stop)
    assert len(json.loads((folder / MANIFEST).read_text())["parts"]) == 4
    seen: list[str] = []

    def count(names: Sequence[str]) -> Generator[Prediction, None, None]:
        seen.extend(names)
        return segmenter.stream(names)

    assert run(job(folder, scenes), count).images == COUNT
    assert len(seen) == COUNT - 8, "finished images are not predicted again"


# --- shards


@pytest.mark.parametrize("count", [3, 7])
def test_shards_together_are_the_whole(segmenter: Segmenter, scenes: Path, tmp_path: Path, count: int) -> None:
    folder = tmp_path / "out.csv"
    reports = [predict(segmenter, folder, scenes, shard=(number, count)) for number in reversed(range(count))]
    images = [report.images for report in reports]
    assert sum(images) == COUNT
    assert max(images) - min(images) <= 1
    assert (sum(report.rows for report in reports), sum(report.errors for report in reports)) == (117, 3)
    predict(segmenter, tmp_path / "whole.csv", scenes)
    pd.testing.assert_frame_equal(read_csvs(folder), read_csvs(tmp_path / "whole.csv"))
    for number in range(count):
        assert json.loads((folder / f"_manifest-{number}-of-{count}.json").read_text())["complete"]


def test_there_may_be_more_shards_than_images(segmenter: Segmenter, scenes: Path, tmp_path: Path) -> None:
    images = sorted(scenes.iterdir())[:2]
    reports = [predict(segmenter, tmp_path / "out.parquet", images, shard=(number, 4)) for number in range(4)]
    assert sorted(report.images for report in reports) == [0, 0, 1, 1]
    assert pd.read_parquet(tmp_path / "out.parquet")["source"].unique().tolist() == [str(path) for path in images]


def test_a_second_writer_of_a_shard_is_refused_and_of_another_is_not(
    segmenter: Segmenter, scenes: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    folder = tmp_path / "out.parquet"
    caught: list[str] = []

    def meddle() -> None:
        with pytest.raises(CloudsegError) as error:
            predict(segmenter, folder, scenes)
        caught.append(str(error.value))

    stream = interrupted(segmenter, 9, meddle)
    real = BulkJob(folder, [str(path) for path in sorted(scenes.iterdir())], (0, 1), 2, settings_of(whole))
    run(real, stream)
    assert caught == [f"another process is writing shard 0 of 1 into {folder}; let it end, or stop it first"]
    assert files(folder) == whole

    other = tmp_path / "two.csv"
    beside = interrupted(segmenter, 9, lambda: predict(segmenter, other, scenes, shard=(1, 2)))
    run(replace(real, folder=other, shard=(0, 2)), beside)
    assert len(read_csvs(other)) == 117


def settings_of(whole: dict[str, bytes]) -> dict[str, Any]:
    facts = json.loads(whole[MANIFEST])["job"]
    return {name: value for name, value in facts.items() if name not in ("images", "shards", "part_size")}


# --- refusals


def spoil_manifest(folder: Path, **changes: Any) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def cut_manifest(folder: Path) -> None:
    path = folder / MANIFEST
    path.write_bytes(path.read_bytes()[:-9])


def names_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


REFUSED: dict[str, tuple[Callable[[Path, Path], dict[str, Any] | None], str]] = {
    "fewer images": (
        lambda _, scenes: {"images": names_in(scenes)[:-1]},
        "{folder} holds a job with images=60 from {scenes}/00.png to {scenes}/59.png (hash {hash}), not 59 from "
        "{scenes}/00.png to {scenes}/58.png (hash ........); give another folder, or call it as before",
    ),
    "another order": (
        lambda _, scenes: {"images": [*names_in(scenes)[:2], *names_in(scenes)[3:1:-1], *names_in(scenes)[4:]]},
        "{folder} holds a job with images=60 from {scenes}/00.png to {scenes}/59.png (hash {hash}), not 60 from "
        "{scenes}/00.png to {scenes}/59.png (hash ........); give another folder, or call it as before",
    ),
    "another size": (
        lambda _, __: {"output_size": (20, 31)},
        "{folder} holds a job with output_size=None, not [20, 31]; give another folder, or call it as before",
    ),
    "flips": (
        lambda _, __: {"tta": "flips"},
        "{folder} holds a job with tta='none', not 'flips'; give another folder, or call it as before",
    ),
    "windows": (
        lambda _, __: {"window": (10, 15)},
        "{folder} holds a job with windows=None, not [10, 15, 0.25]; give another folder, or call it as before",
    ),
    "another threshold": (
        lambda _, __: {"threshold": {"b": 0.8}},
        "{folder} holds a job with threshold=[0.66, 0.7], not [0.66, 0.8]; give another folder, or call it as before",
    ),
    "other parts": (
        lambda _, __: {"part_size": 3},
        "{folder} holds a job with part_size=2, not 3; give another folder, or call it as before",
    ),
    "other shards": (
        lambda _, __: {"shard": (1, 2)},
        "{folder} holds a job with shards=1, not 2; give another folder, or call it as before",
    ),
    "no resuming": (
        lambda _, __: {"resume": False},
        "{folder} holds this job already; give another folder, or resume=True to go on with it",
    ),
    "a file of somebody else's": (
        lambda folder, _: (folder / "notes.txt").touch(),
        "{folder} holds notes.txt, which is of no job known there; give a new or an empty folder",
    ),
    "parts without a manifest": (
        lambda folder, _: (folder / MANIFEST).unlink(),
        "{folder} holds part-0000-000000.parquet, which is of no job known there; give a new or an empty folder",
    ),
    "a damaged manifest": (
        lambda folder, _: spoil_manifest(folder, parts=[{"name": "x"}]),
        r"{folder}/_manifest-0-of-1.json is damaged: TypeError\(.*\); give another folder",
    ),
    "a manifest with a text for a list": (
        lambda folder, _: spoil_manifest(folder, parts="all"),
        r"{folder}/_manifest-0-of-1.json is damaged: TypeError\(.parts is no list.\); give another folder",
    ),
    "half a manifest": (
        lambda folder, _: cut_manifest(folder),
        r"{folder}/_manifest-0-of-1.json is damaged: JSONDecodeError\(.*\); give another folder",
    ),
    "a later release's": (
        lambda folder, _: spoil_manifest(folder, format_version=2),
        "{folder}/_manifest-0-of-1.json has format version 2; this release goes on with 1",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_gone_on_with_is_refused_and_left_alone(
    segmenter: Segmenter, scenes: Path, whole: dict[str, bytes], tmp_path: Path, case: str
) -> None:
    folder = tmp_path / "out.parquet"
    shutil.copytree(scenes.parent / "whole.parquet", folder)
    change, words = REFUSED[case]
    options = {"images": scenes, **(change(folder, scenes) or {})}
    before = files(folder)
    with pytest.raises(CloudsegError) as caught:
        predict(segmenter, folder, **options)
    known = {"folder": re.escape(str(folder)), "scenes": re.escape(str(scenes))}
    known["hash"] = json.loads(whole[MANIFEST])["job"]["images"]["sha256"][:8]
    pattern = words if "\\" in words else re.sub(r"[()\[\]]", r"\\\g<0>", words)
    assert re.fullmatch(pattern.format(**known), str(caught.value)), str(caught.value)
    assert files(folder) == before


def test_another_model_or_threshold_is_refused(scenes: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    folder = tmp_path / "out.parquet"
    shutil.copytree(scenes.parent / "whole.parquet", folder)
    bundle = read_bundle(bulk_job.BUNDLE)
    weights = {name: array * 2 for name, array in bundle.weights.items()}
    old = json.loads(whole[MANIFEST])["job"]["model"][0]
    for changed, words in (
        (replace(bundle, weights=weights), rf"model=\['{old}'\], not \['[0-9a-f]{{64}}'\]"),
        (
            replace(bundle, decision=replace(bundle.decision, threshold=(0.66, 0.8))),
            r"threshold=\[0.66, 0.7\], not \[0.66, 0.8\]",
        ),
    ):
        write_bundle(tmp_path / "other.cloudseg", changed, "float32")
        with pytest.raises(
            ConfigError, match=rf"^{re.escape(str(folder))} holds a job with {words}; give another folder"
        ):
            predict(Segmenter.load(tmp_path / "other.cloudseg"), folder, scenes)
        assert files(folder) == whole


@pytest.mark.parametrize(
    ("other", "words"),
    [
        pytest.param(
            {"precision": "bfloat16"},
            "precision=['float32', 'float32'], not ['float32', 'bfloat16']",
            marks=pytest.mark.skipif(
                not has_bfloat16(import_openvino().Core()), reason="this CPU does not compute in bfloat16"
            ),
        ),
        ({"engine": "keras"}, "engine=['openvino', 'openvino'], not ['openvino', 'keras']"),
    ],
)
def test_an_ensemble_with_a_member_run_otherwise_is_refused(
    segmenter: Segmenter, scenes: Path, tmp_path: Path, other: dict[str, Any], words: str
) -> None:
    folder = tmp_path / "out.csv"
    images = [str(path) for path in sorted(scenes.iterdir())[:2]]
    predict(Segmenter.ensemble([segmenter, segmenter]), folder, images)
    before = files(folder)
    mixed = Segmenter.ensemble([segmenter, Segmenter.load(bulk_job.BUNDLE, **other)])
    with pytest.raises(ConfigError) as caught:
        predict(mixed, folder, images)
    assert str(caught.value) == f"{folder} holds a job with {words}; give another folder, or call it as before"
    assert files(folder) == before


def test_the_manifest_counts_in_numbers(segmenter: Segmenter, scenes: Path, tmp_path: Path) -> None:
    predict(segmenter, tmp_path / "out.csv", [str(scenes / "00.png"), "gone.png"], part_size=1)
    parts = json.loads((tmp_path / "out.csv" / MANIFEST).read_text())["parts"]
    assert [repr(part["errors"]) for part in parts] == ["0", "1"]


def test_shards_of_different_jobs_do_not_mix(segmenter: Segmenter, scenes: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out.csv"
    predict(segmenter, folder, scenes, shard=(0, 2))
    before = files(folder)
    with pytest.raises(ConfigError, match=r"holds a job with tta='none', not 'flips'"):
        predict(segmenter, folder, scenes, shard=(1, 2), tta="flips")
    with pytest.raises(ConfigError, match=r"holds shard 0 of 2 already"):
        predict(segmenter, folder, scenes, shard=(0, 2), resume=False)
    assert files(folder) == before, "nor is there a manifest of the refused shard"
    predict(segmenter, folder, scenes, shard=(1, 2), resume=False)
    assert len(read_csvs(folder)) == 117


ARGUMENTS: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("out.txt", {}, ValueError, "a bulk job writes a folder whose name ends in .parquet or .csv, got {tmp}/out.txt"),
    ("out", {}, ValueError, "a bulk job writes a folder whose name ends in .parquet or .csv, got {tmp}/out"),
    *(
        (
            "out.csv",
            {"shard": shard},
            ValueError,
            f"shard must be (number, count) with a number from 0 to count - 1, got {shard!r}",
        )
        for shard in ((1, 1), (-1, 2), (0, 0), (0,), [0, 1], (0.0, 1), (True, 2), "01")
    ),
    *(
        ("out.csv", {"part_size": size}, ValueError, f"part_size must be a whole number of at least 1, got {size!r}")
        for size in (0, -1, 2.0, True)
    ),
    ("out.csv", {"images": []}, DataError, "there are no images to predict"),
    (
        "out.csv",
        {"images": [np.zeros((4, 4), np.uint8)]},
        TypeError,
        "a bulk job wants paths, which a later run finds again, got array 0 (ndarray); write such images to files, or "
        "use stream()",
    ),
    (
        "out.parquet",
        {"images": ["a.png", "\udcff.png"]},
        DataError,
        "the name '\\udcff.png' is no UTF-8, as a .parquet file wants; rename the file, or write .csv",
    ),
    (
        "out.csv",
        {"images": ["\ud800.png"]},
        DataError,
        "the name '\\ud800.png' is no UTF-8, as a .csv file wants; rename the file",
    ),
    (
        "out.csv",
        {"output_size": (0, 3)},
        ValueError,
        "output_size must be (height, width) of positive whole numbers or None, got (0, 3)",
    ),
    (
        "out.csv",
        {"probabilities": True},
        ValueError,
        "tables do not hold probabilities; stream(..., probabilities=True) yields them",
    ),
    ("out.csv", {"tta": "hflip"}, ConfigError, 'tta must be "none" or "flips", got \'hflip\''),
]


@pytest.mark.parametrize(("name", "options", "kind", "words"), ARGUMENTS)
def test_wrong_arguments_are_refused_before_anything_is_written(
    segmenter: Segmenter,
    scenes: Path,
    tmp_path: Path,
    name: str,
    options: dict[str, Any],
    kind: type[Exception],
    words: str,
) -> None:
    with pytest.raises(kind) as caught:
        predict(segmenter, tmp_path / name, **{"images": scenes, **options})
    assert str(caught.value) == words.format(tmp=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_no_utf8_is_a_row_of_csv(segmenter: Segmenter, tmp_path: Path) -> None:
    report = predict(segmenter, tmp_path / "out.csv", [os.fsdecode(b"gone-\xff.png")])
    assert report == BulkReport(1, 1, 1)
    assert b"gone-\xff.png" in (tmp_path / "out.csv" / "part-0000-000000.csv").read_bytes()


def test_a_name_with_a_carriage_return_is_one_row_of_csv(segmenter: Segmenter, tmp_path: Path) -> None:
    predict(segmenter, tmp_path / "out.csv", ["gone\r1.png", "gone2.png"])
    assert read_csvs(tmp_path / "out.csv")["source"].tolist() == ["gone\r1.png", "gone2.png"]


def test_a_missing_pyarrow_is_told_before_anything_is_written(
    segmenter: Segmenter, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError) as caught:
        predict(segmenter, tmp_path / "out.parquet", scenes)
    assert str(caught.value) == 'Parquet files need pyarrow; install it with: pip install "cloudseg-sdk[arrow]"'
    assert not list(tmp_path.iterdir())


# --- disks


def cannot_write(folder: Path, reason: str) -> str:
    return f"cannot write to {folder}: {reason}; finished parts are kept: mend that, and call it again to go on"


@pytest.mark.parametrize("size", [0, 1500, 6500])
def test_a_file_that_the_system_refuses_stops_the_job_and_it_goes_on(
    segmenter: Segmenter, scenes: Path, whole: dict[str, bytes], tmp_path: Path, size: int
) -> None:
    folder = tmp_path / "out.parquet"
    assert len(whole[MANIFEST]) > 6500 > max(len(data) for name, data in whole.items() if name != MANIFEST) > 1500
    with limited(resource.RLIMIT_FSIZE, size), pytest.raises(CloudsegError) as caught:
        predict(segmenter, folder, scenes)
    assert str(caught.value) == cannot_write(folder, "File too large")
    assert not [path for path in folder.iterdir() if path.name.startswith((".part", "._manifest"))]
    predict(segmenter, folder, scenes)
    assert files(folder) == whole


def test_a_full_disk_stops_the_job_and_it_goes_on(scenes: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    """On a small file system of its own, which only the shell and what it starts can see."""
    disk, copy = tmp_path / "disk", tmp_path / "copy.parquet"
    disk.mkdir()
    commands = f"""
mount -t tmpfs -o size=96k tmpfs {disk} || exit 77
{sys.executable} {bulk_job.__file__} {disk}/out.parquet {scenes}
mount -o remount,size=10m {disk}
{sys.executable} {bulk_job.__file__} {disk}/out.parquet {scenes}
cp -r {disk}/out.parquet {copy}
"""
    try:
        done = subprocess.run(
            ["unshare", "--mount", "--map-root-user", "sh", "-c", commands], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare here, to mount a small file system")
    if done.returncode == 77 or done.stderr.startswith("unshare:"):
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["status"] == 1
    assert 0 < first["listed"] < 30
    assert first["temporary"] == 0
    assert cannot_write(disk / "out.parquet", "No space left on device") in done.stderr
    assert (second["status"], second["listed"]) == (0, 30)
    assert files(copy) == whole


def test_a_folder_that_may_not_be_written_stops_the_job(segmenter: Segmenter, scenes: Path, open_folder: Path) -> None:
    folder = open_folder / "out.parquet"
    folder.mkdir()
    folder.chmod(0o555)
    images = [str(path) for path in sorted(scenes.iterdir())]
    with without_privileges(), pytest.raises(CloudsegError) as caught:
        predict(segmenter, folder, images)
    assert str(caught.value) == cannot_write(folder, "Permission denied")
    folder.chmod(0o755)
    assert predict(segmenter, folder, images).images == COUNT


def test_a_file_in_place_of_the_folder_stops_the_job(segmenter: Segmenter, scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(CloudsegError) as caught:
        predict(segmenter, tmp_path / "out.csv", scenes)
    assert str(caught.value) == cannot_write(tmp_path / "out.csv", "File exists")
    assert (tmp_path / "out.csv").read_text() == "mine"


def test_a_folder_that_vanishes_stops_the_job(segmenter: Segmenter, scenes: Path, tmp_path: Path) -> None:
    folder, away = tmp_path / "out.csv", tmp_path / "away"
    stream = interrupted(segmenter, 9, lambda: folder.rename(away))
    with pytest.raises(CloudsegError) as caught:
        run(job(folder, scenes), stream)
    assert str(caught.value) == (
        f"{folder} is gone, or was made anew; call it again to go on where it is back, or to begin anew"
    )
    assert not folder.exists()
    away.rename(folder)
    run(job(folder, scenes), segmenter.stream)
    assert len(read_csvs(folder)) == 117


def test_an_error_of_the_engine_passes_and_leaves_the_job_free(
    segmenter: Segmenter, scenes: Path, tmp_path: Path
) -> None:
    def fail() -> None:
        raise RuntimeError("the engine fell over")

    folder = tmp_path / "out.csv"
    with pytest.raises(RuntimeError, match="fell over"):
        run(job(folder, scenes), interrupted(segmenter, 9, fail))
    assert len(list(folder.glob("part-*"))) == 4
    assert run(job(folder, scenes), segmenter.stream).images == COUNT


def test_to_parquet_is_the_table(segmenter: Segmenter, scenes: Path, tmp_path: Path) -> None:
    predictions: Predictions = segmenter.predict(scenes)
    predictions.to_parquet(tmp_path / "out.parquet")
    found, wanted = pd.read_parquet(tmp_path / "out.parquet"), predictions.to_frame()
    assert found["rle"].dropna().tolist() == wanted["rle"].dropna().tolist()
