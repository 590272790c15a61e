from __future__ import annotations

import os
from pathlib import Path

import pytest

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.images import load_images
from latentsmooth.images.content import image_fault, kind_of_content
from latentsmooth.images.walk import is_tool_made
from tests.images.layouts import POINTER, build, by_folder, pets, read
from tests.images.samples import encoded, picture, png

TOOL = "hidden or left by a tool"
LINK = "a link to a folder that is above or read already"


@pytest.mark.parametrize(
    "junk",
    [
        "__MACOSX/test/cat/._1.png",
        "test/__MACOSX/cat/1.png",
        "test/cat/@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg",
        ".ipynb_checkpoints/1-checkpoint.png",
        "test/dog/.ipynb_checkpoints/x.png",
        ".thumbnails/normal/1.png",
        "train/.Trash-1000/files/1.png",
        "test/$RECYCLE.BIN/S-1-5/1.png",
        "test/@Recently-Snapshot/1.png",
        "lost+found/1.png",
        "train/cat/.AppleDouble/1.png",
        "test/.hidden.png",
    ],
)
def test_what_tools_leave_is_no_data_at_any_depth(junk: str, tmp_path: Path) -> None:
    build(tmp_path, [*pets("train", "test"), junk])
    images, found = read(f"imagefolder:{tmp_path}", tmp_path, "test")
    assert (images.split, images.class_names) == ("test", ("cat", "dog"))
    assert found == by_folder(*pets("test"))
    parts = junk.split("/")
    place = next(k for k, part in enumerate(parts) if is_tool_made(part))
    assert images.left_out == {TOOL: ("/".join(parts[: place + 1]),)}


def test_files_of_file_managers_are_not_spoken_of(tmp_path: Path) -> None:
    junk = ["Thumbs.db|x", "cat/Thumbs.db|x", "cat/._1.png|x", "dog/desktop.ini|x", ".DS_Store|x"]
    build(tmp_path, [*pets("."), *junk, "dog/_DS_Store|x", "cat/ehthumbs.db|x"])
    images = load_images(f"imagefolder:{tmp_path}")
    assert (len(images), images.left_out, images.class_names) == (2, {}, ("cat", "dog"))


@pytest.mark.parametrize("suffix", ["", ".jfif", ".pjpeg", ".JPG_", ".dat", ".txt", ".0"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_images_are_told_by_content(kind: str, suffix: str, tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / f"a b\n1{suffix}").write_bytes(encoded(picture(), kind))
    images, found = read(f"imagefolder:{tmp_path}", tmp_path, "train")
    assert found == {f"cat/a b\n1{suffix}": "cat"}
    assert images.left_out == {}
    assert images.batch([0])[0].shape == (1, 3, 4, 6)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "an empty file"),
        (b"notes", "no image"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"%PDF-1.7", "a PDF file"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\0\0\0\x1cftypavif", "an AVIF image, a format that is not read"),
        (b"\0\0\0\x18ftypheic", "a HEIC image, a format that is not read"),
        (b"8BPS\0\1", "a Photoshop image, a format that is not read"),
        (b"\xef\xbb\xbf<?xml", "no image"),
    ],
)
def test_other_files_are_counted_and_named(content: bytes, why: str, tmp_path: Path) -> None:
    build(tmp_path, pets("."))
    for name in ("x.png", "y"):
        (tmp_path / "cat" / name).write_bytes(content)
    images = load_images(f"imagefolder:{tmp_path}")
    assert images.left_out == {why: ("cat/x.png", "cat/y")}
    assert f"left out: 2 × {why} (cat/x.png, cat/y)" in images.notes
    assert kind_of_content(content) == why


def test_pipes_sockets_and_dead_links_are_not_waited_for(tmp_path: Path) -> None:
    links = [("cat/dead.png", "nowhere.png"), ("cat/self", "self"), ("dog/up", "..")]
    build(tmp_path, pets("."), links)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    images = load_images(f"imagefolder:{tmp_path}")
    assert len(images) == 2
    assert images.left_out["a dead link"] == ("cat/dead.png",)
    assert images.left_out["an empty file"] == ("cat/pipe.png",)
    assert images.left_out[LINK] == ("dog/up",)
    assert any(why.startswith("unreadable (Too many") for why in images.left_out)
    assert image_fault(str(tmp_path)) == "unreadable (Is a directory)"
    assert image_fault(str(tmp_path / "x")) == "missing"


