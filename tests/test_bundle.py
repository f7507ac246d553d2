"""Bundles: what was saved comes back, and a file that is damaged in any way is refused with the name of the part."""

import dataclasses
import hashlib
import io
import json
import re
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from cloudseg_sdk import BundleError, ConfigError, Decision, ModelConfig, Segmenter
from cloudseg_sdk.bundle import FORMAT_VERSION, GRAPH, MANIFEST, WEIGHTS, Bundle, read_bundle, write_bundle
from cloudseg_sdk.network import EngineName, Network

Parts = dict[str, bytes]

VERSION_1 = Path(__file__).parent / "fixtures" / "bundle" / "version1.cloudseg"
VERSION_2 = VERSION_1.with_name("version2.cloudseg")
VERSION_3 = VERSION_1.with_name("version3.cloudseg")
ENSEMBLE_3 = VERSION_1.with_name("version3-ensemble.cloudseg")
ENGINES: tuple[EngineName, ...] = ("keras", "openvino")
CONFIG = ModelConfig(classes=("x", "ÿ"), input_size=(32, 48), filters=(4, 6, 8))
DECISION = Decision(presence=(0.1, 0.2), threshold=(0.3, 0.4), min_area=(0.0, 0.5))


@pytest.fixture
def bundle() -> Bundle:
    """Small enough to try every byte of its file."""
    rng = np.random.default_rng(0)
    weights = {"conv/kernel": rng.normal(size=(3, 3)).astype(np.float32), "conv/bias": np.full(3, 1e-9, np.float32)}
    return Bundle(CONFIG, DECISION, weights, b"a graph " * 5, {"dice": 0.5}, {"data": ["ünï", None]})


@pytest.fixture
def path(tmp_path: Path, bundle: Bundle) -> Path:
    write_bundle(tmp_path / "model.cloudseg", bundle, "float32")
    return tmp_path / "model.cloudseg"


def same(one: Bundle, other: Bundle) -> bool:
    fields = [field.name for field in dataclasses.fields(Bundle) if field.name != "weights"]
    return all(getattr(one, name) == getattr(other, name) for name in fields) and all(
        np.array_equal(array, other.weights[name]) and array.dtype == other.weights[name].dtype
        for name, array in one.weights.items()
    )


