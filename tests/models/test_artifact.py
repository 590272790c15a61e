"""Saving and loading: round trips, and everything that must be refused."""

from __future__ import annotations

import json
import math
import os
import tracemalloc
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from latentsmooth.errors import ConfigurationError, CorruptArtifact
from latentsmooth.models import LatentSmoothedClassifier, build, list_builds
from latentsmooth.orthogonal import ChannelNormalize
from tests.seeds import shifted

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def small(name: str = "lsrs-lenet") -> LatentSmoothedClassifier:
    torch.manual_seed(shifted(0))
    return build(
        name,
        num_classes=3,
        image_shape=(1, 8, 8),
        width=0.25,
        latent_sigma=0.5,
        class_names=["cat", "dog", "føx"],
    ).eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = small()
    model.training_summary = {"epochs": 3}
    return model.save_pretrained(tmp_path / "model")


@pytest.mark.parametrize("name", [name for name in list_builds() if name != "resnet110"])
def test_round_trip_of_every_build(name: str, tmp_path: Path) -> None:
    model = small(name)
    folder = model.save_pretrained(tmp_path / "a" / "model")
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, WEIGHTS]
    loaded = LatentSmoothedClassifier.from_pretrained(folder)
    images = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(loaded(images), model(images))
    assert not loaded.training
    assert loaded.lipschitz_bound == model.lipschitz_bound
    assert loaded.fingerprint == model.fingerprint
    assert (loaded.class_names, loaded.latent_sigma) == (model.class_names, model.latent_sigma)


def test_saving_twice_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    again = LatentSmoothedClassifier.from_pretrained(saved).save_pretrained(tmp_path / "again")
    for name in (CONFIG, WEIGHTS):
        assert (again / name).read_bytes() == (saved / name).read_bytes()


def test_the_fingerprint_follows_weights_and_settings_not_history() -> None:
    model, other = small(), small()
    other.training_summary = {"seconds": 5}
    assert model.fingerprint == other.fingerprint
    other.latent_sigma = 0.25
    assert model.fingerprint != other.fingerprint
    changed = small()
    with torch.no_grad():
        next(changed.head.parameters()).add_(1e-3)
    assert model.fingerprint != changed.fingerprint


def test_a_users_own_modules_are_passed_in(tmp_path: Path) -> None:
    def pair() -> tuple[nn.Module, nn.Module]:
        return nn.Sequential(ChannelNormalize(0.5, 0.25), nn.Flatten()), nn.Linear(16, 2)

    encoder, head = pair()
    model = LatentSmoothedClassifier(
        encoder, head, latent_sigma=0.5, class_names=("a", "b"), image_shape=(1, 4, 4)
    )
    folder = model.save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match="pass encoder= and head="):
        LatentSmoothedClassifier.from_pretrained(folder)
    encoder, head = pair()
    loaded = LatentSmoothedClassifier.from_pretrained(folder, encoder=encoder, head=head)
    assert loaded.fingerprint == model.fingerprint
    assert loaded.lipschitz_bound == pytest.approx(4.0)


def test_other_modules_of_equal_weights_are_refused(tmp_path: Path) -> None:
    def model(activation: nn.Module) -> LatentSmoothedClassifier:
        torch.manual_seed(shifted(0))
        return LatentSmoothedClassifier(
            nn.Sequential(nn.Flatten(), activation),
            nn.Linear(16, 2),
            latent_sigma=0.5,
            class_names=("a", "b"),
            image_shape=(1, 4, 4),
        )

    assert model(nn.ReLU()).fingerprint != model(nn.Tanh()).fingerprint
    folder = model(nn.ReLU()).save_pretrained(tmp_path)
    other = model(nn.Tanh())
    with pytest.raises(CorruptArtifact, match="describes other modules"):
        LatentSmoothedClassifier.from_pretrained(folder, encoder=other.encoder, head=other.head)