def test_unreadable_files_and_folders_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, [*pets("."), "emu/3.png", "cat/9.png"])
    opened, listed = os.open, os.scandir

    def refusing(path: str, *rest: int) -> int:
        if path.endswith("9.png"):
            raise PermissionError(13, "Permission denied")
        return opened(path, *rest)

    def hiding(path: str) -> object:
        if path.endswith("emu"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "open", refusing)
    monkeypatch.setattr(os, "scandir", hiding)
    images = load_images(f"imagefolder:{tmp_path}")
    assert images.class_names == ("cat", "dog")
    assert images.left_out == {"unreadable (Permission denied)": ("emu", "cat/9.png")}


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    store = build(tmp_path / "store", ["a/1.png", "b/2.png"])
    links = [("train/cat", str(store / "a")), ("test/cat", str(store / "b"))]
    root = build(tmp_path / "farm", ["train/dog/3.png", "test/dog/4.png"], links)
    (root / "train" / "dog" / "again").symlink_to(root / "train")
    images, found = read(f"imagefolder:{root}", root, "train")
    assert found == by_folder("train/cat/1.png", "train/dog/3.png")
    assert images.left_out == {LINK: ("train/dog/again",)}
    assert read(f"imagefolder:{root}", root, "test")[1] == by_folder(
        "test/cat/2.png", "test/dog/4.png"
    )


def test_links_out_of_the_set_to_what_holds_it_are_not_followed(tmp_path: Path) -> None:
    build(tmp_path, [*pets("set"), "other/1.png"], [("set/up", ".."), ("set/cat/root", "/")])
    images = load_images(f"imagefolder:{tmp_path / 'set'}")
    assert len(images) == 2
    assert images.left_out == {LINK: ("up", "cat/root")}


@pytest.mark.parametrize(
    "links",
    [
        [("test", "train")],
        [("test/cat", "../train/cat"), ("test/dog", "../train/dog")],
        [("test/cat/1.png", "../../train/cat/1.png")],
    ],
)
def test_links_never_make_one_image_answer_two_splits(
    links: list[tuple[str, str]], tmp_path: Path
) -> None:
    build(tmp_path, pets("train"), links)
    with pytest.raises((ConfigurationError, DataError), match=r"read already|are one file"):
        load_images(f"imagefolder:{tmp_path}", split="test")


def test_a_class_that_ends_empty_is_said(tmp_path: Path) -> None:
    build(tmp_path, [*pets("train"), "test/cat/1.png", "test/dog/1.txt|x", "test/dog/2.png|x"])
    images, _ = read(f"imagefolder:{tmp_path}", tmp_path, "test")
    assert images.left_out["folder without images"] == ("test/dog",)
    assert images.left_out["no image"] == ("test/dog/1.txt", "test/dog/2.png")
    assert "no images here of 1 of 2 classes: dog" in images.notes


@pytest.mark.parametrize(
    ("files", "split"),
    [
        (["cat/1.png", f"dog/2.png|{POINTER}"], "test"),
        ([f"cat/1.png|{POINTER}", f"dog/2|{POINTER}"], "test"),
        ([*pets("train"), "test/cat/1.png", f"test/dog/2.jpeg|{POINTER}"], "test"),
        ([*pets("train", "val"), f"test/cat/1.png|{POINTER}"], "test"),
        (["1.png", f"metadata.csv|{POINTER}"], "train"),
        (["train/a/1.png", "val/1.png", f"val/val_annotations.txt|{POINTER}"], "val"),
    ],
)
def test_a_git_lfs_pointer_is_named_as_the_cause(
    files: list[str], split: str, tmp_path: Path
) -> None:
    build(tmp_path, files)
    with pytest.raises(DataError, match=r"a Git LFS pointer, .* `git lfs pull` fetches it"):
        load_images(f"imagefolder:{tmp_path}", split=split)


def test_pointers_that_stand_for_no_image_are_left_out(tmp_path: Path) -> None:
    build(tmp_path, [*pets("train", "test"), f"test/cat/weights.bin|{POINTER}"])
    images = load_images(f"imagefolder:{tmp_path}")
    assert images.left_out == {"a Git LFS pointer": ("test/cat/weights.bin",)}


def test_a_split_with_other_files_alone_is_not_replaced_by_validation(tmp_path: Path) -> None:
    build(tmp_path, [*pets("train", "val"), "test/list.txt|x"])
    with pytest.raises(DataError, match=r"no images in .*test;.*1 × no image \(test/list.txt\)"):
        load_images(f"imagefolder:{tmp_path}")
    (tmp_path / "test" / "list.txt").unlink()
    images = load_images(f"imagefolder:{tmp_path}")
    assert (images.split, images.left_out) == ("validation", {"folder without images": ("test",)})


def test_deep_trees(tmp_path: Path) -> None:
    deep = "/".join("d" * 100)
    build(tmp_path, [f"cat/{deep}/1.png", "dog/1.png"])
    assert read(f"imagefolder:{tmp_path}", tmp_path, "test")[1] == {
        f"cat/{deep}/1.png": "cat",
        "dog/1.png": "dog",
    }
    (tmp_path / "cat" / "/".join("e" * 130)).mkdir(parents=True)
    with pytest.raises(DataError, match="nested deeper than 128 folders"):
        load_images(f"imagefolder:{tmp_path}")


def test_names_in_messages_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(png())
    (tmp_path / "cat" / "a\x1b[31m\nb.png").write_bytes(b"x")
    note = load_images(f"imagefolder:{tmp_path}").notes[0]
    assert "\n" not in note
    assert "\x1b" not in note
