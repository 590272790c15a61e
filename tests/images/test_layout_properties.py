"""For any layout: no file answers two splits, names decide, and all that is left out is counted."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latentsmooth.errors import LatentSmoothError
from latentsmooth.images import ImageSet, load_images
from tests.images.samples import png, write_parquet

WORDS = {
    "train": ["train", "Train", "TRAINING", "training_set", "seg_train", "split=train"],
    "test": ["test", "Testing", "test_set", "seg_test", "split=test"],
    "validation": ["val", "Valid", "validation", "eval", "Evaluation", "dev", "val2017"],
}
CLASSES = ["ant", "Bee", "10", "2", "wild cat", "ünï"]
JUNK = ["__MACOSX", ".hidden", ".ipynb_checkpoints", "@eaDir", ".Trash-0"]
IMAGE = png()


@dataclass
class Generated:
    """A tree as it was written: class and split by image, and what else lies in each split."""

    splits: dict[str, dict[str, str | None]] = field(default_factory=dict)
    others: dict[str, set[str]] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)


@st.composite
def plans(draw: st.DrawFn) -> dict[str, object]:
    """What to write: which splits by which names, which classes in each, and what beside them."""
    splits = draw(st.lists(st.sampled_from(sorted(WORDS)), unique=True, max_size=3))
    return {
        "splits": {split: draw(st.sampled_from(WORDS[split])) for split in splits},
        "classes": {
            split: draw(st.lists(st.sampled_from(CLASSES), unique=True, min_size=1, max_size=4))
            for split in splits or ["all"]
        },
        "wrapper": draw(st.sampled_from(["", "images/", "set/set/"])),
        "inside": draw(st.sampled_from(["", "images/"])),
        "names": draw(
            st.lists(
                st.sampled_from(["0.png", "1", "2.jfif", "3.JPEG", "4.dat"]),
                unique=True,
                min_size=1,
                max_size=3,
            )
        ),
        "others": draw(
            st.lists(st.sampled_from(["notes.txt", "x.jpg", "boxes.xml", "dead"]), unique=True)
        ),
        "junk": draw(st.lists(st.sampled_from(JUNK), unique=True, max_size=2)),
        "beside": draw(st.lists(st.sampled_from(["annotations", "docs"]), unique=True)),
    }


def write(root: Path, plan: dict[str, object]) -> Generated:
    made = Generated()
    top = root / str(plan["wrapper"])
    splits: dict[str, str] = plan["splits"] or {"all": ""}  # type: ignore[assignment]
    classes: dict[str, list[str]] = plan["classes"]  # type: ignore[assignment]
    for split, word in splits.items():
        place = top / word if word else top
        made.splits[split], made.others[split] = {}, set()
        for name in classes[split]:
            folder = place / (str(plan["inside"]) if word else "") / name
            folder.mkdir(parents=True, exist_ok=True)
            for file in plan["names"]:  # type: ignore[attr-defined]
                (folder / file).write_bytes(IMAGE)
                made.splits[split][(folder / file).relative_to(root).as_posix()] = name
            for file in plan["others"]:  # type: ignore[attr-defined]
                if file == "dead":
                    (folder / file).symlink_to(root / "nowhere")
                else:
                    (folder / file).write_text("no image")
                made.others[split].add((folder / file).relative_to(root).as_posix())
            for file in plan["junk"]:  # type: ignore[attr-defined]
                (folder / file / "ant").mkdir(parents=True)
                (folder / file / "ant" / "0.png").write_bytes(IMAGE)
                made.others[split].add((folder / file).relative_to(root).as_posix())
    for name in plan["beside"]:  # type: ignore[attr-defined]
        (top / name).mkdir(parents=True, exist_ok=True)
        (top / name / "readme.md").write_text("no image")
    return made


def told(images: ImageSet, root: Path) -> dict[str, str | None]:
    labels = images.labels.tolist()
    return {
        Path(images[place].name).relative_to(root).as_posix(): (
            None if label < 0 else images.class_names[label]
        )
        for place, label in enumerate(labels)
    }


def read_all(source: str) -> dict[str, ImageSet]:
    """What each split asked for gives, by the split that it says it is; refusals left out."""
    found: dict[str, ImageSet] = {}
    for split in WORDS:
        try:
            images = load_images(source, split=split)
        except LatentSmoothError:
            continue
        other = found.setdefault(images.split, images)
        assert images.fingerprint == other.fingerprint
    return found


@settings(max_examples=120, deadline=None, derandomize=True)
@given(plan=plans(), order=st.permutations(CLASSES))
def test_folders(
    plan: dict[str, object], order: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("tree")
    made = write(root, plan)
    found = read_all(f"imagefolder:{root}")
    seen: dict[str, str] = {}
    for split, images in found.items():
        files = told(images, root)
        for file in files:
            assert seen.setdefault(file, split) == split
        # Whatever is not refused is read as it was meant.
        assert files == made.splits[split]
        left_out = {name for names in images.left_out.values() for name in names}
        assert made.others[split] <= left_out
        assert all(
            any(f"× {reason}" in note for note in images.notes) for reason in images.left_out
        )
        matched = images.matched(order)
        assert told(matched, root) == files
        assert matched.class_names == tuple(order)
    # Splits by one word each and no class in doubt are never refused.
    named = {split for split in made.splits if split != "all"}
    shared = set.intersection(*(set(classes.values()) for classes in made.splits.values()))
    plain = not any(word.startswith("seg_") for word in plan["splits"].values())  # type: ignore[attr-defined]
    if named and shared and plain and plan["inside"] == "":
        assert set(found) == named
    shutil.rmtree(root)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    splits=st.lists(st.sampled_from(sorted(WORDS)), unique=True, min_size=1, max_size=3),
    labels=st.data(),
    kind=st.sampled_from(["texts", "declared", "numbers"]),
    layout=st.sampled_from(
        ["{split}.parquet", "default/{split}/0000.parquet", "split={split}/a.parquet"]
    ),
    order=st.permutations(CLASSES),
)
def test_parquet(
    splits: list[str],
    labels: st.DataObject,
    kind: str,
    layout: str,
    order: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = tmp_path_factory.mktemp("tables")
    meant: dict[str, list[str]] = {}
    for number, split in enumerate(splits):
        word = labels.draw(st.sampled_from(WORDS[split][:3])).replace("split=", "")
        path = root / layout.format(split=word)
        path.parent.mkdir(parents=True, exist_ok=True)
        chosen = labels.draw(st.lists(st.sampled_from(CLASSES), min_size=1, max_size=5))
        names = labels.draw(st.permutations(CLASSES))
        cells: list[object] = list(chosen)
        if kind == "declared":
            cells = [names.index(name) for name in chosen]
        if kind == "numbers":
            cells = [order.index(name) for name in chosen]
        pictures = [png(seed=10 * number + row) for row in range(len(chosen))]
        write_parquet(path, pictures, cells, names=names if kind == "declared" else None)
        meant[split] = chosen
    found = read_all(f"cifar10:{root}")
    assert set(found) == set(splits)
    for split, images in found.items():
        matched = images.matched(order)
        labels_of = matched.labels.tolist()
        assert [matched.class_names[label] for label in labels_of] == meant[split]
    shutil.rmtree(root)
