"""certify and predict against half-spaces of known probability and radius."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm
from torch import Tensor, nn

from latentsmooth.certification import (
    Certificate,
    Certifier,
    FixedRule,
    LabelledTensor,
    PilotRule,
    PreparedClassifier,
    Rule,
    SequentialRule,
    certify,
    clopper_pearson_lower,
    latent_radius,
    predict,
)
from latentsmooth.certification.rules import More, PreparedRule, RadiusAtLeast, Setting, Verdict
from latentsmooth.errors import ConfigurationError, DataError, ShapeError
from latentsmooth.lipschitz import register_rule
from latentsmooth.machine import Precision
from tests.certification.half_space import HalfSpaceClassifier, Scale
from tests.seeds import shifted


def images_with_mean(*means: float) -> Tensor:
    return torch.tensor(means).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone()


def timeless(made: list[Certificate]) -> list[Certificate]:
    return [dataclasses.replace(certificate, seconds=0.0) for certificate in made]


def test_radius_approaches_the_distance_to_the_boundary_over_lipschitz() -> None:
    classifier = HalfSpaceClassifier(factor=2.0, threshold=1.0)
    images = images_with_mean(0.4, 0.1)
    made = certify(classifier, images, n_estimate=50_000, alpha=0.001, labels=[1, 1])
    certifier = Certifier(classifier)
    for image, certificate in zip(images, made, strict=True):
        margin = classifier.latent_margin(image)
        assert certificate.prediction == int(margin > 0)
        assert 0.9 * abs(margin) < certificate.latent_radius < abs(margin)
        shortened = certificate.latent_radius - certifier.deductions.latent_slack
        assert certificate.input_radius == pytest.approx(shortened / 2)
        assert certificate.input_radius < certificate.latent_radius / 2
        assert certificate.n_used == 50_100
    assert [certificate.correct for certificate in made] == [True, False]


def test_abstains_on_the_boundary() -> None:
    classifier = HalfSpaceClassifier(threshold=1.0)
    [made] = certify(classifier, images_with_mean(0.5), n_estimate=2000)
    assert made.prediction is None
    assert made.abstained
    assert not made.certified_at(0.0)
    assert (made.latent_radius, made.input_radius) == (0.0, 0.0)
    assert made.p_lower <= 0.5
    [answer] = predict(classifier, images_with_mean(0.5), n_samples=200)
    assert answer.abstained


def test_predict_answers_where_the_vote_is_clear() -> None:
    classifier = HalfSpaceClassifier(threshold=1.0)
    answers = predict(classifier, images_with_mean(0.0, 1.0), n_samples=200, indices=[7, 9])
    assert [answer.prediction for answer in answers] == [0, 1]
    assert [answer.index for answer in answers] == [7, 9]
    assert all(answer.p_value <= 0.001 and answer.n_used == 200 for answer in answers)


@pytest.mark.parametrize("margin_in_sigmas", [0.1, 0.5, 1.0, 2.0])
def test_simulated_certificates_exceed_the_true_radius_at_most_alpha_of_the_time(
    margin_in_sigmas: float,
) -> None:
    """The pipeline's bound and radius over 20,000 simulated votes of known probability."""
    alpha, n_select, n_estimate, sigma, runs = 0.01, 100, 1000, 0.5, 20_000
    p = float(norm.cdf(margin_in_sigmas))
    true_radius = margin_in_sigmas * sigma
    rng = np.random.default_rng(shifted(0))
    chooses_right = rng.binomial(n_select, p, runs) >= n_select / 2
    votes = rng.binomial(n_estimate, np.where(chooses_right, p, 1 - p))
    known = {k: clopper_pearson_lower(k, n_estimate, alpha) for k in set(votes.tolist())}
    wrong = 0
    for right, count in zip(chooses_right.tolist(), votes.tolist(), strict=True):
        radius = latent_radius(known[count], sigma)
        wrong += radius > true_radius if right else radius > 0
    assert binomtest(wrong, runs, alpha, alternative="greater").pvalue > 1e-3
    assert wrong > 0


