"""Keyed noise: its definition, bit for bit on every implementation, and that it is Gaussian."""

from __future__ import annotations

import importlib.util
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from latentsmooth.errors import ConfigurationError, ShapeError
from latentsmooth.smoothing.noise import (
    GRADES,
    LARGEST_NORMAL,
    Grade,
    NoiseFiller,
    Phase,
    choice,
    native,
    noise_filler,
    noise_key,
)
from latentsmooth.smoothing.noise.reference import box_muller, philox
from tests.seeds import shifted

CPU = torch.device("cpu")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SIZES = (1, 3, 63, 64, 65, 768, 3072, 8192 + 70)
REFERENCE = noise_filler(CPU, implementation="reference")
SIGMA, STEP = 0.37, 2.0**-16


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new cache folder, and no memory of what was built or warned of before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(choice, "_agreed", set())
    choice._warn_once.cache_clear()
    native._load.cache_clear()
    return tmp_path / "latentsmooth"


def random_plan(rows: int, slots: int) -> Tensor:
    generator = torch.Generator().manual_seed(shifted(rows))
    plan = torch.randint(-(2**63), 2**63 - 1, (rows, 4), generator=generator)
    plan[:, 0] %= slots + 1
    plan[:, 0] -= 1  # some rows are padding
    plan[:, 2] %= 3
    plan[:, 3] %= 2**32
    return plan


def assert_same_bits(filler: NoiseFiller, size: int, dtype: torch.dtype, rows: int = 9) -> None:
    latents = torch.randn(3, size, generator=torch.Generator().manual_seed(shifted(size)))
    latents = latents.div(STEP).round() * STEP
    plan = random_plan(rows, 3)
    reference = noise_filler(CPU, implementation="reference", grade=filler.grade)
    for step in (STEP, 0.0) if filler.grade == "fast" else (STEP,):
        found, wanted = (
            one.fill(
                torch.full((rows, size), 7.0, dtype=dtype),
                latents,
                plan,
                latent_sigma=SIGMA,
                step=step,
            )
            for one in (filler, reference)
        )
        assert torch.equal(found, wanted)