def test_a_build_that_was_changed_is_not_saved_under_its_name(tmp_path: Path) -> None:
    model, before = small(), small().fingerprint
    assert isinstance(model.encoder, nn.Sequential)
    model.encoder[-2] = nn.ReLU()
    assert model.fingerprint != before
    with pytest.raises(ConfigurationError, match="were changed after it was built"):
        model.save_pretrained(tmp_path)


def test_shared_and_bfloat16_weights_are_saved(tmp_path: Path) -> None:
    shared = nn.Linear(16, 16)
    model = LatentSmoothedClassifier(
        nn.Flatten(),
        nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(16, 2)),
        latent_sigma=0.5,
        class_names=("a", "b"),
        image_shape=(1, 4, 4),
    )
    folder = model.save_pretrained(tmp_path)
    loaded = LatentSmoothedClassifier.from_pretrained(
        folder, encoder=model.encoder, head=model.head
    )
    assert loaded.fingerprint == model.fingerprint
    assert len(model.bfloat16().fingerprint) == 64


def _overflow(tensors: dict[str, Any]) -> None:
    """Finite weights whose products with what comes before them, which is large, are not."""
    tensors["head.0.bias"].fill_(100.0)
    tensors["head.2.weight"].fill_(3e38)


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / CONFIG).read_text("utf-8"))
    change(config)
    (folder / CONFIG).write_text(json.dumps(config), "utf-8")


