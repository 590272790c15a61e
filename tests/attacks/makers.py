"""A small attack's result, made by hand."""

from __future__ import annotations

from typing import Any

from latentsmooth.attacks import Answer, AttackedCertificate, AttackReport


def answer(distance: float, prediction: int | None = 1) -> Answer:
    return Answer(
        input_distance=distance,
        prediction=prediction,
        p_lower=0.6,
        votes=((1, 700), (0, 300)),
        n_used=1100,
    )


def image(index: int, *, flip: float | None, radius: float = 0.2, times: float = 1.0) -> Any:
    return AttackedCertificate(
        index=index,
        label=0,
        prediction=0,
        input_radius=radius,
        attacked_radius=radius * times,
        inside=answer(0.999 * radius * times, None),
        flip=None if flip is None else answer(flip),
        answers=9,
        abstentions=4,
        seconds=1.25,
    )


def report(*images: AttackedCertificate, name: str = "haar", control: float = 1.0) -> AttackReport:
    return AttackReport(
        log={"name": name, "alpha": 0.001},
        settings={"steps": 5, "control": control},
        program={"seed": 1},
        versions={"attack": {"torch": "2.13.0"}, "log": {"torch": "2.4.0"}},
        machine={"cores": 2},
        command="latentsmooth attack haar.jsonl",
        images=images,
        planned=7,
    )
