from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from latentsmooth import images as images_room
from latentsmooth.images import load_images
from latentsmooth.images.fashion import DEBIAN_FOLDER

ROOT = Path(__file__).resolve().parents[2]
EMBEDDED = Path(images_room.__file__).parent / "data"


def test_embedded_files_are_small_and_carry_their_licence() -> None:
    assert sum(path.stat().st_size for path in EMBEDDED.glob("*.parquet")) <= 3_000_000
    licence = (EMBEDDED / "LICENSE-fashion-mnist").read_text()
    assert "The MIT License" in licence
    assert "2017 Zalando SE" in licence


@pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason="needs the package dataset-fashion-mnist")
def test_embedded_images_are_the_first_of_each_class_of_the_original() -> None:
    original = load_images("fashion-mnist")
    mini = load_images("fashion-mini")
    taken = sorted(
        row
        for label in range(10)
        for row in torch.nonzero(original.labels == label)[:100, 0].tolist()
    )
    wanted = original.batch(taken)
    got = mini.batch(range(len(mini)))
    assert torch.equal(got[0], wanted[0])
    assert torch.equal(got[1], wanted[1])
    assert f"test/{taken[-1]:05d}.png" in mini[-1].name


@pytest.mark.skipif(not DEBIAN_FOLDER.is_dir(), reason="needs the package dataset-fashion-mnist")
def test_the_script_writes_the_same_bytes_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ROOT / "scripts" / "make_fashion_mini.py"
    spec = importlib.util.spec_from_file_location("make_fashion_mini", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "PER_CLASS", {"test": 20})
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        script.main(["--output", str(tmp_path / name)])
        written.append((tmp_path / name / "fashion-mini-test.parquet").read_bytes())
    assert written[0] == written[1]
    assert len(load_images(f"parquet:{tmp_path / 'one' / 'fashion-mini-test.parquet'}")) == 200
    monkeypatch.setattr(script, "LIMIT_BYTES", 10)
    with pytest.raises(SystemExit, match="at most 10 are embedded"):
        script.main(["--output", str(tmp_path / "one")])