def parts_of(path: Path) -> Parts:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_parts(path: Path, parts: Parts, *, vouch: bool = True) -> None:
    """Write parts as they are, or with the hashes that the manifest should then have."""
    if vouch:
        manifest = json.loads(parts[MANIFEST])
        manifest["sha256"] = {
            name: hashlib.sha256(data).hexdigest() for name, data in parts.items() if name != MANIFEST
        }
        parts = {**parts, MANIFEST: json.dumps(manifest).encode()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def refusal(path: Path) -> str:
    """Say why a file is refused, without its path."""
    with pytest.raises(BundleError) as caught:
        read_bundle(path)
    return str(caught.value).replace(str(path), "PATH")


# --- round trips ---


def test_a_float32_bundle_comes_back(path: Path, bundle: Bundle) -> None:
    assert same(bundle, read_bundle(path))


def test_a_float16_bundle_halves_its_kernels_alone(tmp_path: Path, bundle: Bundle) -> None:
    write_bundle(tmp_path / "half.cloudseg", bundle, "float16")
    read = read_bundle(tmp_path / "half.cloudseg")
    assert read.weights["conv/kernel"].dtype == np.float16
    np.testing.assert_allclose(read.weights["conv/kernel"], bundle.weights["conv/kernel"], rtol=1e-3)
    np.testing.assert_array_equal(read.weights["conv/bias"], bundle.weights["conv/bias"])
    assert read.weights["conv/bias"].dtype == np.float32


@pytest.mark.parametrize("value", [65520.0, -1e30, np.inf])
def test_a_kernel_that_float16_cannot_hold_is_refused(tmp_path: Path, bundle: Bundle, value: float) -> None:
    weights = {**bundle.weights, "conv/kernel": np.full((1, 1, 2, 2), value, np.float32)}
    with pytest.raises(ConfigError) as caught:
        write_bundle(tmp_path / "half.cloudseg", dataclasses.replace(bundle, weights=weights), "float16")
    assert str(caught.value) == 'conv/kernel has values beyond the 65504 that float16 holds; take dtype "float32"'
    assert not list(tmp_path.iterdir())


def test_a_bundle_without_a_graph_comes_back(tmp_path: Path, bundle: Bundle) -> None:
    write_bundle(tmp_path / "model.cloudseg", dataclasses.replace(bundle, graph=None), "float32")
    assert read_bundle(tmp_path / "model.cloudseg").graph is None
    assert set(parts_of(tmp_path / "model.cloudseg")) == {MANIFEST, WEIGHTS}


def test_the_manifest_says_what_the_model_is(path: Path) -> None:
    parts = parts_of(path)
    manifest = json.loads(parts[MANIFEST])
    assert manifest["format_version"] == 3
    assert manifest["weights_dtype"] == "float32"
    assert manifest["image"] == {"channel_order": "RGB", "dtype": "uint8", "size": [32, 48]}
    assert manifest["config"]["classes"] == ["x", "ÿ"]
    assert manifest["decision"]["presence"] == [0.1, 0.2]
    assert manifest["sha256"] == {name: hashlib.sha256(parts[name]).hexdigest() for name in (WEIGHTS, GRAPH)}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_saved_network_predicts_the_same(
    tiny_bundle: Path, tmp_path: Path, dtype: Literal["float32", "float16"]
) -> None:
    first = Segmenter.load(tiny_bundle, engine="keras")
    assert first.metrics == {"dice": 0.5}
    assert first.provenance == {"data": "none"}
    first.save(tmp_path / "again.cloudseg", dtype=dtype, metrics={"dice": 0.75})
    assert first.metrics == {"dice": 0.75}
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), np.uint8)
    wanted = np.array([item.scores for item in first.predict(images)])
    for engine in ENGINES:
        again = Segmenter.load(tmp_path / "again.cloudseg", engine=engine)
        assert again.engine == engine
        assert (again.config, again.decision, again.metrics) == (first.config, first.decision, first.metrics)
        assert again.provenance == first.provenance
        scores = np.array([item.scores for item in again.predict(images)])
        assert np.abs(scores - wanted).max() < (1e-4 if dtype == "float32" else 1e-2)
        assert np.ptp(wanted) > 0.05  # else anything would do
    kernels = [array for array in read_bundle(tmp_path / "again.cloudseg").weights.values() if array.ndim > 1]
    assert {array.dtype for array in kernels} == {np.dtype(dtype)}
    saved = len(read_bundle(tmp_path / "again.cloudseg").graph or b"") - len(
        parts_of(tmp_path / "again.cloudseg")[GRAPH]
    )
    assert saved > 4 * sum(array.size for array in kernels)  # the file has them once


def test_engines_agree_on_weights_that_were_halved(tiny_bundle: Path, tmp_path: Path) -> None:
    """The graph's kernels are those of the weights, after rounding too."""
    Segmenter.load(tiny_bundle, engine="keras").save(tmp_path / "half.cloudseg", dtype="float16")
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), np.uint8)
    scores = [
        [item.scores for item in Segmenter.load(tmp_path / "half.cloudseg", engine=engine).predict(images)]
        for engine in ENGINES
    ]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)


