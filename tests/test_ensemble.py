"""Ensembles: the mean of several networks, in one file."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cloudseg_sdk import (
    BundleError,
    CloudDataset,
    CloudsegError,
    ConfigError,
    Decision,
    ModelConfig,
    Segmenter,
    TrainConfig,
)
from cloudseg_sdk.bundle import MANIFEST, Bundle, read_bundle, write_bundle
from cloudseg_sdk.inference.engines import OpenVINOEngine
from cloudseg_sdk.inference.postprocess import decide, presence_scores
from cloudseg_sdk.network import EngineName

CONFIG = ModelConfig(input_size=(32, 48), filters=(4, 6, 8))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three networks of two architectures and of different scaling, saved."""
    folder = tmp_path_factory.mktemp("members")
    grey = ModelConfig(input_size=(32, 48), filters=(4, 6, 10), channels=1, scaling="standardize")
    paths = []
    for seed, config in enumerate((CONFIG, CONFIG, grey)):
        paths.append(folder / f"{seed}.cloudseg")
        Segmenter.build(config, seed=seed).save(paths[-1])
    return paths


@pytest.fixture
def ensemble(files: list[Path]) -> Segmenter:
    return Segmenter.ensemble([Segmenter.load(path) for path in files])


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), np.uint8)


@pytest.fixture(scope="module")
def dataset(dataset_folder: Path) -> CloudDataset:
    return CloudDataset.from_kaggle(dataset_folder, label_shape=(140, 210))


def test_the_maps_are_the_mean_of_the_members(
    ensemble: Segmenter, files: list[Path], images: NDArray[np.uint8]
) -> None:
    graphs = [read_bundle(path).graph or b"" for path in files]
    maps = np.stack([OpenVINOEngine(graph).run(images).maps for graph in graphs])
    mean = (maps[0].astype(np.float64) + maps[1] + maps[2]) / 3
    for item, wanted in zip(ensemble.predict(images), mean.astype(np.float32), strict=True):
        np.testing.assert_allclose(item.scores, presence_scores(wanted), atol=1e-5)
        masks = np.stack([rle.to_mask() for rle in decide(wanted, (32, 48), Decision.plain(4))])
        assert (item.masks != masks).mean() < 0.001
    assert np.abs(maps[0] - maps[1]).max() > 0.05  # else one would do for all


def test_an_ensemble_says_what_it_is(ensemble: Segmenter) -> None:
    assert ensemble.classes == CONFIG.classes
    assert ensemble.config == CONFIG
    assert ensemble.engine == "openvino"
    assert ensemble.decision == Decision.plain(4)
    assert len(ensemble.members) == 3
    assert ensemble.members[0].members == ()
    mixed = Segmenter.ensemble([ensemble.members[0], Segmenter.build(CONFIG)])
    assert mixed.engine == "openvino+keras"


@pytest.mark.parametrize("engine", ["openvino", "keras"])
def test_an_ensemble_is_calibrated_and_saved_and_loaded_as_one(
    ensemble: Segmenter, dataset: CloudDataset, images: NDArray[np.uint8], tmp_path: Path, engine: EngineName
) -> None:
    calibration = ensemble.calibrate(dataset, tta="flips")
    assert ensemble.evaluate(dataset).dice == calibration.steps[-1].dice
    assert [member.decision for member in ensemble.members] == [Decision.plain(4)] * 3
    ensemble.save(tmp_path / "all.cloudseg", provenance={"data": "none"})
    loaded = Segmenter.load(tmp_path / "all.cloudseg", engine=engine)
    assert loaded.engine == engine
    assert len(loaded.members) == 3
    assert (loaded.decision, loaded.provenance) == (ensemble.decision, {"data": "none"})
    assert loaded.metrics["calibration"]["steps"][0]["dice"] == calibration.steps[0].dice
    for item, wanted in zip(loaded.predict(images), ensemble.predict(images), strict=True):
        np.testing.assert_allclose(item.scores, wanted.scores, atol=1e-5)
        assert (item.masks != wanted.masks).mean() < 0.001
    loaded.save(tmp_path / "again.cloudseg", metrics={"held_out": 0.5, **loaded.metrics})
    again = loaded.calibrate(dataset)
    assert loaded.metrics == {"calibration": again.to_dict()}, "nothing of the thresholds of before"
    assert read_bundle(tmp_path / "again.cloudseg").decision == ensemble.decision


def test_files_become_one_file_without_keras(files: list[Path], tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['keras'] = None\n"
        "from cloudseg_sdk import Segmenter\n"
        "members = [Segmenter.load(path) for path in sys.argv[2:]]\n"
        "Segmenter.ensemble(members).save(sys.argv[1])\n"
        "members[0].save(sys.argv[1] + '.one')\n"
        "assert len(Segmenter.load(sys.argv[1]).members) == 2\n"
    )
    out = tmp_path / "all.cloudseg"
    subprocess.run([sys.executable, "-c", code, str(out), *map(str, files[:2])], check=True)
    for member, path in zip(read_bundle(out).members, files, strict=False):
        alone = read_bundle(path)
        assert (member.config, member.graph) == (alone.config, alone.graph)
        for name, array in alone.weights.items():
            np.testing.assert_array_equal(member.weights[name], array)
    assert read_bundle(Path(f"{out}.one")).graph == read_bundle(files[0]).graph


