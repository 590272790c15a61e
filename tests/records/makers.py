"""Small synthetic manifests and certificates, and hypothesis strategies for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from scipy.special import ndtri

from latentsmooth.certification import Deductions, clopper_pearson_lower
from latentsmooth.certification.certificate import Certificate
from latentsmooth.records import Manifest

CLASSES = tuple("abcdefghij")

_MANIFEST = Manifest(
    artifact_hash="a1" * 32,
    model_name="runs/haar",
    model_build="lsrs-haar",
    data_source="fashion-mini",
    data_split="test",
    data_hash="d4" * 32,
    data_selection={"of": 1000, "limit": 0, "stride": 1},
    data_notes=("left out: 1 × no image (notes.txt)",),
    class_names=CLASSES,
    latent_sigma=0.25,
    n_select=100,
    n_estimate=10_000,
    alpha=0.001,
    rule={"rule": "fixed", "n_select": 100, "n_estimate": 10_000, "alpha": 0.001},
    seed=0,
    noise="philox4x32-10/box-muller-1/lattice",
    lattice_step=2.0**-18,
    lipschitz_bound=1.0000006,
    deductions=Deductions(encoder_rounding=1e-9, lattice_rounding=1e-4, total_variation=0.0),
    rounding_assumed=(),
    encoder_precision="float64",
    folding="",
    precision="float32",
    executor="eager",
    batch_size=256,
    device_type="cpu",
    versions={"latentsmooth": "0.1.0", "torch": "2.13.0", "python": "3.11.7"},
    machine={"platform": "Linux", "processor": "test", "cores": 2},
    command="latentsmooth certify runs/haar fashion-mini",
    created="2025-01-01T00:00:00+00:00",
)
_SLACK = _MANIFEST.deductions.latent_slack


def manifest(**changes: Any) -> Manifest:
    """The manifest with changes; its rule follows them unless it is one of them."""
    rule = dict(_MANIFEST.rule)
    rule |= {name: changes[name] for name in ("n_select", "n_estimate", "alpha") if name in changes}
    return replace(_MANIFEST, **{"rule": rule} | changes)


def certificate(index: int = 0, **changes: Any) -> Certificate:
    plain = Certificate(
        index=index,
        label=3,
        prediction=3,
        candidate=3,
        p_lower=0.9,
        latent_radius=0.32,
        input_radius=0.3,
        votes=((3, 9_500), (1, 500)),
        n_select=100,
        n_used=10_100,
        alpha=0.001,
        seconds=1.5,
        name="dog/1.png",
    )
    return replace(plain, **changes)


def abstention(index: int = 0, **changes: Any) -> Certificate:
    return certificate(
        index, prediction=None, p_lower=0.4, latent_radius=0.0, input_radius=0.0, **changes
    )


@st.composite
def certificates(draw: st.DrawFn, index: int) -> Certificate:
    votes = draw(st.integers(5_200, 10_000))
    most = clopper_pearson_lower(votes, 10_000, _MANIFEST.alpha)
    p_lower = draw(st.floats(0.5, most, exclude_min=True))
    latent_radius = draw(st.floats(1e-9, 1.0)) * _MANIFEST.latent_sigma * float(ndtri(p_lower))
    candidate = draw(st.integers(0, 9))
    common: dict[str, Any] = {
        "label": draw(st.none() | st.integers(0, 9)),
        "candidate": candidate,
        "votes": ((candidate, votes),),
        "seconds": draw(st.floats(0.0, 1e7)),
    }
    if draw(st.booleans()):
        return abstention(index, **common)
    return certificate(
        index,
        prediction=candidate,
        p_lower=p_lower,
        latent_radius=latent_radius,
        input_radius=max(0.0, latent_radius - _SLACK) / _MANIFEST.lipschitz_bound,
        **common,
    )


def certificate_lists(max_size: int = 5) -> st.SearchStrategy[list[Certificate]]:
    indices = st.lists(st.integers(0, 10**6), unique=True, max_size=max_size)
    return indices.flatmap(lambda chosen: st.tuples(*map(certificates, chosen)).map(list))