def test_a_calibrated_decision_is_saved(tiny_bundle: Path, tmp_path: Path) -> None:
    saved = read_bundle(tiny_bundle)
    decision = Decision(presence=(0.9, 0.0, 0.0, 0.0), threshold=(0.5,) * 4, min_area=(0.0,) * 4)
    write_bundle(tmp_path / "model.cloudseg", dataclasses.replace(saved, decision=decision), "float32")
    segmenter = Segmenter.load(tmp_path / "model.cloudseg")
    assert segmenter.decision == decision
    prediction = segmenter(np.zeros((32, 48, 3), np.uint8))
    assert prediction.scores[0] < 0.9
    assert not prediction.mask(saved.config.classes[0]).any()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_of_format_version_1_predicts_as_it_did(engine: EngineName) -> None:
    """Frozen: file and numbers are those of the first release, which knew no presence head."""
    segmenter = Segmenter.load(VERSION_1, engine=engine)
    assert json.loads(parts_of(VERSION_1)[MANIFEST])["format_version"] == 1
    assert not segmenter.config.presence_head
    assert segmenter.decision == Decision((0.1, 0.2), (0.66, 0.7), (0.0, 0.02))
    assert (segmenter.metrics, segmenter.provenance) == ({"dice": 0.5}, {"release": "0.1.0"})
    image = (np.arange(16 * 24 * 3) ** 2 % 251).astype(np.uint8).reshape(16, 24, 3)
    prediction = segmenter(image)
    assert prediction.scores == pytest.approx((0.7068510, 0.7474610), abs=1e-5)
    assert [rle.to_kaggle() for rle in prediction.rles] == [
        "20 1 23 3 29 1 36 1 40 2 52 1 57 1 63 1 67 2 73 1 78 1 89 1 104 2 110 1 120 1 134 2 151 1 157 1 167 1 173 1 "
        "183 1 186 1 199 1 206 2 223 1 232 1 238 2 254 2 269 1 284 2 300 2 349 1 359 1",
        "1 3 17 3 33 1 49 1 65 1 194 1 209 2 225 2 241 2 257 1 273 2 290 1 305 1 321 1",
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_of_format_version_2_predicts_as_it_did(engine: EngineName) -> None:
    """Frozen: float16, with kernels of the graph's own, and a presence head."""
    segmenter = Segmenter.load(VERSION_2, engine=engine)
    assert json.loads(parts_of(VERSION_2)[MANIFEST])["format_version"] == 2
    assert segmenter.config.presence_head
    assert segmenter.decision == Decision((0.1, 0.2), (0.55, 0.45), (0.0, 0.02), tta="flips")
    image = (np.arange(16 * 24 * 3) ** 2 % 251).astype(np.uint8).reshape(16, 24, 3)
    prediction = segmenter(image)
    # The graph rounded kernels that had their normalization in them, and Keras those that had not.
    assert prediction.scores == pytest.approx((0.4412653, 0.9619768), abs=1e-4)
    assert prediction.rles[1].to_kaggle() == "1 13 15 4 20 86 107 70 178 14 193 48 242 118 362 4 367 15 383 2"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_of_format_version_3_predicts_as_it_did(engine: EngineName) -> None:
    """Frozen: float16, and the graph takes its kernels from the weights."""
    segmenter = Segmenter.load(VERSION_3, engine=engine)
    parts = parts_of(VERSION_3)
    assert json.loads(parts[MANIFEST])["format_version"] == 3
    assert segmenter.decision == Decision((0.1, 0.2), (0.15, 0.02), (0.0, 0.02), tta="flips")
    assert segmenter.parity.keys() == {"openvino", "onnxruntime"}
    image = (np.arange(16 * 24 * 3) ** 2 % 251).astype(np.uint8).reshape(16, 24, 3)
    prediction = segmenter(image)
    assert prediction.scores == pytest.approx((0.1379904, 0.4850177), abs=1e-4)
    assert [rle.to_kaggle() for rle in prediction.rles] == [
        "1 2 15 4 31 4 48 2 321 2 336 3 351 4 367 4 383 2",
        "352 1 366 3 381 4",
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_ensemble_of_format_version_3_predicts_as_it_did(engine: EngineName) -> None:
    segmenter = Segmenter.load(ENSEMBLE_3, engine=engine)
    assert json.loads(parts_of(ENSEMBLE_3)[MANIFEST])["format_version"] == 3
    assert segmenter.decision == Decision((0.1, 0.2), (0.2, 0.37), (0.0, 0.02))
    assert len(segmenter.members) == 2
    image = (np.arange(16 * 24 * 3) ** 2 % 251).astype(np.uint8).reshape(16, 24, 3)
    prediction = segmenter(image)
    assert prediction.scores == pytest.approx((0.3213225, 0.6759279), abs=1e-5)
    assert [rle.area for rle in prediction.rles] == [113, 137]


def test_every_format_version_has_a_frozen_file() -> None:
    versions = {json.loads(parts_of(path)[MANIFEST])["format_version"] for path in VERSION_1.parent.iterdir()}
    assert versions == set(range(1, FORMAT_VERSION + 1))


def test_a_file_of_format_version_1_saved_again_is_of_today(tmp_path: Path) -> None:
    old = Segmenter.load(VERSION_1)
    old.save(tmp_path / "again.cloudseg")
    assert json.loads(parts_of(tmp_path / "again.cloudseg")[MANIFEST])["format_version"] == 3
    again = Segmenter.load(tmp_path / "again.cloudseg")
    assert again.engine == "openvino"
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    np.testing.assert_allclose(again(image).scores, old(image).scores, atol=1e-5)


def test_a_file_of_format_version_1_gets_new_thresholds_without_keras(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['keras'] = None\n"
        "from cloudseg_sdk import Segmenter\n"
        "Segmenter.load(sys.argv[1]).save(sys.argv[2], metrics={})\n"
    )
    again = tmp_path / "again.cloudseg"
    subprocess.run([sys.executable, "-c", code, str(VERSION_1), str(again)], check=True)
    old, new = read_bundle(VERSION_1), read_bundle(again)
    assert (new.graph, new.config, new.decision, new.metrics) == (old.graph, old.config, old.decision, {})
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    assert Segmenter.load(again)(image).scores == Segmenter.load(VERSION_1)(image).scores


def test_a_file_of_format_version_2_must_have_the_fields_of_version_2(path: Path) -> None:
    parts = parts_of(path)
    cases = (
        ("config", "presence_head", "missing ['presence_head'], unknown []"),
        ("decision", "tta", "missing ['tta'], unknown []"),
        (None, "members", "'members' is None"),
    )
    for part, name, words in cases:
        manifest = json.loads(parts[MANIFEST])
        del (manifest[part] if part else manifest)[name]
        write_parts(path, {**parts, MANIFEST: json.dumps(manifest).encode()})
        assert words in refusal(path)


# --- saving whole or not at all ---


NESTED: list[Any] = [1]
NESTED.append(NESTED)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1], "must be a JSON object, a dict with text for keys; got [1]"),
        ("text", "must be a JSON object, a dict with text for keys; got 'text'"),
        (np.ones(2), "must be a JSON object, a dict with text for keys; got array([1., 1.])"),
        ({1: 2}, "must have text for keys, which JSON would make of 1"),
        ({"a": ({"b": 1, None: 2},)}, "must have text for keys, which JSON would make of None"),
        ({("a", 1): 2}, "must hold JSON values: keys must be str, int, float, bool or None, not tuple"),
        ({"a": float("nan")}, "must hold JSON values: Out of range float values are not JSON compliant"),
        ({"a": {1, 2}}, "must hold JSON values: Object of type set is not JSON serializable"),
        ({"a": np.float32(1)}, "must hold JSON values: Object of type float32 is not JSON serializable"),
        ({"a": np.ones(2)}, "must hold JSON values: Object of type ndarray is not JSON serializable"),
        ({"a": b"1"}, "must hold JSON values: Object of type bytes is not JSON serializable"),
        ({"a": NESTED}, "must hold JSON values: Circular reference detected"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("name", ["metrics", "provenance"])
def test_what_json_cannot_hold_is_refused_before_any_work_and_the_old_file_stays(
    tiny_bundle: Path, path: Path, name: str, value: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter, old = Segmenter.load(tiny_bundle), path.read_bytes()
    monkeypatch.setattr(Network, "parts", None)  # the first that is done
    with pytest.raises(BundleError, match=f"^{re.escape(f'{name} {words}')}"):
        segmenter.save(path, **{name: value})
    assert path.read_bytes() == old
    assert list(path.parent.iterdir()) == [path]


def test_json_objects_come_back(tiny_bundle: Path, tmp_path: Path) -> None:
    value = {"": None, "ü": [1, 2.5, True, {"a": {}}]}
    Segmenter.load(tiny_bundle).save(tmp_path / "model.cloudseg", metrics=value, provenance={})
    again = Segmenter.load(tmp_path / "model.cloudseg")
    assert (again.metrics, again.provenance) == (value, {})


def test_a_manifest_that_no_reader_would_take_is_not_written(path: Path, bundle: Bundle) -> None:
    old = path.read_bytes()
    with pytest.raises(
        BundleError, match=r"^metrics and provenance take 17,.* bytes as JSON, wanted at most 16,777,216; keep"
    ):
        write_bundle(path, dataclasses.replace(bundle, metrics={"log": "x" * 17_000_000}), "float32")
    assert path.read_bytes() == old


def test_a_failed_save_leaves_the_segmenter_as_it_was(tiny_bundle: Path, tmp_path: Path) -> None:
    segmenter = Segmenter.load(tiny_bundle)
    with pytest.raises(BundleError, match="JSON"):
        segmenter.save(tmp_path / "model.cloudseg", metrics={"dice": float("nan")}, provenance={"data": "new"})
    assert segmenter.metrics == {"dice": 0.5}
    assert segmenter.provenance == {"data": "none"}
    assert list(tmp_path.iterdir()) == []


def test_metrics_cannot_be_changed_from_outside(tiny_bundle: Path) -> None:
    segmenter = Segmenter.load(tiny_bundle)
    segmenter.metrics["dice"] = 1.0
    segmenter.provenance.clear()
    assert segmenter.metrics == {"dice": 0.5}
    assert segmenter.provenance == {"data": "none"}


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are POSIX's")
@pytest.mark.parametrize(("deadly", "code"), [(False, 1), (True, -25)], ids=["full disk", "killed"])
def test_a_save_that_dies_half_way_leaves_the_old_file(path: Path, bundle: Bundle, deadly: bool, code: int) -> None:
    # The kernel ends the process (SIGXFSZ), or fails its writes, once a file exceeds the limit.
    script = """
import pathlib, resource, signal, sys
import numpy as np
from cloudseg_sdk.bundle import read_bundle, write_bundle
import dataclasses
path = pathlib.Path(sys.argv[1])
bundle = dataclasses.replace(read_bundle(path), graph=np.random.default_rng(0).bytes(1 << 20))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL if sys.argv[2] == "True" else signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19))
write_bundle(path, bundle, "float32")
"""
    command = [sys.executable, "-c", script, str(path), str(deadly)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert deadly or "File too large" in done.stderr
    assert same(bundle, read_bundle(path))
    assert deadly or list(path.parent.iterdir()) == [path]


def test_an_unknown_dtype_is_refused_before_any_work(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'^dtype must be "float32" or "float16", got \'int8\'$'):
        Segmenter.load(tiny_bundle).save(tmp_path / "model.cloudseg", dtype="int8")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


# --- damage ---


def test_no_flipped_byte_goes_unseen(path: Path, bundle: Bundle) -> None:
    data = path.read_bytes()
    refused = 0
    for position in range(0, len(data), 2):
        flipped = bytearray(data)
        flipped[position] ^= (0xFF, 0x01, 0x80)[position % 3]
        path.write_bytes(flipped)
        try:
            read = read_bundle(path)
        except BundleError as error:
            refused += 1
            assert str(path) in str(error)  # noqa: PT017
        else:
            assert same(bundle, read)  # a date in the zip's own tables, say
    assert refused > 0.75 * len(data) / 2


@pytest.mark.parametrize("part", [MANIFEST, WEIGHTS, GRAPH])
def test_a_byte_flipped_inside_a_part_names_the_part(path: Path, part: str) -> None:
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(part)
    start = info.header_offset + 30 + len(part)
    for position in range(start, start + info.compress_size - 2, 3):  # the last two mark the end, which zipfile knows
        flipped = bytearray(data)
        flipped[position] ^= 0x10
        path.write_bytes(flipped)
        assert re.match(rf"PATH: {re.escape(part)} is damaged: ", refusal(path))


def test_no_truncated_file_is_read(path: Path) -> None:
    data = path.read_bytes()
    for end in range(0, len(data), 20):
        path.write_bytes(data[:end])
        words = r"File is not a zip file|its archive begins at byte [\d,]+ only"  # the latter is that of the weights
        assert re.fullmatch(f"PATH is not a \\.cloudseg file, or a damaged one: ({words}); get it again", refusal(path))


@pytest.mark.parametrize("data", [b"", b"no zip at all", bytes(1000), b"PK\x03\x04", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_bundle_is_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    words = "PATH: manifest.json is missing" if data.startswith(b"PK\x05") else "PATH is not a .cloudseg file"
    assert refusal(path).startswith(words)


def test_a_path_without_a_bundle_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.cloudseg", tmp_path):
        with pytest.raises(BundleError) as caught:
            Segmenter.load(path)
        assert str(caught.value) == f"no model {str(path)!r}; wanted a .cloudseg file or one of clouds"
    with pytest.raises(BundleError, match=r"^no model 'sky'; wanted a \.cloudseg file or one of clouds$"):
        Segmenter.load("sky")
    assert refusal(tmp_path / "none.cloudseg") == "cannot read PATH: No such file or directory"


def set_manifest(**changes: Any) -> Callable[[Parts], None]:
    def change(parts: Parts) -> None:
        manifest = {**json.loads(parts[MANIFEST]), **changes}
        manifest = {name: value for name, value in manifest.items() if value is not KeyError}
        parts[MANIFEST] = json.dumps(manifest).encode()

    return change


def set_part(name: str, data: bytes | None) -> Callable[[Parts], None]:
    def change(parts: Parts) -> None:
        parts.pop(name, None)
        if data is not None:
            parts[name] = data

    return change


def config(**changes: Any) -> dict[str, Any]:
    return {**CONFIG.to_dict(), **changes}


DAMAGED = "PATH: manifest.json is damaged: "
NO_OBJECTS: tuple[Any, ...] = (KeyError, None, [], 5, "x")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_part(MANIFEST, None), "PATH: manifest.json is missing"),
        (set_part(WEIGHTS, None), "PATH: weights.npz is missing"),
        (set_part(GRAPH, None), "PATH: model.onnx is missing"),
        (set_part("extra.bin", b"1"), "PATH: 'extra.bin' is not listed in the manifest"),
        (set_part("../escape", b"1"), "PATH: '../escape' is not listed in the manifest"),
        (
            set_part(WEIGHTS, b"other"),
            "PATH: weights.npz is damaged (its SHA-256 is not the manifest's); get the file again",
        ),
        (set_part(GRAPH, b""), "PATH: model.onnx is damaged (its SHA-256 is not the manifest's); get the file again"),
        (set_part(MANIFEST, b""), f"{DAMAGED}Expecting value: line 1 column 1 (char 0)"),
        (set_part(MANIFEST, b"[1]"), f"{DAMAGED}list indices must be integers or slices, not str"),
        (set_part(MANIFEST, b"null"), f"{DAMAGED}'NoneType' object is not subscriptable"),
        (set_part(MANIFEST, b"{}"), f"{DAMAGED}'format_version'"),
        (set_part(MANIFEST, b"\xff\xff"), f"{DAMAGED}'utf-8' codec can't decode byte 0xff in position 0"),
        (set_part(MANIFEST, b"[" * 100_000), f"{DAMAGED}maximum recursion depth exceeded"),
        (set_manifest(format_version=0), "PATH has format version 0; this release reads 1 to 3. Upgrade cloudseg-sdk."),
        (set_manifest(format_version=True), "PATH has format version True; this release reads 1 to 3. "),
        (set_manifest(format_version=4), "PATH has format version 4; this release reads 1 to 3. Upgrade cloudseg-sdk."),
        (
            set_manifest(format_version="1"),
            "PATH has format version '1'; this release reads 1 to 3. Upgrade cloudseg-sdk.",
        ),
        (set_manifest(format_version=KeyError), f"{DAMAGED}'format_version'"),
        *(
            (set_manifest(**{name: value}), f"{DAMAGED}{name!r} is missing or not an object")
            for name in ("config", "decision", "metrics", "provenance", "sha256")
            for value in NO_OBJECTS
        ),
        (set_manifest(sha256={}), "PATH: 'weights.npz' is not listed in the manifest"),
        (set_manifest(sha256={WEIGHTS: 5, GRAPH: None}), "PATH: weights.npz is damaged (its SHA-256"),
        (set_manifest(config={}), f"{DAMAGED}ModelConfig wants the fields"),
        (set_manifest(config=config(depth=5)), f"{DAMAGED}ModelConfig wants the fields"),
        (set_manifest(config=config(channels=2)), f"{DAMAGED}channels must be one of [1, 3], got 2"),
        (set_manifest(config=config(dropout="0")), f"{DAMAGED}dropout must be at least 0 and below 1, got '0'"),
        (set_manifest(config=config(classes=[["x"]])), f"{DAMAGED}classes must be a tuple of different names"),
        (set_manifest(config=config(input_size=None)), f"{DAMAGED}input_size must be (height, width)"),
        (set_manifest(decision={}), f"{DAMAGED}Decision wants the fields"),
        (set_manifest(decision=Decision.plain(3).to_dict()), f"{DAMAGED}2 classes, but a decision for 3"),
        (
            set_manifest(decision={**DECISION.to_dict(), "threshold": [0.5, 2]}),
            f"{DAMAGED}threshold must be a tuple of one number from 0 to 1 for each class, got (0.5, 2)",
        ),
        (set_manifest(decision={**DECISION.to_dict(), "min_area": 5}), f"{DAMAGED}min_area must be a tuple"),
    ],
)
def test_a_part_that_is_not_what_it_should_be_is_named(path: Path, change: Callable[[Parts], None], words: str) -> None:
    parts = parts_of(path)
    change(parts)
    write_parts(path, parts, vouch=False)
    assert refusal(path).startswith(words)


def test_a_graph_that_the_manifest_does_not_know_is_refused(path: Path) -> None:
    parts = parts_of(path)
    hashes = json.loads(parts[MANIFEST])["sha256"]
    set_manifest(sha256={WEIGHTS: hashes[WEIGHTS]})(parts)
    write_parts(path, parts, vouch=False)
    assert refusal(path) == "PATH: 'model.onnx' is not listed in the manifest"


def test_a_manifest_that_names_no_weights_is_refused(path: Path) -> None:
    parts = parts_of(path)
    del parts[WEIGHTS]
    write_parts(path, parts)
    assert refusal(path) == "PATH: the manifest names no weights.npz"


@pytest.mark.parametrize("part", [MANIFEST, WEIGHTS, GRAPH])
def test_a_part_that_is_there_twice_is_refused(path: Path, part: str) -> None:
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile knows that it is odd
        archive.writestr(part, parts_of(path)[part])
    assert refusal(path) == f"PATH: {part!r} is there twice"


# --- hostile weights, vouched for by the manifest ---


class Bomb:
    """Its pickle writes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def npz(members: Parts, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def npy_header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def refusal_of_weights(path: Path, weights: bytes) -> str:
    write_parts(path, {**parts_of(path), WEIGHTS: weights})
    return refusal(path)


def test_pickles_are_refused_without_being_run(path: Path, tmp_path: Path) -> None:
    trace = tmp_path / "boom"
    array = np.array([Bomb(trace)], dtype=object)
    pickled = npy(array)
    for weights in (npz({"a.npy": pickled}), pickled, pickled[pickled.index(b"\n") + 1 :]):
        assert refusal_of_weights(path, weights).startswith("PATH: weights.npz is damaged: ")
        assert not trace.exists()
    assert "Object arrays cannot be loaded" in refusal_of_weights(path, npz({"a.npy": pickled}))
    np.load(io.BytesIO(pickled), allow_pickle=True)
    assert trace.exists()  # it would have worked


FINE = npy(np.ones(3, np.float32))


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (b"", "No data left in file"),
        (b"no arrays", "This file contains pickled (object) data."),
        (FINE, "'numpy.ndarray' object does not support the context manager protocol"),
        (npz({"a.npy": FINE})[:-30], "File is not a zip file"),
        (npz({"a.npy": FINE[:-1]}), "EOF: reading array data, expected 12 bytes got 11"),
        (npz({"a.npy": FINE[:20]}), "EOF: reading array header"),
        (npz({"a.npy": FINE}, zipfile.ZIP_DEFLATED), "an array is compressed"),
        (npz({"a.npy": FINE, "a.txt": b"hello"}), "a.txt is not an array of floating-point numbers"),
        *(
            (npz({"a.npy": npy(np.zeros(3, dtype))}), "a is not an array of floating-point numbers")
            for dtype in (np.int64, bool, np.uint8, complex, "U3", "M8[s]", [("x", "f4")])
        ),
        (npz({"a.npy": npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000,), }\n")}), ""),
        (npz({"a.npy": npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-3,), }\n")}), ""),
        (npz({"a.npy": npy_header("__import__('os').getcwd()\n")}), "malformed node or string"),
        (npz({"a.npy": npy_header("(" * 5000 + "\n")}), ""),
    ],
)
def test_weights_that_are_no_arrays_are_refused(path: Path, weights: bytes, words: str) -> None:
    found = refusal_of_weights(path, weights)
    assert found.startswith("PATH: weights.npz is damaged: ")
    assert words in found


def test_sound_weights_pass_the_same_way(path: Path) -> None:
    write_parts(path, {**parts_of(path), WEIGHTS: npz({"a.npy": FINE})})
    np.testing.assert_array_equal(read_bundle(path).weights["a"], np.ones(3))


# --- bundles that are sound, but not for what is asked ---


def test_weights_without_a_convolution_are_refused_before_a_network_is_built(tiny_bundle: Path, tmp_path: Path) -> None:
    saved = read_bundle(tiny_bundle)
    weights = {name: array for name, array in saved.weights.items() if not name.startswith("conv1")}
    write_bundle(tmp_path / "model.cloudseg", dataclasses.replace(saved, weights=weights), "float32")
    words = r"model\.cloudseg: the weights do not fit the configuration: missing \['conv1._2/kernel'\]"
    with pytest.raises(BundleError, match=words):
        Segmenter.load(tmp_path / "model.cloudseg", engine="keras")


def test_weights_of_another_network_are_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    saved = read_bundle(tiny_bundle)
    path = tmp_path / "model.cloudseg"
    first, *_ = names = sorted(saved.weights)
    cases: list[tuple[dict[str, Any], str]] = [
        (
            {name: saved.weights[name] for name in names[3:]},
            f"the weights do not fit the configuration: missing {names[:3]}, unknown []",
        ),
        (
            {"other": np.zeros(1, np.float32), **saved.weights},
            "the weights do not fit the configuration: missing [], unknown ['other']",
        ),
        (
            {**saved.weights, first: np.zeros((1, 2), np.float32)},
            f"weights: {first} has shape (1, 2), wanted {saved.weights[first].shape}",
        ),
    ]
    for weights, words in cases:
        write_bundle(path, dataclasses.replace(saved, weights=weights), "float32")
        with pytest.raises(BundleError) as caught:
            Segmenter.load(path, engine="keras")
        assert str(caught.value) == f"{path}: {words}"
    huge = dataclasses.replace(saved.config, filters=(10**6,) * 3)  # to build it would take terabytes
    write_bundle(path, dataclasses.replace(saved, config=huge), "float32")
    with pytest.raises(BundleError) as caught:
        Segmenter.load(path, engine="keras")
    words = "weights: conv11_2/kernel has shape (3, 3, 4, 4), wanted (3, 3, 1000000, 1000000)"
    assert str(caught.value) == f"{path}: {words}"


@pytest.mark.parametrize("graph", [b"", b"no graph", bytes(100)])
def test_a_graph_that_openvino_cannot_read_is_refused(tiny_bundle: Path, tmp_path: Path, graph: bytes) -> None:
    path = tmp_path / "model.cloudseg"
    write_bundle(path, dataclasses.replace(read_bundle(tiny_bundle), graph=graph), "float32")
    with pytest.raises(BundleError, match=rf"^{path}: OpenVINO cannot read the model's graph: "):
        Segmenter.load(path)


def test_a_bundle_without_a_graph_runs_on_keras_alone(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.cloudseg"
    write_bundle(path, dataclasses.replace(read_bundle(tiny_bundle), graph=None), "float32")
    assert Segmenter.load(path).engine == "keras"
    with pytest.raises(BundleError) as caught:
        Segmenter.load(path, engine="openvino")
    assert str(caught.value) == (
        f"{path} holds no ONNX graph for the openvino engine; load it with the keras engine where tf2onnx is installed "
        "and save it again"
    )


def test_an_unknown_engine_is_named(tiny_bundle: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^engine must be one of 'auto', 'keras', 'onnxruntime', 'openvino', got 'tpu'$"
    ):
        Segmenter.load(tiny_bundle, engine="tpu")  # type: ignore[arg-type]
