from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.images import fashion, load_images
from latentsmooth.images.fashion import DEBIAN_FOLDER, parse_idx


def idx(array: NDArray[np.uint8]) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


arrays = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=5))


@given(array=arrays, zipped=st.booleans())
@settings(deadline=None)
def test_idx_round_trip(array: NDArray[np.uint8], zipped: bool) -> None:
    content = gzip.compress(idx(array)) if zipped else idx(array)
    parsed = parse_idx(content, name="some.idx")
    assert parsed.dtype == np.uint8
    np.testing.assert_array_equal(parsed, array)


@given(array=arrays, data=st.data(), zipped=st.booleans())
@settings(deadline=None)
def test_any_truncation_is_an_error_that_names_the_file(
    array: NDArray[np.uint8], data: st.DataObject, zipped: bool
) -> None:
    content = gzip.compress(idx(array)) if zipped else idx(array)
    kept = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(DataError, match=r"some\.idx"):
        parse_idx(content[:kept], name="some.idx")


@given(content=st.binary(max_size=40))
@settings(deadline=None)
def test_other_bytes_parse_exactly_or_raise(content: bytes) -> None:
    try:
        parsed = parse_idx(content, name="some.idx")
    except DataError:
        return
    assert idx(parsed) == content


def test_other_element_types_and_trailing_bytes_are_refused() -> None:
    with pytest.raises(DataError, match="element type 0x0d"):
        parse_idx(bytes([0, 0, 13, 1, 0, 0, 0, 1, 0, 0, 0, 0]), name="floats")
    with pytest.raises(DataError, match=r"3 elements; its header says \(2,\)"):
        parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 7, 7]), name="long")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pixels)))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.array([3, 0, 9, 1, 2], np.uint8)))
    return tmp_path


def test_folder_of_idx_files(folder: Path) -> None:
    images = load_images(f"fashion-mnist:{folder}", stride=2)
    assert images.image_shape == (1, 4, 3)
    assert images.indices == (0, 2, 4)
    assert images.class_names[9] == "Ankle boot"
    pixels, labels, _ = images.batch([1])
    assert labels.tolist() == [9]
    np.testing.assert_allclose(pixels[0, 0].numpy().ravel() * 255, np.arange(24, 36), rtol=1e-6)
    assert "t10k-images-idx3-ubyte.gz row 2" in images[1].name


def test_fingerprint_does_not_depend_on_compression(folder: Path) -> None:
    zipped = load_images(f"fashion-mnist:{folder}").fingerprint
    file = folder / "t10k-images-idx3-ubyte.gz"
    (folder / "t10k-images-idx3-ubyte").write_bytes(gzip.decompress(file.read_bytes()))
    file.unlink()
    assert load_images(f"fashion-mnist:{folder}").fingerprint == zipped
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(np.array([3, 0, 9, 1, 1], np.uint8)))
    assert load_images(f"fashion-mnist:{folder}").fingerprint != zipped


def test_resizing_idx_images(folder: Path) -> None:
    images = load_images(f"fashion-mnist:{folder}", image_size=8)
    assert images.batch([0, 1])[0].shape == (2, 1, 8, 8)


def test_what_is_missing_or_contradicts_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no train-images-idx3-ubyte.*apt install"):
        load_images(f"fashion-mnist:{folder}", split="train")
    with pytest.raises(DataError, match=r"no such folder: .*nowhere"):
        load_images(f"fashion-mnist:{tmp_path / 'nowhere'}")
    with pytest.raises(ConfigurationError, match="no split 'validation'; there is train, test"):
        load_images(f"fashion-mnist:{folder}", split="validation")
    labels = folder / "t10k-labels-idx1-ubyte"
    labels.write_bytes(idx(np.array([3, 0, 10, 1, 2], np.uint8)))
    with pytest.raises(DataError, match="row 2: label 10 is out of range"):
        load_images(f"fashion-mnist:{folder}")
    labels.write_bytes(idx(np.array([3, 0], np.uint8)))
    with pytest.raises(DataError, match="expected 5, one for each"):
        load_images(f"fashion-mnist:{folder}")
    labels.write_bytes(idx(np.zeros((1, 1), np.uint8)))
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(idx(np.zeros((0, 4, 3), np.uint8)))
    with pytest.raises(DataError, match=r"shape \(0, 4, 3\)"):
        load_images(f"fashion-mnist:{folder}")


@pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason="needs the package dataset-fashion-mnist")
def test_the_debian_package() -> None:
    images = load_images("fashion-mnist")
    assert len(images) == 10_000
    assert images.image_shape == (1, 28, 28)
    assert np.bincount(images.labels.numpy()).tolist() == [1000] * 10


def test_gzip_bombs_and_many_dimensions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fashion, "_MAX_BYTES", 10**6)
    bomb = gzip.compress(bytes(10**8), 1)
    tracemalloc.start()
    with pytest.raises(DataError, match="refused, more than 1,000,000 bytes unpacked"):
        parse_idx(bomb, name="bomb")
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()
    for count in (0, 5, 255):
        with pytest.raises(DataError, match=f"{count} dimensions; expected 1 to 4"):
            parse_idx(bytes([0, 0, 8, count]) + b"\0\0\0\1" * count + b"\7", name="deep")