def put(key: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda config: config.__setitem__(key, value)


def a_build(name: str, *, width: float = 1, **options: int) -> Callable[[dict[str, Any]], object]:
    return put("build", {"name": name, "width": width, "options": options})


def nested(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"in": found}
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("format", "other"), "is not a classifier"),
        (put("schema_version", 2), "schema_version 2; this version reads 1"),
        (put("lipschitz_bound", 0.2), "states lipschitz_bound 0.2, but the weights give 1.0"),
        (put("lipschitz_bound", -1), "lipschitz_bound is -1; wanted a positive number"),
        (put("lipschitz_bound", True), "wanted a positive number"),
        (put("latent_sigma", "big"), "latent_sigma is 'big'"),
        (put("weights_sha256", 5), "weights_sha256 is 5; wanted 64 hexadecimal digits"),
        (put("weights_sha256", "0" * 64), "its config states 0000"),
        (put("class_names", ["a"]), "at least two names"),
        (put("class_names", ["a", 2]), "a list of texts"),
        (put("class_names", ["a", "b" * 1001]), "at most 1000 characters"),
        (put("image_shape", [3, 65536, 65536]), "holds 12,884,901,888 numbers; at most"),
        (put("image_shape", [1, 1 << 40, 8]), "positive integers up to 65536"),
        (put("latent_shape", [7]), r"states latent_shape \[7\], but the encoder gives \[16\]"),
        (put("latent_shape", [0]), "positive integers"),
        (put("schema_version", True), "schema_version is True; wanted 1"),
        (put("latentsmooth_version", None), "wanted text"),
        (put("archive", "x"), "an unknown field 'archive'; wanted only build, class_names"),
        (put("architecture", {}), "an unknown field 'architecture'"),
        (put("latent_sigma", 10**30), "is not JSON: integer of 31 digits"),
        (put("latent_sigma", float("nan")), "is not JSON: NaN is not JSON"),
        (put("lipschitz_bound", float("inf")), "is not JSON: Infinity is not JSON"),
        (put("training", {"note": "\ud800"}), "is not JSON: .*surrogates not allowed"),
        (put("training", nested(33)), "is not JSON: nested deeper than 32 levels"),
        (put("training", nested(900)), "is not JSON: nested deeper than 32 levels"),
        (put("training", {"note": "x" * 10**6}), "longer than the 1,000,000 bytes it may take"),
        (a_build("resnet18", width=64), "would hold 45,[0-9,]* numbers at width 64; at most"),
        (a_build("lsrs-haar", depth=10**9), "option depth up to 64, got 1000000000"),
        (a_build("lsrs-haar", levels=10**12), "option levels up to 512"),
        (a_build("lsrs-resnet", blocks=64), "would have 1,[0-9]* modules; at most 1,000 are run"),
        (a_build("lsrs-haar", levels=-1), "cannot be built"),
        (a_build("lsrs-haar", levels=500), "leave some of 8x8 pixels, got 500"),
        (a_build("lsrs-wideresnet", widen=512, width=64), "would hold"),
        (a_build("lsrs-lipnet", group_size=511), "expected .* of shape|does not fit its build"),
        (a_build("lsrs-haar", num_classes=3), "has no option 'num_classes'"),
        (put("image_shape", [1, 8]), "wanted \\[channels, height, width\\]"),
        (put("image_shape", [1, 8, 0]), "positive integers"),
        (put("training", None), "training is None; wanted an object"),
        (put("build", {"name": "lsrs-lenet"}), "build is"),
        (put("build", {"name": "x", "width": 1, "options": {"a": "b"}}), "build is"),
        (put("build", {"name": "lenet", "width": 1e9, "options": {}}), "at most 64"),
        (put("build", {"name": "x", "width": 1, "options": {}}), "unknown build 'x'"),
        (put("build", {"name": "lenet", "width": 1, "options": {}}), "does not fit its build"),
        (put("build", {"name": "lsrs-lenet", "width": 1, "options": {}}), "expected .* of shape"),
        (lambda config: config.pop("build"), "architecture is '<missing>'"),
        (lambda config: config.pop("latent_sigma"), "latent_sigma is '<missing>'"),
    ],
)
def test_edited_configs_are_refused(
    saved: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit(saved, change)
    with pytest.raises((CorruptArtifact, ConfigurationError), match=message):
        LatentSmoothedClassifier.from_pretrained(saved)


def test_a_network_that_would_compute_too_much_is_refused_unrun(saved: Path) -> None:
    edit(saved, a_build("lsrs-preprocessor"))
    edit(saved, put("image_shape", [1, 4096, 4096]))
    with pytest.raises(CorruptArtifact, match="would make 268,435,456 numbers of one image"):
        LatentSmoothedClassifier.from_pretrained(saved)


def test_keys_given_twice_are_refused(saved: Path) -> None:
    text = (saved / CONFIG).read_text("utf-8")
    (saved / CONFIG).write_text('{"latent_sigma": 9,' + text[1:], "utf-8")
    with pytest.raises(CorruptArtifact, match="key 'latent_sigma' is given twice"):
        LatentSmoothedClassifier.from_pretrained(saved)


def rewrite_weights(folder: Path, content: bytes) -> None:
    (folder / WEIGHTS).write_bytes(content)
    edit(folder, put("weights_sha256", sha256(content).hexdigest()))


def test_damaged_files_are_refused(saved: Path) -> None:
    whole = (saved / WEIGHTS).read_bytes()
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    (saved / WEIGHTS).write_bytes(flipped)
    with pytest.raises(CorruptArtifact, match="has SHA-256"):
        LatentSmoothedClassifier.from_pretrained(saved)
    rewrite_weights(saved, b"\x80\x04pickle, not safetensors")
    with pytest.raises(CorruptArtifact, match="not a safetensors file"):
        LatentSmoothedClassifier.from_pretrained(saved)
    (saved / WEIGHTS).unlink()
    with pytest.raises(CorruptArtifact, match=r"cannot read .*No such file"):
        LatentSmoothedClassifier.from_pretrained(saved)
    (saved / CONFIG).write_text("{", "utf-8")
    with pytest.raises(CorruptArtifact, match="is not JSON"):
        LatentSmoothedClassifier.from_pretrained(saved)
    (saved / CONFIG).unlink()
    with pytest.raises(CorruptArtifact, match="cannot read"):
        LatentSmoothedClassifier.from_pretrained(saved)


def first(tensors: dict[str, Tensor], value: float) -> None:
    tensors["head.0.weight"][0, 0] = value


def double(tensors: dict[str, Tensor]) -> None:
    tensors["head.0.weight"] = tensors["head.0.weight"].double()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: first(tensors, math.nan), "head.0.weight holds values that are not fini"),
        (lambda tensors: first(tensors, -math.inf), "head.0.weight holds values that are not fin"),
        (lambda tensors: tensors.pop("head.0.bias"), r"missing \['head.0.bias'\], unexpected none"),
        (lambda tensors: tensors.update(x=torch.ones(1)), r"missing none, unexpected \['x'\]"),
        (double, r"in torch.float32, got .* in torch.float64"),
        (_overflow, "a gray image gets logits that"),
        (lambda tensors: _scale_encoder(tensors, 1e30), "cannot be verified|not finite|states lip"),
    ],
)
def test_other_weights_with_their_hash_are_refused(
    saved: Path, change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    tensors = load_file(saved / WEIGHTS)
    change(tensors)
    rewrite_weights(saved, save(tensors))
    with pytest.raises(CorruptArtifact, match=message):
        LatentSmoothedClassifier.from_pretrained(saved)


def _scale_encoder(tensors: dict[str, Tensor], factor: float) -> None:
    for name, tensor in tensors.items():
        if name.startswith("encoder.") and tensor.is_floating_point():
            tensor.mul_(factor).pow_(1.2)


def test_a_tensor_named_twice_is_refused(saved: Path) -> None:
    content = (saved / WEIGHTS).read_bytes()
    length = int.from_bytes(content[:8], "little")
    twin = b'{"head.0.bias":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},'
    header = twin + content[9 : 8 + length]
    rewrite_weights(saved, len(header).to_bytes(8, "little") + header + content[8 + length :])
    with pytest.raises(CorruptArtifact, match=r"key 'head\.0\.bias' is given twice"):
        LatentSmoothedClassifier.from_pretrained(saved)


@pytest.mark.parametrize("length", [0, 1, 2**20, 2**63, 2**64 - 1])
def test_a_header_of_another_length_is_refused(saved: Path, length: int) -> None:
    content = (saved / WEIGHTS).read_bytes()
    rewrite_weights(saved, length.to_bytes(8, "little") + content[8:])
    with pytest.raises(CorruptArtifact, match="is not a safetensors file"):
        LatentSmoothedClassifier.from_pretrained(saved)


def test_weights_larger_than_the_build_are_not_read(saved: Path) -> None:
    with (saved / WEIGHTS).open("r+b") as file:
        file.truncate(2**40)
    tracemalloc.start()
    with pytest.raises(CorruptArtifact, match=r"is longer than the [0-9,]* bytes it may take"):
        LatentSmoothedClassifier.from_pretrained(saved)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_negative_variances_are_found(tmp_path: Path) -> None:
    folder = small("resnet20").save_pretrained(tmp_path)
    tensors = load_file(folder / WEIGHTS)
    tensors["head.1.running_var"].fill_(-1)
    rewrite_weights(folder, save(tensors))
    with pytest.raises(CorruptArtifact, match="a gray image gets logits that are not finite"):
        LatentSmoothedClassifier.from_pretrained(folder)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_links_and_devices_are_not_followed(saved: Path, name: str, tmp_path: Path) -> None:
    outside = (saved / name).rename(tmp_path / "outside")
    (saved / name).symlink_to(outside)
    with pytest.raises(CorruptArtifact, match=r"is a link out of its folder, to .*outside"):
        LatentSmoothedClassifier.from_pretrained(saved)
    (saved / name).unlink()
    (saved / name).symlink_to(name)
    with pytest.raises(CorruptArtifact, match=f"cannot read .*{name}"):
        LatentSmoothedClassifier.from_pretrained(saved)
    (saved / name).unlink()
    os.mkfifo(saved / name)
    with pytest.raises(CorruptArtifact, match="is not a file"):
        LatentSmoothedClassifier.from_pretrained(saved)
    (saved / name).unlink()
    outside.rename(saved / "inside")
    (saved / name).symlink_to("inside")
    LatentSmoothedClassifier.from_pretrained(saved)


def test_links_of_a_hub_cache_are_followed(saved: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--owner--name" / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    saved.rename(snapshot.parents[1] / "blobs")
    for name in (CONFIG, WEIGHTS):
        (snapshot / name).symlink_to(Path("../../blobs") / name)
    assert LatentSmoothedClassifier.from_pretrained(snapshot).class_names[2] == "føx"


@pytest.mark.parametrize(
    "name",
    ["a/..", "../a", "a/b/c", "a//b", "~/a", "a/b--c", "a/b\0", "é/b", "a" * 300, "a/" * 5000],
)
def test_paths_are_not_taken_for_hub_ids(name: str) -> None:
    with pytest.raises(ConfigurationError, match="no model folder at"):
        LatentSmoothedClassifier.from_pretrained(name)


def test_revisions_stay_inside_the_cache() -> None:
    with pytest.raises(ConfigurationError, match=r"no revision is called '\.\./\.\./x'"):
        LatentSmoothedClassifier.from_pretrained("owner/name", revision="../../x")


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    model = small()
    for summary in ({"loss": math.nan}, nested(40), {"note": "x" * 10**6}, {"note": tmp_path}):
        model.training_summary = summary
        with pytest.raises(ConfigurationError, match="this classifier cannot be saved"):
            model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_missing_folders_and_surplus_modules_are_named(saved: Path) -> None:
    with pytest.raises(ConfigurationError, match="no model folder at nowhere"):
        LatentSmoothedClassifier.from_pretrained("nowhere")
    with pytest.raises(ConfigurationError, match="makes its own encoder and head"):
        LatentSmoothedClassifier.from_pretrained(saved, encoder=nn.Flatten())


def test_hub_ids_go_through_the_hub_library(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def snapshot(name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, revision, allow_patterns))
        if name == "owner/missing":
            raise OSError("offline\nmore")
        return str(saved)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    loaded = LatentSmoothedClassifier.from_pretrained("owner/name", revision="v1")
    assert loaded.class_names[2] == "føx"
    assert asked == [("owner/name", "v1", [CONFIG, WEIGHTS])]
    with pytest.raises(ConfigurationError, match=r"the hub gave none under that id: offline$"):
        LatentSmoothedClassifier.from_pretrained("owner/missing")


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    with pytest.raises(ConfigurationError, match="cannot write the model"):
        small().save_pretrained(tmp_path / "file")


def narrow(folder: Path, name: str = "lsrs-lenet") -> LatentSmoothedClassifier:
    small(name).save_pretrained(folder, head_dtype="bfloat16")
    return LatentSmoothedClassifier.from_pretrained(folder)


@pytest.mark.parametrize("name", ["lsrs-lenet", "resnet20"])
def test_a_bfloat16_head_is_rounded_and_nothing_else(name: str, tmp_path: Path) -> None:
    whole, rounded = small(name).state_dict(), narrow(tmp_path, name).state_dict()
    moved = set()
    for key, tensor in whole.items():
        assert rounded[key].dtype == tensor.dtype
        if key.startswith("head.") and tensor.ndim >= 2:
            # Of nearest numbers with eight bits of fraction none is farther off than 2**-8 of it.
            assert bool(((rounded[key] - tensor).abs() <= 2**-8 * tensor.abs()).all())
            assert not bool((rounded[key].view(torch.int32) & 0xFFFF).any())
            moved.add(key)
        else:
            assert torch.equal(rounded[key], tensor)
    assert moved
    stored = load_file(tmp_path / WEIGHTS)
    assert {key for key, each in stored.items() if each.dtype == torch.bfloat16} == moved


def test_a_bfloat16_head_keeps_its_fingerprint_however_it_is_saved(tmp_path: Path) -> None:
    model = narrow(tmp_path / "narrow")
    wide = model.save_pretrained(tmp_path / "wide")
    assert "head_dtype" not in json.loads((wide / CONFIG).read_text("utf-8"))
    again = model.save_pretrained(tmp_path / "again", head_dtype="bfloat16")
    for name in (CONFIG, WEIGHTS):
        assert (again / name).read_bytes() == (tmp_path / "narrow" / name).read_bytes()
    assert (again / WEIGHTS).stat().st_size < 0.7 * (wide / WEIGHTS).stat().st_size
    for folder in (wide, again):
        assert LatentSmoothedClassifier.from_pretrained(folder).fingerprint == model.fingerprint
    assert model.fingerprint != small().fingerprint


def test_a_users_own_head_may_be_stored_in_bfloat16(tmp_path: Path) -> None:
    def pair() -> tuple[nn.Module, nn.Module]:
        return nn.Flatten(), nn.Linear(16, 2)

    settings: dict[str, Any] = {"class_names": ("a", "b"), "image_shape": (1, 4, 4)}
    model = LatentSmoothedClassifier(*pair(), latent_sigma=0.5, **settings)
    folder = model.save_pretrained(tmp_path, head_dtype="bfloat16")
    encoder, head = pair()
    loaded = LatentSmoothedClassifier.from_pretrained(folder, encoder=encoder, head=head)
    weight = model.state_dict()["head.weight"]
    assert torch.equal(loaded.state_dict()["head.weight"], weight.bfloat16().float())


def test_a_head_that_bfloat16_cannot_hold_is_not_written(tmp_path: Path) -> None:
    model = small()
    with pytest.raises(ConfigurationError, match="one of float32, bfloat16, got 'int8'"):
        model.save_pretrained(tmp_path / "model", head_dtype="int8")  # type: ignore[arg-type]
    with torch.no_grad():
        model.state_dict()["head.0.weight"][0, 0] = torch.finfo(torch.float32).max
    with pytest.raises(ConfigurationError, match=r"head\.0\.weight holds numbers too large for"):
        model.save_pretrained(tmp_path / "model", head_dtype="bfloat16")
    assert not (tmp_path / "model").exists()


def as_type(part: str, dtype: torch.dtype, *, rank: int = 2) -> Callable[[dict[str, Tensor]], None]:
    def change(tensors: dict[str, Tensor]) -> None:
        named = [key for key in tensors if key.startswith(part) and tensors[key].ndim == rank]
        tensors[named[0]] = tensors[named[0]].to(dtype)

    return change


@pytest.mark.parametrize(
    ("stated", "change", "message"),
    [
        ("float16", None, "head_dtype is 'float16'; wanted one of float32, bfloat16"),
        (["bfloat16"], None, "head_dtype is .*; wanted one of float32, bfloat16"),
        (None, None, "head_dtype is None; wanted one of"),
        ("float32", None, r"expected head\..* in torch.float32, got .* in torch.bfloat16"),
        ("bfloat16", as_type("head.", torch.float32), r"in torch.bfloat16, got .*float32"),
        ("bfloat16", as_type("head.", torch.float16), r"in torch.bfloat16, got .*float16"),
        ("bfloat16", as_type("head.", torch.bfloat16, rank=1), "in torch.float32, got .*bfloat16"),
        ("bfloat16", as_type("encoder.", torch.bfloat16, rank=4), "float32, got .*bfloat16"),
        ("bfloat16", as_type("encoder.", torch.bfloat16, rank=3), "float32, got .*bfloat16"),
    ],
)
def test_other_types_than_the_stated_ones_are_refused(
    tmp_path: Path,
    stated: object,
    change: Callable[[dict[str, Tensor]], None] | None,
    message: str,
) -> None:
    narrow(tmp_path)
    edit(tmp_path, put("head_dtype", stated))
    if change is not None:
        tensors = load_file(tmp_path / WEIGHTS)
        change(tensors)
        rewrite_weights(tmp_path, save(tensors))
    with pytest.raises(CorruptArtifact, match=message):
        LatentSmoothedClassifier.from_pretrained(tmp_path)
