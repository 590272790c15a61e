"""How often is a certificate false? Real certifications of classifiers whose radii are known.

    python benchmarks/false_claims.py --output benchmarks/results/false-claims.json

The classifier is a half-space behind an encoder of Lipschitz constant 1.7, so that the distance of
an image to the boundary is known. Every certification runs the whole pipeline: encoder, lattice,
noise, head, votes, bound, deductions. A claim is false where the class is not that of the image or
the input radius is beyond its distance. Images lie at several distances; close to the smallest
radius that the votes can prove, claims are false most often. The rate of the worst distance is held
against alpha.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peers.provenance import provenance
from scipy.stats import binomtest
from torch import Tensor, nn

from latentsmooth.certification import Certifier, FixedRule, LabelledTensor, Rule, SequentialRule
from latentsmooth.certification.rules import RadiusAtLeast
from latentsmooth.smoothing import GRADES, Grade

SIDE, FACTOR, SIGMA = 4, 1.7, 0.5
MARGINS = (0.05, 0.3, 0.7, 1.2, 2.0)
"""Distances of the images to the boundary in the latent, in standard deviations."""


class HalfSpace(nn.Module):
    """Class 1 where the latent lies beyond a plane."""

    def __init__(self, normal: Tensor, offset: float) -> None:
        super().__init__()
        self.normal: Tensor
        self.register_buffer("normal", normal)
        self.offset = offset

    def forward(self, latents: Tensor) -> Tensor:
        margin = latents @ self.normal.to(latents.dtype) - self.offset
        return torch.stack([-margin, margin], dim=1)


class Classifier:
    """An orthogonal matrix times a factor, and a half-space."""

    def __init__(self) -> None:
        size = SIDE * SIDE
        generator = torch.Generator().manual_seed(0)
        basis = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64)).Q
        linear = nn.Linear(size, size, bias=False, dtype=torch.float64)
        linear.weight.data = FACTOR * basis
        normal = torch.full((size,), 1 / SIDE, dtype=torch.float64)
        grey = torch.full((size,), 0.5, dtype=torch.float64)
        self.encoder: nn.Module = nn.Sequential(nn.Flatten(), linear)
        self.head: nn.Module = HalfSpace(normal.float(), float(FACTOR * basis @ grey @ normal))
        self.latent_sigma = SIGMA
        self.class_names: tuple[str, ...] = ("below", "above")
        self.image_shape: tuple[int, int, int] = (1, SIDE, SIDE)
        self.towards = basis.T @ normal
        """Unit direction in which pixels reach the boundary first."""

    def image(self, margin: float) -> Tensor:
        """An image so many standard deviations from the boundary, in the latent, above it."""
        moved: Tensor = 0.5 + self.towards * margin * SIGMA / FACTOR
        return moved.reshape(self.image_shape)


def rules(alpha: float) -> dict[str, Rule]:
    """A fixed number of draws, and a sequential rule towards a radius."""
    goal = RadiusAtLeast(0.5 * SIGMA / FACTOR)
    return {
        "fixed": FixedRule(n_select=20, n_estimate=500, alpha=alpha),
        "sequential": SequentialRule(goal=goal, n_select=20, n_max=1000, alpha=alpha),
    }


def false_claims(
    classifier: Classifier, grade: Grade, rule: Rule, margin: float, runs: int, seed: int
) -> tuple[int, int]:
    """False claims, and claims, of so many certifications of one image."""
    image = classifier.image(margin)
    distance = margin * SIGMA / FACTOR
    certifier = Certifier(classifier, seed=seed, noise=grade, batch_size=4000)

    def items() -> Iterator[LabelledTensor]:
        for index in range(runs):
            yield LabelledTensor(image=image, index=index, label=1)

    false = claims = 0
    for made in certifier.certify(items(), rule):
        claims += not made.abstained
        false += made.prediction == 0 or made.input_radius > distance
    return false, claims


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100_000, help="certifications a grade")
    parser.add_argument("--alpha", type=float, default=0.01)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    classifier = Classifier()
    chosen = rules(options.alpha)
    each = math.ceil(options.runs / len(MARGINS) / len(chosen))
    rows: list[dict[str, Any]] = []
    for grade in GRADES:
        for name, rule in chosen.items():
            for margin in MARGINS:
                start = time.perf_counter()
                false, claims = false_claims(classifier, grade, rule, margin, each, seed=len(rows))
                p_value = binomtest(false, each, options.alpha, alternative="greater").pvalue
                rows.append(
                    {
                        "noise": grade,
                        "rule": name,
                        "margin_in_sigmas": margin,
                        "certifications": each,
                        "claims": claims,
                        "false_claims": false,
                        "rate": false / each,
                        "p_value_of_a_rate_above_alpha": float(p_value),
                        "seconds": round(time.perf_counter() - start, 1),
                    }
                )
                print(json.dumps(rows[-1]), flush=True)
    totals = {
        grade: {
            "certifications": sum(r["certifications"] for r in rows if r["noise"] == grade),
            "false_claims": sum(r["false_claims"] for r in rows if r["noise"] == grade),
            "largest_rate": max(r["rate"] for r in rows if r["noise"] == grade),
        }
        for grade in GRADES
    }
    result = {
        "alpha": options.alpha,
        "totals": totals,
        "smallest_p_value": min(r["p_value_of_a_rate_above_alpha"] for r in rows),
        "rows": rows,
        "made_by": provenance(),
    }
    text = json.dumps(result, indent=2) + "\n"
    if options.output:
        options.output.write_text(text)
    print(json.dumps({"totals": totals}))


if __name__ == "__main__":
    main()
