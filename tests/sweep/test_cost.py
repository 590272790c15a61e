"""What an image costs: arithmetic counted by hand, seconds taken in turns and kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from latentsmooth.certification import Certifier, FixedRule, LabelledTensor, prepare_classifier
from latentsmooth.models import build
from latentsmooth.sweep.cost import Arithmetic, arithmetic, measured_seconds, seconds_an_image
from latentsmooth.sweep.run import images_a_turn


def test_arithmetic_is_that_of_the_layers_by_hand() -> None:
    def counted(name: str) -> Arithmetic:
        model = build(name, num_classes=10, image_shape=(1, 28, 28), latent_sigma=0.25)
        return arithmetic(prepare_classifier(model))

    # LeNet on noisy pixels: 5x5 1->6 on 28x28, 5x5 6->16 on 14x14, then 784-84-84-10.
    convolutions = 25 * 6 * 28 * 28 + 25 * 6 * 16 * 14 * 14
    dense = 16 * 7 * 7 * 84 + 84 * 84 + 84 * 10
    isrs = counted("lenet")
    assert isrs == Arithmetic(
        encoder_macs=0, head_macs=convolutions + dense, noise_elements=28 * 28
    )
    assert isrs.flops(10) == 2 * 10 * (convolutions + dense + 8 * 784)
    # LSRS: the dense layer of 784 is folded, its orthonormal part runs once an image.
    lsrs = counted("lsrs-lenet")
    assert lsrs.noise_elements == 84
    assert lsrs.head_macs == 84 * 84 + 84 * 84 + 84 * 10
    assert lsrs.encoder_macs == 16 * 6 * 14 * 14 + 16 * 6 * 16 * 7 * 7 + 784 * 84


@dataclass
class Fake:
    """A certifier whose every certificate takes 1,100 samples."""

    name: str
    calls: list[str]
    stop_at: int = 10**9
    batch_size: int = 10

    def certify(self, images: list[LabelledTensor], rule: FixedRule) -> Iterator[Any]:
        if rule.n_estimate == 1000:
            self.calls.append(self.name)
        if len(self.calls) >= self.stop_at:
            raise KeyboardInterrupt
        for _ in images:
            yield type("Made", (), {"n_used": 1100})


def measure(
    path: Path, names: str, *, rounds: int = 3, stop_at: int = 10**9, identity: Any = None
) -> tuple[dict[str, list[float]], list[str]]:
    calls: list[str] = []
    makers = {
        name: cast("Callable[[], Certifier]", lambda n=name: Fake(n, calls, stop_at))
        for name in names
    }
    image = LabelledTensor(image=torch.zeros(1, 8, 8), index=0)
    try:
        found = measured_seconds(
            makers,
            [image, image],
            rule=FixedRule(n_select=100, n_estimate=1000),
            rounds=rounds,
            path=path,
            identity=identity or {"runs": names},
            say=lambda _: None,
        )
    except KeyboardInterrupt:
        found = {}
    return found, calls


def test_turns_go_round_are_kept_and_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "turns.json"
    found, calls = measure(path, "abc", stop_at=5)
    assert "".join(calls) == "abcab", "the fifth was interrupted"
    kept = json.loads(path.read_text("utf-8"))["turns"]
    assert {name: len(turns) for name, turns in kept.items()} == {"a": 2, "b": 1, "c": 1}
    found, calls = measure(path, "abc")
    assert "".join(calls) == "bcabc"
    assert found["a"][:2] == kept["a"]
    again, calls = measure(path, "abc")
    assert (again, calls) == (found, [])
    assert measure(path, "abc", rounds=2) == ({n: turns[:2] for n, turns in found.items()}, [])
    _, calls = measure(path, "ab")
    assert "".join(calls) == "ababab", "other company, other turns"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"identity": {"runs": "a"}, "turns": {"a": [[]]}}']
)
def test_a_damaged_file_of_turns_is_measured_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "turns.json").write_text(text, "utf-8")
    found, calls = measure(tmp_path / "turns.json", "a", rounds=1)
    assert calls == ["a"]
    assert len(found["a"]) == 1


def test_where_images_stop_early_a_turn_has_more_of_them() -> None:
    # A turn draws as many samples as one of a fixed number does, by the run that takes the fewest.
    rule = FixedRule(n_select=100, n_estimate=900)
    assert images_a_turn(3, rule, [1000.0, 1000.0], at_most=50) == 3
    assert images_a_turn(3, rule, [250.0, 500.0], at_most=50) == 12
    assert images_a_turn(3, rule, [250.0, 500.0], at_most=5) == 5


def test_seconds_an_image_are_the_median_turn_for_the_logs_samples() -> None:
    assert seconds_an_image([3e-3, 1e-3, 2e-3], 1100.0) == pytest.approx(2.2)


def test_small_batches_are_warmed_up_too(tmp_path: Path) -> None:
    """Two batches of two are too few votes for a certificate, by which to warm up."""
    model = build("lenet", num_classes=10, image_shape=(1, 28, 28), latent_sigma=0.25, width=0.25)
    turns = measured_seconds(
        {"a": lambda: Certifier(model.eval(), batch_size=2)},
        [LabelledTensor(image=torch.full((1, 28, 28), 0.5), index=0)],
        rule=FixedRule(n_select=10, n_estimate=20),
        rounds=1,
        path=tmp_path / "turns.json",
        identity={},
        say=lambda _: None,
    )
    assert len(turns["a"]) == 1
