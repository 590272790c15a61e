"""Write benchmarks/results/soundness.md from the JSON files beside it.

python benchmarks/soundness_page.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")

PAGE = """# Are the certificates true, and what does it cost?

2 cores of an AMD EPYC (Zen 4), no GPU. The JSON files beside this page have commands, versions and every figure.

## Cost

Throughput at n = 10,000 of quarter-width networks with compiled bfloat16 heads of batch 256, against the version before
(float32 encoder, float32 noise on no lattice, nothing deducted), in turns, medians of {rounds} rounds:

| network | before, samples/s | now (float64 encoder, lattice, `fast`) | now / before | `exact` noise | exact / before |
| --- | --: | --: | --: | --: | --: |
{costs}

[soundness-cost.json](soundness-cost.json), `benchmarks/soundness_cost.py`.

## False claims

Real certifications of half-spaces, whose distance to every image is known, through the whole pipeline, at alpha
{alpha}: {fast[certifications]:,} with noise `fast`, {exact[certifications]:,} with `exact`, at five distances, by the
fixed and the sequential rule. The largest rate of false claims at any distance was {fast[largest_rate]} (`fast`) and
{exact[largest_rate]} (`exact`); in all there were {fast[false_claims]} and {exact[false_claims]}.
[false-claims.json](false-claims.json), `benchmarks/false_claims.py`.

## Attempts to falsify

{honest[attacked]} certificates with a radius of `lsrs-haar` (width 0.25, trained for sigma 0.25) on JPEG CIFAR-10 (not
CIFAR-10), n = 10,000, alpha = 0.001 ([log](attack-lsrs-haar.jsonl.gz)), 100 steps with 32 draws each: **{honest[flipped_inside]}
flips inside the certified radius**. Flips beyond it were found for {honest[flips_found]}; the nearest at
{honest[nearest_flip_in_radii]:.3f} certified radii, half of them within {honest[median_flip_in_radii]:.2f}. Of the same
certificates with every radius multiplied by 5, {control[flipped_inside]} ({share:.1f} %) were flipped.

![Nearest flip found against certified radius](attack-lsrs-haar.png)

[attack-lsrs-haar.json](attack-lsrs-haar.json), [attack-control-5.json](attack-control-5.json), `latentsmooth attack`.

## Kills

{train[kills]} kills of a training run and {certify[kills]} of a certification at random times, by SIGKILL, SIGTERM and
SIGINT, each followed by the same command: {compared} finished runs compared with undisturbed ones, {equal}, timings
aside. [kills.json](kills.json), `benchmarks/kills.py`.
"""  # noqa: E501

COST = (
    "| `{model}` | {samples_a_second_before:,} | {samples_a_second:,} | {now:.1f} % "
    "| {samples_a_second_exact:,} | {exact:.1f} % |"
)


def load(name: str) -> Any:
    """One result file."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def main() -> None:
    cost, claims = load("soundness-cost"), load("false-claims")
    honest, control = load("attack-lsrs-haar")["totals"], load("attack-control-5")["totals"]
    kills = load("kills")["tasks"]
    costs = [
        COST.format(
            now=100 * row["throughput_over_before"],
            exact=100 * row["throughput_exact_over_before"],
            **row,
        )
        for row in cost["rows"]
    ]
    page = PAGE.format(
        rounds=len(cost["rows"][0]["seconds"]["fast"]) - 1,
        costs="\n".join(costs),
        alpha=claims["alpha"],
        honest=honest,
        control=control,
        share=100 * control["flipped_inside"] / control["attacked"],
        compared=sum(task["runs_compared"] for task in kills.values()),
        equal="all equal" if all(task["all_equal"] for task in kills.values()) else "not all equal",
        **claims["totals"],
        **kills,
    )
    (RESULTS / "soundness.md").write_text(page)


if __name__ == "__main__":
    main()