def test_what_was_changed_is_what_is_saved(files: list[Path], tmp_path: Path) -> None:
    """A loaded model's own parts are written back only while nobody has had its network."""
    member = Segmenter.load(files[0])
    for variable in member.model.trainable_variables:
        variable.assign(variable + 0.5)
    Segmenter.ensemble([member, Segmenter.load(files[1])]).save(tmp_path / "all.cloudseg")
    first, second = read_bundle(tmp_path / "all.cloudseg").members
    assert first.graph != read_bundle(files[0]).graph
    assert any(not np.array_equal(array, first.weights[k]) for k, array in read_bundle(files[0]).weights.items())
    assert second.graph == read_bundle(files[1]).graph


def test_what_an_ensemble_cannot_do_is_said(ensemble: Segmenter, dataset: CloudDataset) -> None:
    for call in (lambda: ensemble.model, lambda: ensemble.fit(dataset, dataset, TrainConfig(epochs=1))):
        with pytest.raises(CloudsegError, match=r"an ensemble has no network of its own; .* \.members\[0\]\.model"):
            call()


def build(**changes: object) -> Segmenter:
    return Segmenter.build(ModelConfig(**{"input_size": (32, 48), "filters": (4, 6, 8), **changes}))  # type: ignore[arg-type]


def test_members_that_have_no_common_mean_are_refused(ensemble: Segmenter) -> None:
    same = "members of an ensemble must have the same"
    first = build()
    for members, words in (
        ([], "an ensemble needs at least 2 members, got 0"),
        ([first], "an ensemble needs at least 2 members, got 1"),
        ([first, ensemble], "member 2 is an ensemble itself; give its .members instead"),
        ([first, first, build(input_size=(32, 64))], f"{same} input_size: member 1 has (32, 48), member 3 (32, 64)"),
        ([first, build(output_stride=1)], f"{same} output_size: member 1 has (16, 24), member 2 (32, 48)"),
        ([first, build(classes=("a",))], f"{same} classes: member 1 has {CONFIG.classes}, member 2 ('a',)"),
        ([first, build(presence_head=True)], f"{same} presence_head: member 1 has False, member 2 True"),
    ):
        with pytest.raises(ConfigError, match=f"^{re.escape(words)}$"):
            Segmenter.ensemble(members)
    with pytest.raises(TypeError, match=r"^member 2 must be a Segmenter, got 'clouds'$"):
        Segmenter.ensemble([first, "clouds"])  # type: ignore[list-item]


# Damaged files


def whole(path: Path, members: tuple[Bundle, ...], config: ModelConfig = CONFIG) -> Path:
    write_bundle(path, Bundle(config, Decision.plain(len(config.classes)), {}, None, members=members), "float32")
    return path


def rewrite(path: Path, **manifest: object) -> None:
    """Change the manifest alone."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts[MANIFEST] = json.dumps({**json.loads(parts[MANIFEST]), **manifest}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def test_a_damaged_ensemble_is_refused_with_the_name_of_the_part(files: list[Path], tmp_path: Path) -> None:
    members = tuple(read_bundle(path) for path in files[:2])
    path = whole(tmp_path / "all.cloudseg", members)
    assert len(read_bundle(path).members) == 2

    def refusal() -> str:
        with pytest.raises(BundleError) as caught:
            read_bundle(path)
        return str(caught.value).replace(str(path), "PATH")

    for value in (-1, "2", None, True, 2.0, 10**9):
        rewrite(whole(path, members), members=value)
        assert refusal() == f"PATH: manifest.json is damaged: 'members' is {value!r}"
    rewrite(whole(path, members[:1]), sha256={"weights.npz": "0"})
    assert refusal() == "PATH: 'member1.cloudseg' is not listed in the manifest"

    inner = whole(tmp_path / "inner.cloudseg", members)
    whole(path, (read_bundle(inner), members[1]))
    assert refusal() == "PATH/member1.cloudseg: a member of an ensemble is an ensemble itself"
    whole(path, members, ModelConfig(input_size=(32, 64), filters=(4, 6, 8)))
    assert "members of an ensemble must have the same input_size: member 1 has (32, 64), member 2 (32, 48)" in refusal()

    data = bytearray(whole(path, members).read_bytes())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        start = archive.getinfo("member2.cloudseg").header_offset + 200
    data[start] ^= 1
    path.write_bytes(data)
    assert refusal().startswith("PATH: member2.cloudseg is damaged")


def test_an_ensemble_cut_off_behind_a_member_is_not_that_member(files: list[Path], tmp_path: Path) -> None:
    """A member is an archive itself, which zipfile would find at the end of the file."""
    path = whole(tmp_path / "all.cloudseg", tuple(read_bundle(path) for path in files[:2]))
    with zipfile.ZipFile(path) as archive:
        start, end = (archive.getinfo(f"member{number}.cloudseg").header_offset for number in (1, 2))
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(BundleError, match=r"a damaged one: its archive begins at byte [\d,]+ only") as caught:
        read_bundle(path)
    assert f"{start + 30 + len('member1.cloudseg'):,}" in str(caught.value)
