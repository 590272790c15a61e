"""What is an image is told by content; what is none is named, counted and left out."""

from __future__ import annotations

import io
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentsmooth.errors import DataError
from latentsmooth.images import load_image_files, load_images
from latentsmooth.images.content import kind_of_content
from tests.images.samples import encoded, picture, png, write_parquet
from tests.images.trees import POINTER, grow, other, read, told


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("0.jfif", "JPEG"),
        ("0.pjpeg", "JPEG"),
        ("0", "PNG"),
        ("0.image", "WEBP"),
        ("IMG_0.dat", "BMP"),
        ("scan.tif_", "TIFF"),
        ("0.txt", "PPM"),
        ("a b\n.GIF.bak", "GIF"),
    ],
)
def test_images_are_told_by_their_content(name: str, kind: str, tmp_path: Path) -> None:
    grow(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "cat" / name).write_bytes(encoded(picture(), kind))
    images = read(tmp_path, "train")
    assert told(images, tmp_path) == {f"cat/{name}": "cat", "cat/1.png": "cat", "dog/1.png": "dog"}
    assert not isinstance(images, str)
    assert images.batch(range(3))[0].shape == (3, 3, 4, 6)


FAULTS: dict[str, tuple[bytes, str]] = {
    "notes.txt": (b"some words", "no image"),
    "page.jpg": (b"<!DOCTYPE html><html>", "a web page"),
    "phone.heic": (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC image, a format that is not read"),
    "new.png": (b"\0\0\0\x18ftypavif\0\0\0\0", "an AVIF image, a format that is not read"),
    "drawing.svg": (b"<?xml version='1.0'?><svg/>", "an XML file"),
    "paper.pdf": (b"%PDF-1.7", "a PDF file"),
    "all.zip": (b"PK\x03\x04rest", "a zip archive"),
    "nothing.png": (b"", "an empty file"),
    "BMW.txt": (b"BMW and other makers of cars", "no image"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_no_image_is_named_with_its_reason(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content, reason = FAULTS[name]
    grow(tmp_path, "train/cat/0.png", "train/dog/0.png", "test/cat/0.png")
    other(tmp_path, {f"train/cat/{name}": content})
    with caplog.at_level(logging.WARNING, "latentsmooth.images"):
        images = read(tmp_path, "train")
    assert not isinstance(images, str)
    assert len(images) == 2
    assert images.left_out == {reason: (f"train/cat/{name}",)}
    assert f"1 × {reason} (train/cat/{name})" in caplog.text
    # Of a split that is not read, nothing is said.
    test = read(tmp_path, "test")
    assert not isinstance(test, str)
    assert test.left_out == {}


def test_all_are_counted_and_a_few_are_named(tmp_path: Path) -> None:
    grow(tmp_path, "cat/0.png", "dog/0.png")
    other(tmp_path, {f"cat/{number:02}.xml": "<?xml?>" for number in range(40)})
    for number in range(3):
        (tmp_path / "dog" / f"{number}.jpg").symlink_to(tmp_path / "gone")
    images = read(tmp_path, "train")
    assert not isinstance(images, str)
    [note] = [note for note in images.notes if note.startswith("left out")]
    assert "40 × an XML file (cat/00.xml, cat/01.xml, cat/02.xml and 37 more)" in note
    assert "3 × a dead link (dog/0.jpg, dog/1.jpg, dog/2.jpg)" in note
    assert sum(map(len, images.left_out.values())) == 43


def test_a_class_that_ends_empty_is_said(tmp_path: Path) -> None:
    grow(tmp_path, "train/cat/0.png", "train/dog/0.png", "test/cat/0.png", "test/cow/")
    other(tmp_path, {"test/dog/0.png": "no image", "train/cow/x.txt": "no image"})
    test = read(tmp_path, "test")
    assert not isinstance(test, str)
    assert test.class_names == ("cat", "dog")
    assert "no images here of 1 of 2 classes: dog" in test.notes
    assert test.left_out["folder without images"] == ("test/cow", "test/dog")
    train = read(tmp_path, "train")
    assert not isinstance(train, str)
    assert train.left_out["folder without images"] == ("train/cow",)


def test_names_cannot_steer_a_terminal(tmp_path: Path) -> None:
    grow(tmp_path, "cat/0.png", "dog/0.png")
    other(tmp_path, {"cat/\x1b[2J.txt": "no image"})
    images = read(tmp_path, "train")
    assert not isinstance(images, str)
    assert "\x1b" not in " ".join(images.notes)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ""])
def test_a_pointer_of_git_lfs_is_an_error_that_says_so(suffix: str, tmp_path: Path) -> None:
    grow(tmp_path, "cat/0.png", "dog/0.png")
    other(tmp_path, {f"cat/1{suffix}": POINTER})
    assert "Git LFS pointer" in str(read(tmp_path, "train"))
    with pytest.raises(DataError, match="git lfs pull"):
        load_image_files([tmp_path / "cat" / f"1{suffix}"], image_shape=(3, 4, 4))[0]


def test_pointers_in_place_of_tables_are_told_too(tmp_path: Path) -> None:
    other(tmp_path, {"a.parquet": POINTER, "b.csv": POINTER, "train-images-idx3-ubyte": POINTER})
    other(tmp_path, {"train-labels-idx1-ubyte": POINTER})
    for source in (
        f"parquet:{tmp_path}/a.parquet",
        f"{tmp_path}/b.csv",
        f"fashion-mnist:{tmp_path}",
    ):
        with pytest.raises(DataError, match="Git LFS pointer"):
            load_images(source, split="train")
    held = write_parquet(tmp_path / "held.parquet", [POINTER, png()], [0, 1])
    with pytest.raises(DataError, match=r"row 0 .*Git LFS pointer"):
        load_images(f"parquet:{held}")


def bitmap(pixels: np.ndarray, alpha: int, header: int) -> bytes:
    """A 32-bit BMP with an alpha mask, as headers of 56, 108 and 124 bytes describe one."""
    height, width = pixels.shape[:2]
    data = b"".join(
        bytes((int(b), int(g), int(r), alpha)) for row in pixels[::-1] for r, g, b in row
    )
    head = struct.pack("<IiiHHIIiiII", header, width, height, 1, 32, 3, len(data), 2835, 2835, 0, 0)
    head += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head += (b"BGRs" if header >= 108 else b"") + bytes(header)
    head = head[:header]
    start = 14 + header
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + data


@pytest.mark.parametrize("header", [56, 108, 124])
def test_a_bitmap_that_is_transparent_everywhere_shows_its_colours(
    header: int, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    file = tmp_path / "a.bmp"
    for alpha in (0, 255):
        file.write_bytes(bitmap(pixels, alpha, header))
        image = load_image_files([file], image_shape=(3, 4, 6))[0].image
        assert np.array_equal((image * 255).round().byte().numpy(), pixels.transpose(2, 0, 1))
    file.write_bytes(bitmap(pixels, 0, header))
    gray = load_image_files([file], image_shape=(1, 4, 6))[0].image
    wanted = np.asarray(Image.fromarray(pixels).convert("L"))
    assert np.array_equal((gray[0] * 255).round().byte().numpy(), wanted)


def test_a_png_that_is_transparent_everywhere_is_white(tmp_path: Path) -> None:
    image = picture()
    image.putalpha(0)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    (tmp_path / "a.png").write_bytes(stream.getvalue())
    assert load_image_files([tmp_path / "a.png"], image_shape=(3, 4, 6))[0].image.min() == 1


def test_every_format_that_is_read_is_known_by_its_beginning() -> None:
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"):
        assert kind_of_content(encoded(picture(), kind)[:64]) is None
    for number in range(1, 7):
        assert kind_of_content(b"P%d\n# made by hand\n" % number) is None


def test_a_limit_on_a_set_sorted_by_class_is_said(tmp_path: Path) -> None:
    grow(tmp_path, *(f"{letter}/{number}.png" for letter in "abcde" for number in range(10)))
    source = f"imagefolder:{tmp_path}"
    limited = load_images(source, limit=10)
    assert len(set(limited.labels.tolist())) == 1
    [note] = [note for note in limited.notes if "sorted by class" in note]
    assert "these 10 images are of 1 of 5 classes; --stride 5" in note
    spread = load_images(source, limit=10, stride=5)
    assert len(set(spread.labels.tolist())) == 5
    assert not [note for note in spread.notes if "sorted by class" in note]
    assert spread.selection == {"of": 50, "limit": 10, "stride": 5}
    # A shuffled set has nothing to be warned of, however small the limit.
    assert not load_images("fashion-mini", limit=3).notes
