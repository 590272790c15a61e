"""Sets of every kind, made at random, read as they were meant or refused."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from latentsmooth.errors import ConfigurationError, DataError
from latentsmooth.images import ImageSet, load_images
from latentsmooth.images.walk import is_tool_made
from tests.images.samples import encoded, picture, png, write_parquet

SPELLINGS = {
    "train": ["train", "Training", "TRAIN", "train_set", "trainData", "train2017", "split=train"],
    "test": ["test", "Test", "testing", "TEST_images", "testset", "split=test"],
    "validation": ["val", "Valid", "validation", "EVAL", "evaluation", "Dev", "val_set"],
}
CLASSES = ["cat", "Dog", "emu", "10", "9", "caf\u00e9", "b c", "trail", "contest", "n01"]
JUNK_FOLDERS = [
    "__MACOSX",
    ".ipynb_checkpoints",
    ".thumbnails",
    "@eaDir",
    ".Trash-1000",
    "__pycache__",
]
JUNK_FILES = ["Thumbs.db", "._1.png", ".DS_Store", "desktop.ini"]
STRAYS = {"notes.txt": b"text", "page.jpg": b"<!DOCTYPE html>", "x.png": b"", "a.pdf": b"%PDF-1"}
NAMES = ["1.png", "2", "3.jfif", "a b.JPG", "x\ny.dat", "7.PNG.bak"]
PATH_COLUMNS = ["file_name", "Path", "filepaths", "image", "Image ID", "img_path"]
LABEL_COLUMNS = ["label", "Class", "ClassId", "target", "labels", "class name", "Breed"]
WRAPPERS = [[], ["data"], ["archive", "images"], ["set-1", "set-1"]]
KINDS = ("PNG", "BMP", "GIF", "TIFF", "WEBP")
CONTENTS = [encoded(picture(seed=seed), kind) for seed in range(4) for kind in KINDS]

settle = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@dataclass
class Made:
    """A generated set: the class of each image and the other files, by split and path."""

    root: Path
    source: str = ""
    images: dict[str, dict[str, str]] = field(default_factory=dict)
    others: dict[str, set[str]] = field(default_factory=dict)

    def put(self, path: str, content: bytes) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def content_of(draw: Random) -> bytes:
    return draw.choice(CONTENTS)


def put_class(
    made: Made, draw: Random, split: str, folder: str, name: str, *, depth: int = 0
) -> None:
    """One class folder: images, and with some luck what is none."""
    images, others = made.images.setdefault(split, {}), made.others.setdefault(split, set())
    for file in draw.sample(NAMES, draw.randrange(1, 3)):
        inner = "" if depth else draw.choice(["", "", "images/"])
        images[f"{folder}/{inner}{file}"] = name
        made.put(f"{folder}/{inner}{file}", content_of(draw))
    for file in draw.sample(list(STRAYS), draw.choice([0, 0, 1, 2])):
        if not (made.root / folder / file).exists():
            others.add(f"{folder}/{file}")
            made.put(f"{folder}/{file}", STRAYS[file])
    if draw.random() < 0.2:
        others.add(f"{folder}/dead.png")
        (made.root / folder / "dead.png").symlink_to("nowhere.png")


def scatter_junk(made: Made, draw: Random) -> None:
    """What tools leave, anywhere, images among it."""
    folders = [Path(place) for place, _, _ in os.walk(made.root)]
    for _ in range(draw.randrange(4)):
        place = draw.choice(folders) / draw.choice(JUNK_FOLDERS) / draw.choice(["", "cat", "test"])
        place.mkdir(parents=True, exist_ok=True)
        (place / "1.png").write_bytes(png())
    for _ in range(draw.randrange(3)):
        (draw.choice(folders) / draw.choice(JUNK_FILES)).write_bytes(b"x")


def make_folders(root: Path, draw: Random) -> Made:
    """Class folders below split folders, or split folders below class folders."""
    made = Made(root)
    splits = {
        split: draw.choice(SPELLINGS[split])
        for split in draw.sample(list(SPELLINGS), draw.randrange(1, 4))
    }
    classes = draw.sample(CLASSES, draw.randrange(2, 5))
    top = "".join(f"{each}/" for each in draw.choice(WRAPPERS))
    inside_classes = draw.random() < 0.25
    again = draw.random() < 0.2 and not inside_classes
    for split, word in splits.items():
        # A folder alone that holds split folders is no class, so two at least.
        most = draw.randrange(int(inside_classes), len(classes))
        here = classes[: 1 + inside_classes] + draw.sample(classes[2:], max(0, most - 1))
        for name in draw.sample(here, len(here)):
            if inside_classes:
                put_class(made, draw, split, f"{top}{name}/{word}", name, depth=1)
            else:
                put_class(
                    made, draw, split, f"{top}{word}/{f'{word}/' if again else ''}{name}", name
                )
    if draw.random() < 0.3:
        made.put(f"{top}annotations/a.xml", b"<xml>")
    if draw.random() < 0.3:
        made.put(f"{top}README.md", b"# Read me")
    return made


def make_metadata(root: Path, draw: Random) -> Made:
    """Images without class folders and a table, with a column of splits or beside split folders."""
    made = Made(root)
    column = draw.random() < 0.5
    rows = []
    classes = draw.sample(CLASSES[:3] + CLASSES[5:], 3)
    for split in draw.sample(list(SPELLINGS), draw.randrange(1, 4)):
        word = draw.choice(SPELLINGS[split][:4])
        for place in range(draw.randrange(1, 4)):
            file = f"{split}{place}" if column else f"{word}/{place}"
            name = draw.choice(classes)
            made.images.setdefault(split, {})[file] = name
            made.others.setdefault(split, set())
            made.put(file, content_of(draw))
            rows.append({"file_name": file, "label": name, **({"split": word} if column else {})})
    draw.shuffle(rows)
    if draw.random() < 0.5:
        text = "\n".join(json.dumps(row) for row in rows)
        made.put("metadata.jsonl", text.encode())
    else:
        lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
        made.put("metadata.csv", "\r\n".join(lines).encode())
    return made


def make_parquet(root: Path, draw: Random) -> Made:
    """A file or several of each split; labels as texts, numbers or names in any order."""
    made = Made(root)
    kind = draw.choice(["texts", "numbers", "names"])
    classes = [str(k) for k in range(4)] if kind == "numbers" else draw.sample(CLASSES, 4)
    for split in draw.sample(list(SPELLINGS), draw.randrange(1, 4)):
        word = draw.choice(SPELLINGS[split])
        names = draw.sample(classes, len(classes))
        for number in range(draw.randrange(1, 3)):
            path = draw.choice([f"data/{word}-{number}.parquet", f"data/{word}/{number}.parquet"])
            here = [draw.choice(classes) for _ in range(draw.randrange(1, 4))]
            rows_of: dict[str, list[Any]] = {
                "texts": here,
                "numbers": [int(name) if kind == "numbers" else 0 for name in here],
                "names": [names.index(name) for name in here],
            }
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            rows = [content_of(draw) for _ in here]
            write_parquet(
                root / path, rows, rows_of[kind], names=names if kind == "names" else None
            )
            images = made.images.setdefault(split, {})
            for row, name in enumerate(here):
                images[f"{path} row {row} ({row}.png)"] = name
            made.others.setdefault(split, set())
    return made


def make_listing(root: Path, draw: Random) -> Made:
    """A table of paths, its columns called anything; splits in a column or in folders."""
    made = Made(root)
    told = draw.choice(["column", "folder", "flag"])
    path, label = draw.choice(PATH_COLUMNS), draw.choice(LABEL_COLUMNS)
    numbers = draw.random() < 0.3
    classes = [str(k) for k in range(12)] if numbers else draw.sample(CLASSES[:3] + CLASSES[5:], 5)
    rows: list[dict[str, str]] = []
    for split in draw.sample(list(SPELLINGS), 2) if told != "flag" else ["train", "validation"]:
        word = draw.choice(SPELLINGS[split][:4])
        made.others[split] = set()
        for place in range(draw.randrange(1, 4)):
            file = f"{word}/{place}.jpg" if told == "folder" else f"pool/{split}{place}"
            name = draw.choice(classes)
            row = {"width": "3", path: file, label: name}
            row |= {
                "column": {"Split": word},
                "folder": {},
                "flag": {"is_valid": str(split == "validation")},
            }[told]
            rows.append(row)
            if draw.random() < 0.2:
                made.others[split].add(file)  # listed, and not there
                continue
            made.images.setdefault(split, {})[file] = name
            made.put(file, content_of(draw))
    draw.shuffle(rows)
    mark = draw.choice(",;\t|")
    lines = [mark.join(rows[0]), *(mark.join(row.values()) for row in rows)]
    made.source = "list.csv"
    made.put(made.source, ("\ufeff" + "\n".join(lines)).encode())
    return made


def labelled(images: ImageSet, root: Path) -> dict[str, str | None]:
    return {
        os.path.relpath(item.name, root): None
        if item.label is None
        else images.class_names[item.label]
        for item in images
    }


def check(made: Made, draw: Random) -> bool:
    """Every split as it was made, or refused; whether one was read."""
    answered: dict[str, str] = {}
    names: tuple[str, ...] | None = None
    for asked in draw.sample(["train", "test", "val", "Testing"], 4):
        try:
            images = load_images(str(made.root / made.source), split=asked)
        except (ConfigurationError, DataError):
            continue
        found = labelled(images, made.root)
        assert found == made.images[images.split]
        assert names in (None, images.class_names)
        names = images.class_names
        for name in found:
            assert answered.setdefault(name, images.split) == images.split
        told = {name for left in images.left_out.values() for name in left}
        assert made.others[images.split] <= told
        assert len(found) + len(made.others[images.split]) == len(
            found.keys() | made.others[images.split]
        )
        junk = {
            n for why, left in images.left_out.items() if why.startswith("hidden") for n in left
        }
        assert all(any(map(is_tool_made, name.split("/"))) for name in junk)
        order = draw.sample([*images.class_names, "yak"], len(images.class_names) + 1)
        assert labelled(images.matched(order), made.root) == found
    return names is not None


@pytest.mark.parametrize("make", [make_folders, make_metadata, make_parquet, make_listing])
@given(seed=st.integers(0, 10**6))
@settings(settle, max_examples=40)
def test_a_set_is_read_as_it_was_made(make: Callable[[Path, Random], Made], seed: int) -> None:
    draw = Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        made = make(root, draw)
        scatter_junk(made, draw)
        assert check(made, draw)