# ------------------------------------------------ the definition


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        # From kat_vectors of Random123 by the authors of Philox.
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (
            [0xFFFFFFFF] * 4,
            [0xFFFFFFFF] * 2,
            [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
        ),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_its_published_words(
    counter: list[int], key: list[int], words: list[int]
) -> None:
    c0, c1, c2, c3 = (torch.tensor(word) for word in counter)
    k0, k1 = (torch.tensor(word) for word in key)
    assert [int(word) for word in philox((c0, c1, c2, c3), (k0, k1))] == words


def signed(word: np.ndarray, bits: int) -> np.ndarray:
    half = 1 << (bits - 1)
    return ((word & (2 * half - 1)) ^ half) - half


def exact_pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Box and Muller's formula on words, in double precision."""
    u = (signed(a, 32) + 0.5) / 2**32
    minus_log = np.where(u < 0, -np.log1p(np.minimum(u, 0)), -np.log(np.maximum(u, 2.0**-40)))
    angle = np.pi / 4 * (4 * signed(b, 30) + 2) / 2**31
    cosine = np.where(b >> 31, -np.cos(angle), np.cos(angle))
    swapped = (b >> 30 & 1) == 1
    radius = np.sqrt(2 * minus_log)
    return (
        radius * np.where(swapped, np.sin(angle), cosine),
        radius * np.where(swapped, cosine, np.sin(angle)),
    )


@pytest.mark.parametrize("bits", [4, 12, 20, 32])
@pytest.mark.parametrize("flip", [0, 0xFFFFFFFF])
def test_every_normal_is_right_to_4e_7_of_its_size(bits: int, flip: int) -> None:
    """Also next to u = 0, u = 1 and the angle 0, where few words would come by chance."""
    generator = np.random.default_rng(shifted(bits))
    for few in (0, 1):
        words = generator.integers(0, 2**32, (2, 1 << 17))
        words[few] = (words[few] % 2**bits) ^ flip
        found = box_muller(torch.from_numpy(words[0]), torch.from_numpy(words[1]))
        for normal, exact in zip(found, exact_pair(*words), strict=True):
            error = np.abs(normal.numpy().astype(np.float64) / exact - 1)
            assert float(error.max()) < 4e-7


def test_the_largest_normal_is_what_is_said() -> None:
    first, second = box_muller(torch.zeros(3, dtype=torch.int64), torch.tensor([0, 1 << 31, 1]))
    assert first.tolist() == [LARGEST_NORMAL, -LARGEST_NORMAL, LARGEST_NORMAL]
    assert 0 < float(second.abs().max()) < 1e-7
    assert abs(LARGEST_NORMAL / math.sqrt(66 * math.log(2)) - 1) < 1e-7


def test_elements_come_from_the_blocks_and_words_that_the_definition_names() -> None:
    key, draw, size = noise_key(seed=3, index=5), 2**32 - 2, 200
    plan = torch.tensor([[0, key, Phase.PREDICT, draw]])
    row = REFERENCE.fill(torch.empty(1, size), torch.zeros(1, size), plan, latent_sigma=1.0)[0]
    for element in (0, 1, 15, 16, 40, 63, 64, 100, 127, 128, 191, 199):
        group, within = divmod(element, 64)
        word, lane = divmod(within, 16)
        counter = tuple(torch.tensor(c) for c in (16 * group + lane, draw, 2, 0))
        words = philox(counter, (torch.tensor(key % 2**32), torch.tensor(key >> 32 & 0xFFFFFFFF)))  # type: ignore[arg-type]
        pair = [np.array(int(words[word // 2 * 2 + i])) for i in (0, 1)]
        assert float(row[element]) == pytest.approx(float(exact_pair(*pair)[word % 2]), rel=4e-7)


def test_keys_are_signed_64_bit_numbers_that_tell_images_apart() -> None:
    keys = {noise_key(seed=seed, index=index) for seed in range(40) for index in range(40)}
    assert len(keys) == 1600
    assert min(keys) < 0 < max(keys)
    assert torch.tensor(list(keys)).dtype == torch.int64
    assert noise_key(seed=1, index=11) != noise_key(seed=11, index=1)
    with pytest.raises(ConfigurationError, match="got -1 and 0"):
        noise_key(seed=-1, index=0)


# ------------------------------------------------ the same bits everywhere


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("grade", GRADES)
def test_native_noise_has_the_bits_of_the_reference(
    grade: Grade, size: int, dtype: torch.dtype
) -> None:
    assert_same_bits(noise_filler(CPU, implementation="native", grade=grade), size, dtype)


@pytest.mark.parametrize("flags", ["-mno-avx512f", "-DLATENTSMOOTH_GENERIC"])
def test_other_instruction_sets_give_the_same_bits(
    flags: str, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if flags.startswith("-m") and "avx512f" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("there is nothing narrower to choose")
    monkeypatch.setenv("CXX", f"g++ {flags}")
    filler = noise_filler(CPU, implementation="native")
    exact = noise_filler(CPU, implementation="native", grade="exact")
    for dtype in DTYPES:
        assert_same_bits(filler, 200, dtype)
        assert_same_bits(exact, 200, dtype)
        assert_rounds_as_torch(filler, dtype)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_the_number_of_threads_does_not_matter(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(count)
    for grade in GRADES:
        filler = noise_filler(CPU, implementation="native", grade=grade)
        assert isinstance(filler, native.NativeFiller)
        assert_same_bits(filler, 8192 + 70, torch.bfloat16, rows=20)
        assert_same_bits(filler, 5, torch.float32, rows=5000)
        # As where torch has another OpenMP library.
        monkeypatch.setattr(filler._native, "_parallel", None)
        assert_same_bits(filler, 8192 + 70, torch.bfloat16, rows=20)


@pytest.mark.parametrize("implementation", ["native", "reference"])
def test_a_row_depends_on_nothing_but_its_plan_and_latent(implementation: str) -> None:
    filler = noise_filler(CPU, implementation=implementation)  # type: ignore[arg-type]
    latents, plan = torch.randn(4, 100), random_plan(50, 4)
    rows = filler.fill(torch.empty(50, 100), latents, plan, latent_sigma=0.5)
    for row in (0, 17, 49):
        alone = filler.fill(
            torch.empty(1, 100), latents, plan[row : row + 1].clone(), latent_sigma=0.5
        )
        assert torch.equal(alone[0], rows[row])
    assert torch.equal(rows[plan[:, 0] == -1], torch.zeros(int((plan[:, 0] == -1).sum()), 100))


def test_sigma_zero_and_shorter_latents_change_no_draw() -> None:
    filler = noise_filler(CPU)
    latents, plan = torch.randn(1, 130), torch.tensor([[0, 99, 1, 4]])
    long = filler.fill(torch.empty(1, 130), latents, plan, latent_sigma=0.5)
    short = filler.fill(torch.empty(1, 70), latents[:, :70].contiguous(), plan, latent_sigma=0.5)
    assert torch.equal(long[:, :70], short)
    assert torch.equal(filler.fill(long, latents, plan, latent_sigma=0.0), latents)


def assert_rounds_as_torch(filler: NoiseFiller, dtype: torch.dtype) -> None:
    """With no noise, what is left is the rounding: of subnormals, ties, infinity and NaN too."""
    words = np.random.default_rng(shifted(0)).integers(0, 2**32, 40_000, dtype=np.uint32)
    words[:20_000] &= 0xFFFFE000  # ties, where float16 keeps 13 bits less
    words[20_000:30_000] &= 0xFFFF8000  # and where bfloat16 keeps 16 less
    words[::7] &= 0x80FFFFFF  # next to the subnormal ones
    values = np.concatenate(
        [words.view(np.float32), np.array([65519, 65520, -65536, 6e-8], np.float32)]
    )
    latents = torch.from_numpy(values)[None]
    found = filler.fill(
        torch.empty(1, len(values), dtype=dtype), latents, torch.tensor([[0] * 4]), latent_sigma=0
    )
    assert torch.equal(found.isnan(), latents.isnan())
    assert torch.equal(found.nan_to_num(nan=7.0), latents.to(dtype).nan_to_num(nan=7.0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_native_rounding_is_torchs(dtype: torch.dtype) -> None:
    assert_rounds_as_torch(noise_filler(CPU, implementation="native"), dtype)


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_triton_noise_has_the_bits_of_the_reference() -> None:
    """In Triton's interpreter, which has to be chosen before the kernels are defined."""
    script = (
        "import torch, tests.smoothing.test_noise as here\n"
        "filler = here.noise_filler(here.CPU, implementation='triton')\n"
        "assert filler.name == 'triton'\n"
        "for dtype in here.DTYPES:\n"
        "    for size in (1, 63, 65, 768, 3072):\n"
        "        here.assert_same_bits(filler, size, dtype, rows=4)\n"
        "    here.assert_rounds_as_torch(filler, dtype)\n"
    )
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=Path(__file__).parents[2],
        check=True,
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("dtype", DTYPES)
def test_noise_on_cuda_has_the_bits_of_the_reference(dtype: torch.dtype) -> None:
    filler = noise_filler(torch.device("cuda"))
    latents, plan = torch.randn(3, 3072), random_plan(40, 3)
    out = torch.empty(40, 3072, dtype=dtype)
    wanted = REFERENCE.fill(out.clone(), latents, plan, latent_sigma=SIGMA, step=STEP)
    found = filler.fill(out.cuda(), latents.cuda(), plan, latent_sigma=SIGMA, step=STEP)
    assert torch.equal(found.cpu(), wanted)
    here, exact = (noise_filler(torch.device(name), grade="exact") for name in ("cpu", "cuda"))
    wanted = here.fill(out, latents, plan, latent_sigma=SIGMA, step=STEP)
    found = exact.fill(out.cuda(), latents.cuda(), plan, latent_sigma=SIGMA, step=STEP)
    assert torch.equal(found.cpu(), wanted)


# ------------------------------------------------ building, and what happens without


def test_without_a_compiler_one_warning_and_the_reference(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "/bin/false")
    with pytest.warns(UserWarning, match="no native noise") as caught:
        assert noise_filler(CPU).name == "reference"
    assert len(caught) == 1
    assert noise_filler(CPU).name == "reference"  # a second warning would be an error here
    with pytest.raises(ConfigurationError, match="/bin/false"):
        noise_filler(CPU, implementation="native")
    assert not own_cache.exists()


def test_a_library_with_other_bits_is_refused(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = native.SOURCE.read_text().replace("+ 0x1.ffffd6p-1f", "+ 0x1.ffffd4p-1f")
    monkeypatch.setattr(native, "SOURCE", own_cache.parent / "broken.cpp")
    native.SOURCE.write_text(broken)
    with pytest.raises(ConfigurationError, match="not bit for bit"):
        noise_filler(CPU, implementation="native")


def test_the_library_is_built_once_and_for_this_compiler(own_cache: Path) -> None:
    noise_filler(CPU, implementation="native")
    (library,) = own_cache.iterdir()
    before = library.stat().st_mtime_ns
    native._load.cache_clear()
    noise_filler(CPU, implementation="native")
    assert [library.stat().st_mtime_ns] == [file.stat().st_mtime_ns for file in own_cache.iterdir()]
    assert before == library.stat().st_mtime_ns


def test_an_unwritable_cache_does_not_matter(own_cache: Path) -> None:
    own_cache.write_text("a file where the folder should be")
    assert noise_filler(CPU).name == "native"


# ------------------------------------------------ what is refused


def test_what_cannot_be_drawn_is_named() -> None:
    latents, out = torch.zeros(2, 8), torch.empty(2, 8)
    good = torch.tensor([[0, 1, 0, 0], [-1, 1, 0, -5]])  # padding is not drawn
    for filler in (noise_filler(CPU), REFERENCE):
        filler.fill(out, latents, good, latent_sigma=1.0)
        for column, value in ((0, 2), (0, -2), (2, -1), (2, 2**32), (3, 2**32), (3, -1)):
            plan = good.clone()
            plan[1] = plan[0]
            plan[1, column] = value
            with pytest.raises(ConfigurationError, match=rf"row 1 of .*{value}"):
                filler.fill(out, latents, plan, latent_sigma=1.0)
    for sigma in (-1.0, math.nan, math.inf):
        with pytest.raises(ConfigurationError, match="latent_sigma"):
            REFERENCE.fill(out, latents, good, latent_sigma=sigma)
    for step, message in ((0.3, "power of two"), (-0.5, "power of two"), (2.0**-40, "at least")):
        with pytest.raises(ConfigurationError, match=message):
            REFERENCE.fill(out, latents, good, latent_sigma=1.0, step=step)
    exact = noise_filler(CPU, grade="exact")
    for step, message in ((0.0, "wants the step"), (0.5, r"sigma / step")):
        with pytest.raises(ConfigurationError, match=message):
            exact.fill(out, latents, good, latent_sigma=1.0, step=step)


@pytest.mark.parametrize(
    ("out", "latents", "plan", "message"),
    [
        (torch.empty(2, 8).double(), torch.empty(1, 8), torch.zeros(2, 4).long(), "float64"),
        (torch.empty(8, 2).t(), torch.empty(1, 8), torch.zeros(2, 4).long(), "not contiguous"),
        (torch.empty(2, 8), torch.empty(1, 7), torch.zeros(2, 4).long(), r"got \(1, 7\)"),
        (torch.empty(2, 8), torch.empty(1, 8).half(), torch.zeros(2, 4).long(), "float16"),
        (torch.empty(2, 8), torch.empty(1, 8), torch.zeros(3, 4).long(), r"got \(3, 4\)"),
        (torch.empty(2, 8), torch.empty(1, 8), torch.zeros(2, 4).int(), "int32"),
        (torch.empty(2, 8), torch.empty(1, 8, device="meta"), torch.zeros(2, 4).long(), "meta"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    out: Tensor, latents: Tensor, plan: Tensor, message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        REFERENCE.fill(out, latents, plan, latent_sigma=1.0)


def test_nothing_to_fill_is_no_error() -> None:
    for rows, size in ((0, 8), (3, 0)):
        out = torch.empty(rows, size)
        plan = torch.zeros(rows, 4, dtype=torch.int64)
        assert noise_filler(CPU).fill(out, torch.zeros(1, size), plan, latent_sigma=1.0) is out


def test_unknown_and_misplaced_implementations_are_named() -> None:
    with pytest.raises(ConfigurationError, match="'fast'"):
        noise_filler(CPU, implementation="fast")  # type: ignore[arg-type]
    if "TRITON_INTERPRET" not in os.environ:
        with pytest.raises(ConfigurationError, match="no triton noise on cpu"):
            noise_filler(CPU, implementation="triton")
    with pytest.raises(ConfigurationError, match="not on cuda"):
        noise_filler(torch.device("cuda"), implementation="native")
    with pytest.raises(ConfigurationError, match="'best'"):
        noise_filler(CPU, grade="best")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="no triton noise of grade exact"):
        noise_filler(CPU, implementation="triton", grade="exact")
