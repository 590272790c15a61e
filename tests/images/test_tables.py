from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from latentsmooth.errors import DataError
from latentsmooth.images import ImageSet, load_images, parquet
from tests.images.samples import png, write_parquet


def load(path: Path, **options: int) -> ImageSet:
    return load_images(f"parquet:{path}", **options)  # type: ignore[arg-type]


def test_class_names_come_from_the_metadata(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [png(), png()], [2, 0], names=["x", "y", "z"])
    images = load(path)
    assert images.class_names == ("x", "y", "z")
    assert images.labels.tolist() == [2, 0]
    assert images.fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()
    assert images[1].name == f"{path} row 1 (1.png)"
    resized = load(path, image_size=5)
    assert resized.fingerprint not in (images.fingerprint, load(path, image_size=6).fingerprint)


def test_other_column_names_and_kinds_of_label(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    extra = {"coarse_label": [0, 0], "id": ["p", "q"]}
    write_parquet(path, [png(), png()], [1, 4], image="img", label="fine_label", extra=extra)
    assert load(path).class_names == ("0", "1", "2", "3", "4")
    write_parquet(path, [png(), png()], ["dog", "cat"], image="picture", label="target")
    assert load(path).class_names == ("cat", "dog")
    assert load(path).labels.tolist() == [1, 0]
    write_parquet(path, [png(), png()], [1, 0], label="species", names=["a", "b"])
    assert load(path).class_names == ("a", "b")
    write_parquet(path, [png(), png()], ["b", None], names=["a", "b"])
    assert load(path).labels.tolist() == [1, -1]
    pq.write_table(pa.table({"jpg": [png(), png()], "cls": [0, 1]}), path)
    assert load(path)[1].name == f"{path} row 1"
    write_parquet(path, [png(), png()])
    assert load(path).class_names == ()
    assert load(path)[0].label is None


def test_columns_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a"], "label": [0]}), path)
    with pytest.raises(DataError, match=r"no image column; columns are text \(string\), label"):
        load(path)
    pq.write_table(pa.table({"before": [png()], "after": [png()], "label": [0]}), path)
    with pytest.raises(DataError, match="no image column"):
        load(path)
    write_parquet(path, [png()], [0], label="species")
    with pytest.raises(DataError, match=r"no label column; columns are image .*species \(int64\)"):
        load(path)
    write_parquet(path, [png()], [0.5])
    with pytest.raises(DataError, match="column label is double; expected integer or string"):
        load(path)


def test_labels_out_of_range_name_the_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, [png(), png()], [1, 2], names=["a", "b"])
    with pytest.raises(
        DataError, match=r"row 1 \(1\.png\): label 2 is out of range; expected 0 to"
    ):
        load(path)
    write_parquet(path, [png(), png()], [0, -2])
    with pytest.raises(DataError, match="label -2 is out of range"):
        load(path)
    write_parquet(path, [png(), png()], ["a", "c"], names=["a", "b"])
    with pytest.raises(DataError, match="label 'c' is not one of the 2 classes"):
        load(path)


def test_damaged_and_empty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file: .*missing\.parquet"):
        load(tmp_path / "missing.parquet")
    path = write_parquet(tmp_path / "a.parquet", [png(seed=s) for s in range(20)], [0] * 20)
    content = path.read_bytes()
    for kept in (0, 3, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:kept])
        with pytest.raises(DataError, match=r"a\.parquet: not a readable Parquet file"):
            load(path)
    write_parquet(path, [], pa.array([], type=pa.int64()))
    with pytest.raises(DataError, match=r"a\.parquet: no rows"):
        load(path)


def test_damaged_images_name_the_row(tmp_path: Path) -> None:
    rows = [png(seed=seed) for seed in range(100)]
    broken = [*rows[:98], rows[98][:60], rows[99]]
    images = load(write_parquet(tmp_path / "a.parquet", broken, [0] * 100))
    with pytest.raises(DataError, match=r"a\.parquet row 98 \(98\.png\): corrupt or truncated"):
        images.batch([0])
    assert images.subset(limit=98).batch([97])[0].shape == (1, 3, 4, 6)
    path = write_parquet(tmp_path / "b.parquet", [b"<html>", rows[0]], [0, 0])
    with pytest.raises(DataError, match=r"row 0 \(0\.png\): not a readable image \(6 bytes"):
        load(path)


def test_images_that_are_not_in_the_table_are_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [None, png()], [0, 1])
    (tmp_path / "0.png").write_bytes(png(seed=1))
    with pytest.raises(DataError, match="a path without the image's bytes"):
        load(path)
    pq.write_table(pa.table({"image": [png(), None], "label": [0, 1]}), path)
    with pytest.raises(DataError, match="row 1: the image is null"):
        load(path)


def test_several_files_in_their_order(tmp_path: Path) -> None:
    first = write_parquet(tmp_path / "train-0.parquet", [png(seed=0), png(seed=1)], [0, 1])
    second = write_parquet(tmp_path / "train-1.parquet", [png(seed=2)], [1])
    images = load_images(f"parquet:{first},{second}", split="train")
    assert len(images) == 3
    assert images[2].name == f"{second} row 0 (0.png)"
    both = first.read_bytes() + second.read_bytes()
    assert images.fingerprint == hashlib.sha256(both).hexdigest()


def test_files_that_differ_are_refused(tmp_path: Path) -> None:
    first = write_parquet(tmp_path / "a.parquet", [png()], [0], names=["x", "y"])
    second = write_parquet(tmp_path / "b.parquet", [png()], ["x"])
    with pytest.raises(DataError, match=r"b\.parquet: columns .* differ in name or type"):
        load_images(f"parquet:{first},{second}")
    write_parquet(second, [png()], [0], names=["y", "x"])
    with pytest.raises(DataError, match=r"b\.parquet: its features or class names differ"):
        load_images(f"parquet:{first},{second}")


def test_large_files_go_through_datasets_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    first = write_parquet(tmp_path / "a.parquet", [png(), png(seed=1)], [0, 1], names=["x", "y"])
    second = write_parquet(tmp_path / "b.parquet", [png(seed=2)], [1], names=["x", "y"])
    small = load_images(f"parquet:{first},{second}")
    cache = tmp_path / "cache"
    monkeypatch.setattr(parquet, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    large = load_images(f"parquet:{first},{second}")
    assert any(cache.rglob("*.arrow"))
    assert large.fingerprint == small.fingerprint
    assert [item.name for item in large] == [item.name for item in small]
    for one, other in zip(large.batch(range(3)), small.batch(range(3)), strict=True):
        assert torch.equal(one, other)
    second.write_bytes(second.read_bytes()[:-2])
    with pytest.raises(DataError, match=r"b\.parquet: not a readable Parquet file"):
        load_images(f"parquet:{first},{second}")


def test_local_files_need_no_cache_and_no_datasets(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [png()], [0])
    home = tmp_path / "home"
    home.mkdir()
    script = (
        "import sys\nfrom latentsmooth.images import load_images\n"
        "assert not {'datasets', 'pyarrow'} & set(sys.modules)\n"
        f"load_images('parquet:{path}').batch([0])\n"
        "assert 'datasets' not in sys.modules\n"
    )
    environment = {**os.environ, "HOME": str(home), "HF_HOME": str(home / "hf")}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert not list(home.iterdir())
