"""Train, certify and compare a latent space and an input space classifier of one family."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from latentsmooth.certification import Certificate, FixedRule
from latentsmooth.certification.rules import (
    Setting,
    check_rule_certifies_anything,
    largest_input_radius,
)
from latentsmooth.errors import ConfigurationError
from latentsmooth.files import write_whole
from latentsmooth.images import ImageSet, load_images
from latentsmooth.machine import Precision
from latentsmooth.models import LatentSmoothedClassifier, build
from latentsmooth.records import certify_to_log
from latentsmooth.records.rounding import floor_text
from latentsmooth.records.run import OnCertificate
from latentsmooth.reporting import (
    LogSummary,
    html_page,
    read_logs,
    render,
    save_curves,
    summarize,
)
from latentsmooth.training import TrainingSettings, train

__all__ = ["DemoResult", "DemoSettings", "run_demo"]

FAMILY = {"LSRS": "lsrs-lenet", "ISRS": "lenet"}
DEMO_RADII = (0.0, 0.25, 0.5, 0.75)
DATA = "fashion-mini"

Progress = Callable[[str], AbstractContextManager[OnCertificate]]


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """What the demonstration does; both classifiers get the same budget.

    Args:
        epochs: passes over the 5,000 training images.
        certify_images: test images certified with each classifier, spread over the test split.
        n_estimate: noisy samples that bound each certificate's probability.
        alpha: probability that one certificate is wrong.
        latent_sigma: standard deviation of the noise (in the pixels, for ISRS).
        width: multiplier of both networks' channels.
        learning_rate: the schedule's peak.
        seed: of weights, training and noise.
        precision: arithmetic of the heads.
    """

    epochs: int = 20
    certify_images: int = 100
    n_estimate: int = 10_000
    alpha: float = 0.001
    latent_sigma: float = 0.25
    width: float = 1.0
    learning_rate: float = 3e-3
    seed: int = 0
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        check_rule_certifies_anything(self.rule)

    @property
    def rule(self) -> FixedRule:
        """By which both classifiers are certified."""
        return FixedRule(n_estimate=self.n_estimate, alpha=self.alpha)


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demonstration found and wrote.

    Attributes:
        summaries: LSRS first, then ISRS.
        speed_ratio: seconds a certificate of ISRS over that of LSRS.
        measured_now: whether this call made all certificates, rather than finding some in logs.
        table: both side by side, for a terminal.
        files: what was written, by purpose.
    """

    summaries: tuple[LogSummary, ...]
    speed_ratio: float
    measured_now: bool
    table: str
    files: dict[str, Path]


def run_demo(
    settings: DemoSettings,
    output: str | Path,
    *,
    say: Callable[[str], None] = print,
    progress: Progress | None = None,
    table_width: int = 100,
    command: str = "",
) -> DemoResult:
    """Train an LSRS and an ISRS classifier, certify with both, and compare.

    Args:
        settings: the budget.
        output: folder for classifiers, logs, curve and page.
        say: told what happens.
        progress: makes the bar of one certification; ``None`` shows none.
        table_width: characters a line of the table holds.
        command: the command line, for the manifests.

    Returns:
        The comparison and where it was written.
    """
    folder = Path(output)
    training, test = load_images(DATA, split="train"), load_images(DATA, split="test")
    if not 1 <= settings.certify_images <= len(test):
        raise ConfigurationError(
            f"wanted 1 to {len(test)} images to certify, got {settings.certify_images}"
        )
    chosen = test.subset(stride=len(test) // settings.certify_images, limit=settings.certify_images)
    _tell_reach(settings, say)
    logs, seconds, made_now = [], [], True
    for title, name in FAMILY.items():
        model = _trained(name, settings, training, test, folder / name, say, progress is not None)
        log = folder / f"{title.lower()}.jsonl"
        made_now = made_now and not log.exists()
        say(f"Certifying {len(chosen)} test images with {title} ({name})")
        bar = progress(title) if progress is not None else nullcontext(None)
        with bar as on_certificate:
            certificates = certify_to_log(
                model,
                chosen,
                log,
                rule=settings.rule,
                seed=settings.seed,
                precision=settings.precision,
                model_name=name,
                command=command,
                on_certificate=on_certificate,
            )
        logs.append(log)
        seconds.append(_seconds_an_image(certificates))
    return _compare(folder, logs, seconds[1] / seconds[0], made_now, table_width)


def _tell_reach(settings: DemoSettings, say: Callable[[str], None]) -> None:
    """Say, before anything is trained, at which radii neither classifier can certify an image.

    Both encoders are 1-Lipschitz, and what rounding deducts only makes radii smaller.
    """
    setting = Setting(latent_sigma=settings.latent_sigma, lipschitz_bound=1.0, num_classes=10)
    most = largest_input_radius(settings.rule, setting)
    beyond = ", ".join(f"{radius:g}" for radius in DEMO_RADII if radius > most)
    if beyond:
        say(
            f"No image can be certified at radius {beyond}: {settings.n_estimate:,} samples prove "
            f"at most {floor_text(most, 3)} with this noise"
        )


def _trained(
    name: str,
    settings: DemoSettings,
    training: ImageSet,
    test: ImageSet,
    folder: Path,
    say: Callable[[str], None],
    progress: bool,
) -> LatentSmoothedClassifier:
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = build(
            name,
            num_classes=len(training.class_names),
            image_shape=training.image_shape,
            latent_sigma=settings.latent_sigma,
            width=settings.width,
            class_names=training.class_names,
        )
    trained = (folder / "summary.json").exists()
    verb = "Taking up, as trained before," if trained else "Training"
    say(f"{verb} {name}: {settings.epochs} epochs on {len(training)} images")
    summary = train(
        model,
        training,
        settings=TrainingSettings(
            epochs=settings.epochs,
            batch_size=64,
            learning_rate=settings.learning_rate,
            crop_padding=2,
            seed=settings.seed,
            validate_every=settings.epochs,
            validate_images=len(test),
            checkpoint_every=1000,
        ),
        output=folder,
        validation=test,
        progress=progress,
    )
    model.training_summary = summary.to_json()
    model.save_pretrained(folder)
    return model.cpu()


def _seconds_an_image(certificates: list[Certificate]) -> float:
    return sum(certificate.seconds for certificate in certificates) / len(certificates)


def _compare(
    folder: Path, logs: list[Path], ratio: float, made_now: bool, width: int
) -> DemoResult:
    views = read_logs(logs)
    summaries = [summarize(view, input_radii=DEMO_RADII) for view in views]
    files = {
        "LSRS classifier": folder / FAMILY["LSRS"],
        "ISRS classifier": folder / FAMILY["ISRS"],
        "LSRS certificates": logs[0],
        "ISRS certificates": logs[1],
        "curve": folder / "certified-accuracy.png",
        "page": folder / "report.html",
    }
    save_curves(views, files["curve"])
    intro = (
        "LSRS runs an orthogonal encoder once an image and adds the noise to its latent; ISRS adds "
        "it to the pixels and runs the whole network on every copy. Both networks are LeNets, "
        "trained on the same images with the same budget.\n\n"
        f"A certificate took ISRS {ratio:.1f} times as long as LSRS."
    )
    page = html_page(summaries, views, title="latentsmooth: LSRS and ISRS", intro=intro)
    write_whole(files["page"], page)
    return DemoResult(
        summaries=tuple(summaries),
        speed_ratio=ratio,
        measured_now=made_now,
        table=render(summaries, "table", width=width),
        files=files,
    )