def test_real_certifications_exceed_the_true_radius_at_most_alpha_of_the_time() -> None:
    """The same through encoder, noise, head and votes: 5,000 images of one latent."""
    classifier = HalfSpaceClassifier(threshold=1.0)
    certifier = Certifier(classifier)
    [image] = images_with_mean(0.75)
    margin = classifier.latent_margin(image)
    alpha, runs = 0.01, 5_000
    rule = FixedRule(n_select=20, n_estimate=500, alpha=alpha)
    items = (LabelledTensor(image=image, index=index) for index in range(runs))
    wrong = sum(made.latent_radius > margin for made in certifier.certify(items, rule))
    assert binomtest(wrong, runs, alpha, alternative="greater").pvalue > 1e-3
    assert wrong > 12, "a bound that is never wrong is too loose to have been tested"


class Network(nn.Module):
    """A small convolutional head, so that batches really go through arithmetic kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2)
        )

    def forward(self, latents: Tensor) -> Tensor:
        result: Tensor = self.body(latents)
        return result


def network_classifier() -> HalfSpaceClassifier:
    torch.manual_seed(shifted(0))
    classifier = HalfSpaceClassifier()
    classifier.head = Network().eval()
    return classifier


def test_certificates_do_not_depend_on_batch_size_or_company() -> None:
    classifier = network_classifier()
    images = torch.rand(6, 1, 2, 2, generator=torch.Generator().manual_seed(shifted(1)))
    whole = timeless(certify(classifier, images, n_estimate=1000, batch_size=64))
    other = timeless(certify(classifier, images, n_estimate=1000, batch_size=257))
    alone = [
        timeless(certify(classifier, images[i : i + 1], n_estimate=1000, indices=[i]))[0]
        for i in reversed(range(6))
    ]
    assert whole == other == alone[::-1]


@pytest.mark.parametrize(
    "rule",
    [
        FixedRule(n_select=20, n_estimate=700),
        SequentialRule(goal=RadiusAtLeast(0.2), n_select=20, n_max=3000),
        PilotRule(tolerance=0.05, n_select=50, n_max=2000),
    ],
    ids=lambda rule: rule.name,
)
def test_certificates_do_not_depend_on_how_images_are_scheduled(rule: Rule) -> None:
    classifier = network_classifier()
    images = torch.rand(12, 1, 2, 2, generator=torch.Generator().manual_seed(shifted(1)))
    items = [LabelledTensor(image=image, index=index) for index, image in enumerate(images)]

    def certified(order: int, **engine: int) -> dict[int, Certificate]:
        made = Certifier(classifier, **engine).certify(items[::order], rule)  # type: ignore[arg-type]
        return {each.index: dataclasses.replace(each, seconds=0.0) for each in made}

    wanted = certified(1)
    assert certified(-1, batch_size=33, in_flight=2) == wanted
    assert certified(1, batch_size=1000, in_flight=1) == wanted
    assert certified(-1, batch_size=5) == wanted


@pytest.mark.parametrize("burst", [1, 4])
def test_images_before_a_damaged_one_are_certified(
    monkeypatch: pytest.MonkeyPatch, burst: int
) -> None:
    monkeypatch.setattr(PreparedClassifier, "burst", property(lambda _: burst))
    certifier = Certifier(HalfSpaceClassifier(threshold=1.0))
    images = [*images_with_mean(0.1, 0.7, 0.9), torch.full((1, 2, 2), float("nan"))]
    items = [LabelledTensor(image=image, index=index) for index, image in enumerate(images)]
    run = certifier.certify(items, FixedRule(n_estimate=500))
    made = [next(run) for _ in range(3)]
    assert [each.prediction for each in made] == [0, 1, 1]
    with pytest.raises(DataError, match="raw pixels"):
        next(run)
    alone = [certifier.certify_image(images[i], index=i, n_estimate=500) for i in range(3)]
    assert timeless(made) == timeless(alone)


class Narrowing(HalfSpaceClassifier):
    """The half-space through a dense layer of fewer rows than columns, which can be folded."""

    def __init__(self, **settings: float) -> None:
        super().__init__(**settings)
        dense = nn.Linear(4, 2)
        with torch.no_grad():
            normal = self.head.normal
            assert isinstance(normal, Tensor)
            dense.weight.copy_(torch.stack([-normal, normal]) * 3)
            dense.bias.copy_(torch.tensor([1.0, -1.0]) * settings["threshold"] * 3)
        self.head = nn.Sequential(nn.Flatten(), dense)


def test_folding_keeps_the_smoothed_classifier_and_its_radius() -> None:
    classifier = Narrowing(factor=2.0, threshold=1.0)
    folded, plain = Certifier(classifier), Certifier(classifier, folds=False)
    assert folded.latent_shape == (2,)
    assert "Linear(4 -> 2)" in folded.folding
    assert (plain.latent_shape, plain.folding) == ((1, 2, 2), "")
    assert folded.lipschitz_bound == pytest.approx(2.0, abs=1e-9)
    [image] = images_with_mean(0.4)
    half_space = HalfSpaceClassifier(factor=2.0, threshold=1.0)
    margin = half_space.latent_margin(image)
    for certifier in (folded, plain):
        made = certifier.certify_image(image, index=0, n_estimate=50_000)
        assert made.prediction == int(margin > 0)
        assert 0.9 * abs(margin) < made.latent_radius < abs(margin)


def test_a_prediction_inside_the_loop_changes_no_certificate() -> None:
    classifier = network_classifier()
    images = torch.rand(6, 1, 2, 2, generator=torch.Generator().manual_seed(shifted(1)))
    items = [LabelledTensor(image=image, index=index) for index, image in enumerate(images)]
    rule = FixedRule(n_select=50, n_estimate=700)
    wanted = timeless(list(Certifier(classifier).certify(items, rule)))
    certifier = Certifier(classifier, batch_size=64, in_flight=2)
    made = []
    for certificate in certifier.certify(items, rule):
        made.append(certificate)
        certifier.predict_image(1 - images[certificate.index], index=100)
    assert timeless(made) == wanted


def test_noise_that_float32_would_round_away_is_refused() -> None:
    class Far(Scale):
        def forward(self, images: Tensor) -> Tensor:
            return images * self.factor + 1e8

    register_rule(Far)(lambda module: abs(module.factor))
    classifier = HalfSpaceClassifier(threshold=1.0)
    classifier.encoder = Far(1.0)
    with pytest.raises(DataError, match=r"noise of 0.5 can be added to them exactly, got 1e\+08"):
        certify(classifier, images_with_mean(0.5), n_estimate=10)


@pytest.mark.parametrize("sigma", [0.12, 0.35, 0.7, 0.3])
def test_the_radius_is_of_the_noise_as_drawn(sigma: float) -> None:
    [made] = certify(HalfSpaceClassifier(sigma=sigma), images_with_mean(1.0), n_estimate=1000)
    drawn = float(np.float32(sigma))
    assert made.latent_radius <= min(sigma, drawn) * float(norm.ppf(made.p_lower))
    assert made.latent_radius == pytest.approx(sigma * float(norm.ppf(made.p_lower)), rel=1e-6)


@pytest.mark.parametrize("sigma", [1e39, 1e-46])
def test_noise_beyond_float32_is_refused(sigma: float) -> None:
    with pytest.raises(ConfigurationError, match="within float32's range"):
        certify(HalfSpaceClassifier(sigma=sigma), images_with_mean(1.0), n_estimate=10)


def test_heads_whose_scores_are_not_finite_are_refused() -> None:
    class Overflowing(nn.Module):
        def forward(self, latents: Tensor) -> Tensor:
            scores = latents.flatten(1)[:, :2] * 1e5
            return scores * 10

    classifier = HalfSpaceClassifier(threshold=1.0)
    classifier.head = Overflowing()
    images = images_with_mean(0.5)
    assert certify(classifier, images, n_estimate=100)[0].n_used == 200
    with pytest.raises(DataError, match="not finite in float16"):
        certify(classifier, images, n_estimate=100, precision="float16")


@pytest.mark.parametrize("from_rows", [2, 32])
def test_mixing_is_found_at_the_batch_size_of_the_votes(from_rows: int) -> None:
    class Mixing(nn.Module):
        def forward(self, latents: Tensor) -> Tensor:
            scores = latents.flatten(1)[:, :3].clone()
            if len(latents) >= from_rows:
                scores = scores - scores.mean(0)
            scores[:, 2] = -torch.inf  # a class ruled out must not hide it
            return scores

    classifier = HalfSpaceClassifier()
    classifier.head, classifier.class_names = Mixing(), ("a", "b", "c")
    with pytest.raises(ConfigurationError, match="must not depend on one another"):
        certify(classifier, images_with_mean(0.5), n_estimate=10)


def test_a_layer_whose_forward_was_replaced_is_not_folded() -> None:
    classifier = Narrowing(factor=2.0, threshold=1.0)
    assert isinstance(classifier.head, nn.Sequential)
    dense = classifier.head[1]
    plain = dense.forward
    dense.forward = lambda latents: plain(latents).flip(1)
    certifier = Certifier(classifier)
    assert certifier.folding == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_estimate": 1e3}, "n_estimate as a whole number >= 1, got 1000.0"),
        ({"n_select": True}, "n_select as a whole number"),
        ({"batch_size": 2.5}, "batch_size as a whole number"),
        ({"seed": 1.5}, "seed as a whole number"),
    ],
)
def test_numbers_that_are_not_whole_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        certify(HalfSpaceClassifier(), images_with_mean(0.5), **arguments)


def test_numbers_of_numpy_are_plain_numbers_in_the_rule() -> None:
    rule = FixedRule(n_estimate=np.int64(500), alpha=np.float64(0.01))  # type: ignore[arg-type]
    assert {type(value) for value in rule.settings().values()} == {str, int, float}


def test_arrays_are_no_images() -> None:
    with pytest.raises(DataError, match="torch tensor or a data set, got ndarray"):
        certify(HalfSpaceClassifier(), np.zeros((1, 1, 2, 2)))


def test_seed_and_index_change_the_votes() -> None:
    classifier = HalfSpaceClassifier(threshold=1.0)
    image = images_with_mean(0.6)
    votes = {
        certify(classifier, image, n_estimate=5000, seed=seed, indices=[index])[0].votes
        for seed, index in [(0, 0), (1, 0), (0, 1)]
    }
    assert len(votes) == 3


def test_selection_and_estimation_use_different_samples() -> None:
    """A rule that asks for as many of both sees different votes in each."""
    seen: list[tuple[list[int], list[int]]] = []

    class Spying(PreparedRule):
        def step(self, select: Sequence[int], estimate: Sequence[int]) -> More | Verdict:
            seen.append((list(select), list(estimate)))
            if not sum(select):
                return More(select=5000, estimate=5000)
            return self.one_sided(0, 0.0, "enough")

    class Spy(FixedRule):
        def prepare(self, setting: Setting) -> PreparedRule:
            return Spying(setting)

    certifier = Certifier(HalfSpaceClassifier(threshold=1.0))
    certifier.certify_image(images_with_mean(0.6)[0], index=0, rule=Spy())
    select, estimate = seen[-1]
    assert sum(select) == sum(estimate) == 5000
    assert select != estimate


def test_the_callers_modes_survive_and_dropout_is_off() -> None:
    classifier = network_classifier()
    classifier.head = nn.Sequential(nn.Dropout(0.9), classifier.head).train()
    classifier.encoder.train()
    images = torch.rand(1, 1, 2, 2)
    first = timeless(certify(classifier, images, n_estimate=500))
    assert first == timeless(certify(classifier, images, n_estimate=500))
    assert classifier.head.training
    assert classifier.encoder.training


def test_an_autocast_region_round_the_call_changes_nothing() -> None:
    classifier = network_classifier()
    images = torch.rand(2, 1, 2, 2)
    plain = timeless(certify(classifier, images, n_estimate=500))
    with torch.autocast("cpu", torch.bfloat16):
        assert timeless(certify(classifier, images, n_estimate=500)) == plain


def test_a_certifier_keeps_the_networks_it_verified() -> None:
    classifier = HalfSpaceClassifier(factor=2.0, threshold=1.0)
    certifier = Certifier(classifier)
    [image] = images_with_mean(0.4)
    before = timeless([certifier.certify_image(image, index=0, n_estimate=500)])
    classifier.encoder.factor = 50.0  # type: ignore[assignment]
    classifier.latent_sigma = 9.0
    assert timeless([certifier.certify_image(image, index=0, n_estimate=500)]) == before
    assert Certifier(classifier).lipschitz_bound == pytest.approx(50.0)


class Averaging(nn.Module):
    def forward(self, latents: Tensor) -> Tensor:
        mean = latents.flatten(1).mean(dim=(0, 1))
        return torch.stack([-mean, mean]).expand(len(latents), 2)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_heads_whose_answers_depend_on_their_batch_are_refused(precision: Precision) -> None:
    classifier = HalfSpaceClassifier()
    classifier.head = Averaging()
    with pytest.raises(ConfigurationError, match=r"differ by .* with the rest of a batch"):
        Certifier(classifier, precision=precision)
    classifier.head = nn.Sequential(
        nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten(), nn.Linear(4, 2)
    )
    with pytest.raises(ConfigurationError, match="track_running_stats=True"):
        Certifier(classifier, precision=precision)


def test_normalisation_of_each_latent_by_itself_is_no_mixing() -> None:
    classifier = HalfSpaceClassifier()
    classifier.head = nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.InstanceNorm2d(2), nn.GroupNorm(1, 2), nn.Flatten(), nn.Linear(8, 2)
    )
    assert Certifier(classifier, precision="bfloat16").precision == "bfloat16"


def test_labels_may_be_tensors_and_negative_ones_are_unknown() -> None:
    classifier = HalfSpaceClassifier(threshold=1.0)
    labels: Any = torch.tensor([1, -1])
    first, second = certify(classifier, images_with_mean(0.9, 0.9), n_estimate=500, labels=labels)
    assert (first.label, second.label) == (1, None)
    assert first.correct is True


def test_bfloat16_heads_run() -> None:
    [made] = certify(
        network_classifier(), torch.rand(1, 1, 2, 2), n_estimate=500, precision="bfloat16"
    )
    assert sum(count for _, count in made.votes) == 500


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (torch.rand(1, 3, 2, 2), ShapeError, r"expected an image of shape \(1, 2, 2\)"),
        (torch.rand(1, 2, 2), ShapeError, r"\(batch, channels, height, width\)"),
        (torch.full((1, 1, 2, 2), 2.0), DataError, "do not normalise"),
        (torch.full((1, 1, 2, 2), float("nan")), DataError, "values from nan"),
        (torch.zeros(1, 1, 2, 2, dtype=torch.uint8), DataError, "got dtype torch.uint8"),
    ],
)
def test_wrong_images_are_named(image: Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        certify(HalfSpaceClassifier(), image, n_estimate=10)


def test_wrong_arguments_are_named() -> None:
    classifier, image = HalfSpaceClassifier(), images_with_mean(0.5)
    with pytest.raises(ConfigurationError, match="alpha between 0 and 1, got 2"):
        certify(classifier, image, alpha=2.0)
    with pytest.raises(ConfigurationError, match="batch_size as a whole number >= 1"):
        certify(classifier, image, batch_size=0)
    with pytest.raises(ConfigurationError, match="seed as a whole number >= 0"):
        certify(classifier, image, seed=-1)
    with pytest.raises(ConfigurationError, match="n_estimate as a whole number >= 1, got 0"):
        certify(classifier, image, n_estimate=0)
    with pytest.raises(ConfigurationError, match="n_samples as a whole number >= 1, got 0"):
        predict(classifier, image, n_samples=0)
    with pytest.raises(ConfigurationError, match="unknown executor 'fast'"):
        certify(classifier, image, executor="fast")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="the rule has its own alpha"):
        certify(classifier, image, rule=FixedRule(), alpha=0.1)
    with pytest.raises(ShapeError, match="expected 1 indices and labels, got 2 and 1"):
        certify(classifier, image, indices=[0, 1])
