"""Hostile model folders: only our own errors, and what does load is what it says it is."""

from __future__ import annotations

import json
import math
import struct
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from latentsmooth.errors import CorruptArtifact, LatentSmoothError
from latentsmooth.models import LatentSmoothedClassifier, build, list_builds
from latentsmooth.models.artifact import CONFIG_FILE, WEIGHTS_FILE
from latentsmooth.models.families import BUILDS
from tests.fuzz.damage import altered, bounded, damaged, fuzzed


def made(name: str) -> tuple[dict[str, Any], bytes]:
    """Config and weights of a small classifier."""
    torch.manual_seed(0)
    model = build(name, num_classes=3, image_shape=(1, 8, 8), width=0.1, latent_sigma=0.5)
    model.training_summary = {"epochs": 3, "seconds": 1.5, "data": {"source": "x"}}
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        config = json.loads((Path(folder) / CONFIG_FILE).read_text("utf-8"))
        return config, (Path(folder) / WEIGHTS_FILE).read_bytes()


MODELS = {name: made(name) for name in ("lenet", "lsrs-lenet")}
CONFIG, WEIGHTS = MODELS["lenet"]
LENGTH = int.from_bytes(WEIGHTS[:8], "little")
HEADER: dict[str, Any] = json.loads(WEIGHTS[8 : 8 + LENGTH])
VALUES = WEIGHTS[8 + LENGTH :]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


def read(folder: Path, config: bytes, weights: bytes) -> LatentSmoothedClassifier | None:
    """The classifier, or ``None`` where it was refused by an error of ours that is short."""
    (folder / CONFIG_FILE).write_bytes(config)
    (folder / WEIGHTS_FILE).write_bytes(weights)
    refusal = ""
    model = None
    with bounded():
        try:
            model = LatentSmoothedClassifier.from_pretrained(folder)
        except LatentSmoothError as error:
            refusal = str(error)
    assert len(refusal) < 3000
    return model


def check(model: LatentSmoothedClassifier | None, stated: Mapping[str, Any]) -> None:
    """What was loaded does what the config states, in finite numbers."""
    if model is None:
        return
    # Of a centring encoder alone the bound is 1; of the other one it is a little above.
    assert math.isclose(1, stated["lipschitz_bound"], rel_tol=1e-4)
    assert list(model.latent_shape) == stated["latent_shape"]
    assert list(model.class_names) == stated["class_names"]
    assert model.build == stated["build"]
    with torch.no_grad():
        assert bool(model(torch.full((1, *model.image_shape), 0.5)).isfinite().all())


@pytest.mark.parametrize("name", MODELS)
def test_what_is_damaged_below_is_whole_here(name: str, folder: Path) -> None:
    config, weights = MODELS[name]
    assert read(folder, json.dumps(config).encode(), weights) is not None


@fuzzed(300)
@given(data=st.data(), name=st.sampled_from(list(MODELS)))
def test_altered_configs(folder: Path, data: st.DataObject, name: str) -> None:
    config, weights = MODELS[name]
    changed = data.draw(altered(config))
    text = json.dumps(changed).encode("utf-8", "surrogatepass")
    check(read(folder, text, weights), changed if isinstance(changed, dict) else {})


@fuzzed(60)
@given(
    name=st.sampled_from(list_builds()),
    width=st.sampled_from([1e-300, 0.01, 0.1, 1, 7, 64, 64.1, -1, 0]),
    shape=st.tuples(*[st.sampled_from([1, 3, 7, 8, 9, 33, 511, 4096, 65536])] * 3),
    options=st.dictionaries(
        st.sampled_from(["depth", "levels", "channels", "blocks", "widen", "group_size", "folded"]),
        st.integers(-3, 12) | st.sampled_from([-512, 25, 60, 64, 65, 500, 512, 10**9, -(2**63)]),
        max_size=2,
    ),
)
def test_builds_that_the_weights_are_not_of(
    folder: Path, name: str, width: float, shape: tuple[int, ...], options: dict[str, int]
) -> None:
    known = BUILDS[name].options
    options = {key: value for key, value in options.items() if key in known}
    build = {"name": name, "width": width, "options": options}
    config = {**MODELS["lenet"][0], "build": build, "image_shape": list(shape)}
    assert read(folder, json.dumps(config).encode(), MODELS["lenet"][1]) is None


@fuzzed(250)
@given(text=damaged(json.dumps(MODELS["lenet"][0], indent=1).encode()))
def test_damaged_configs(folder: Path, text: bytes) -> None:
    model = read(folder, text, MODELS["lenet"][1])
    check(model, json.loads(text) if model is not None else {})


ODD_NUMBERS = st.sampled_from(
    [math.nan, math.inf, -math.inf, 3e38, -3e38, 1e19, 1e-45, 0.0, -1.0, 1e6]
) | st.floats(width=32)


def with_hash(weights: bytes, config: dict[str, Any] = CONFIG) -> bytes:
    return json.dumps({**config, "weights_sha256": sha256(weights).hexdigest()}).encode()


@fuzzed(120)
@given(header=altered(HEADER), values=st.just(VALUES) | damaged(VALUES))
@example(header=HEADER, values=VALUES[:-1])
def test_weights_of_altered_headers(folder: Path, header: Any, values: bytes) -> None:
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    weights = len(text).to_bytes(8, "little") + text + values
    check(read(folder, with_hash(weights), weights), CONFIG)


@st.composite
def damaged_weights(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    config, weights = MODELS[draw(st.sampled_from(["lenet", "lenet", "lsrs-lenet"]))]
    if draw(st.booleans()):
        return config, draw(damaged(weights))
    # Odd numbers in sound places reach the checks of values, bound and logits.
    content = bytearray(weights)
    start = 8 + int.from_bytes(weights[:8], "little")
    for _ in range(draw(st.integers(1, 4))):
        place = start + 4 * draw(st.integers(0, (len(weights) - start) // 4 - 1))
        struct.pack_into("<f", content, place, draw(ODD_NUMBERS))
    return config, bytes(content)


@fuzzed(100)
@given(made=damaged_weights())
def test_damaged_weights_with_their_hash(folder: Path, made: tuple[dict[str, Any], bytes]) -> None:
    config, weights = made
    check(read(folder, with_hash(weights, config), weights), config)


@fuzzed(50)
@given(weights=damaged(MODELS["lenet"][1]))
def test_no_damage_passes_the_hash(folder: Path, weights: bytes) -> None:
    config, whole = MODELS["lenet"]
    if weights == whole:
        return
    (folder / CONFIG_FILE).write_text(json.dumps(config), "utf-8")
    (folder / WEIGHTS_FILE).write_bytes(weights)
    with pytest.raises(CorruptArtifact):
        LatentSmoothedClassifier.from_pretrained(folder)
