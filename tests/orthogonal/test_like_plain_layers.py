"""Every layer of the table behaves as ``nn.Conv2d`` does in a program around it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from latentsmooth.orthogonal import (
    ChannelNormalize,
    OrthogonalConv2d,
    Parallel,
    batched_weights,
    freeze,
)
from latentsmooth.orthogonal.cached import BuiltWeight
from tests.closeness import assert_near
from tests.orthogonal.convolutions import CONVOLUTIONS
from tests.orthogonal.layers import LAYERS, POINTWISE, RESIDUALS, Row
from tests.seeds import shifted

LENGTHENING = [
    Row("parallel", lambda: Parallel(nn.Identity(), OrthogonalConv2d(3, 4, 3)), (3, 4, 3)),
    Row("normalize", lambda: ChannelNormalize(0.5, [0.2, 0.3, 0.4]), (3, 4, 3)),
]
ROWS = [*LAYERS, *POINTWISE, *RESIDUALS, *CONVOLUTIONS, *LENGTHENING]
every_layer = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
# Sums of up to 200 products, behind the solution of a small system.
STEPS = 256
trainable = pytest.mark.parametrize(
    "row", [row for row in ROWS if list(row.make().parameters())], ids=lambda row: row.name
)
# A compiler sees the same program as for another row: only sizes or starting points differ.
SAME_PROGRAM = {
    *("conv3-square", "conv-even", "conv-rectangular", "conv-odd-narrowing", "conv-stride-narrow"),
    *("conv-stride-equal", "conv-many-groups", "conv-wrapping", "conv-groups-stride"),
    *("conv-zeros-even", "conv-identity", "conv-permutation", "conv-torus", "linear-square"),
}


def compiled_here(row: Row) -> bool:
    """Whether training changes its program; the others are compiled in `test_pointwise`."""
    parts = row.make().modules()
    return row.name not in SAME_PROGRAM and any(isinstance(part, BuiltWeight) for part in parts)


built = pytest.mark.parametrize(
    "row", [row for row in ROWS if compiled_here(row)], ids=lambda row: row.name
)
with_images = pytest.mark.parametrize(
    "row", [row for row in ROWS if len(row.shape) == 3], ids=lambda row: row.name
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(shifted(0))


def step(layer: nn.Module, row: Row, *, rate: float = 0.1) -> None:
    layer.train()
    layer.zero_grad()
    out = layer(torch.randn(3, *row.shape))
    (out * torch.randn_like(out)).sum().backward()
    with torch.no_grad():
        for parameter in layer.parameters():
            if parameter.grad is not None:
                parameter.sub_(rate * parameter.grad)


def uneven(out: Tensor) -> Tensor:
    """A loss with gradients: isometries keep the plain sum of squares, so its are rounding only."""
    weights = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).reshape(out.shape)
    return (out.square() * weights).sum()


def answers(layer: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = layer.eval()(images)
    return result


def fresh(layer: nn.Module, row: Row) -> nn.Module:
    """Another layer with the same state: what the first must agree with."""
    made = row.make()
    made.load_state_dict(layer.state_dict())
    return made


@every_layer
def test_deepcopy_before_and_after_training(row: Row) -> None:
    layer = row.make()
    images = torch.randn(2, *row.shape)
    before = copy.deepcopy(layer)
    assert torch.equal(answers(before, images), answers(layer, images))
    layer.train()(images)
    step_if_trainable(layer, row)
    after = copy.deepcopy(layer)
    assert torch.equal(answers(after, images), answers(layer, images))
    changed = answers(after, images)
    step_if_trainable(layer, row)
    assert torch.equal(answers(after, images), changed)
    assert torch.equal(answers(before, images), answers(copy.deepcopy(before), images))


def step_if_trainable(layer: nn.Module, row: Row) -> None:
    if list(layer.parameters()):
        step(layer, row)


@trainable
def test_loading_into_a_used_layer_leaves_nothing_stale(row: Row) -> None:
    source, used = row.make(), row.make()
    images = torch.randn(2, *row.shape)
    step(source, row)
    old = answers(used, images)
    used.load_state_dict(source.state_dict())
    assert torch.equal(answers(used, images), answers(source, images))
    assert not torch.equal(answers(used, images), old)


@trainable
def test_evaluation_right_after_training_uses_the_last_weights(row: Row) -> None:
    layer = row.make()
    images = torch.randn(2, *row.shape)
    answers(layer, images)
    step(layer, row)
    # Without a switch of the mode in between, too.
    with torch.no_grad():
        layer(images)
    for module in layer.modules():
        module.training = False
    assert torch.equal(answers(layer, images), answers(fresh(layer, row), images))


@trainable
def test_writes_that_torch_does_not_count_are_noticed(row: Row) -> None:
    layer = row.make()
    images = torch.randn(2, *row.shape)
    answers(layer, images)
    for parameter in layer.parameters():
        parameter.data.add_(torch.randn_like(parameter))
    assert torch.equal(answers(layer, images), answers(fresh(layer, row), images))


@every_layer
def test_two_backward_passes(row: Row) -> None:
    layer = row.make().train()
    images = torch.randn(2, *row.shape, requires_grad=True)
    gradients = []
    for _ in range(2):
        images.grad = None
        layer.zero_grad()
        torch.autograd.backward(uneven(layer(images)))
        gradients.append(
            [g.grad.clone() for g in (images, *layer.parameters()) if g.grad is not None]
        )
    for first, second in zip(*gradients, strict=True):
        assert_near(first, second, steps=STEPS)
    loss = uneven(layer(images))
    torch.autograd.backward(loss, retain_graph=True)
    torch.autograd.backward(loss)


@every_layer
def test_input_gradients_twice_in_evaluation(row: Row) -> None:
    layer = row.make().eval()
    images = torch.randn(2, *row.shape, requires_grad=True)
    first, second = (torch.autograd.grad(uneven(layer(images)), images)[0] for _ in range(2))
    assert torch.equal(first, second)
    layer.requires_grad_(False)
    frozen = torch.autograd.grad(uneven(layer(images)), images)[0]
    assert_near(frozen, first, steps=STEPS)


@every_layer
def test_gradients_of_gradients(row: Row) -> None:
    layer = row.make().double()
    images = torch.randn(1, *row.shape, dtype=torch.float64, requires_grad=True)
    out = layer(images)
    (first,) = torch.autograd.grad(out.square().sum(), images, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), images, materialize_grads=True)
    shifted = images.detach() + 1e-5 * torch.randn_like(images)
    shifted.requires_grad_()
    (elsewhere,) = torch.autograd.grad(layer(shifted).square().sum(), shifted)
    change = elsewhere.square().sum() - first.detach().square().sum()
    predicted = (second * (shifted - images)).sum()
    error = float((change - predicted).detach().abs())
    assert error < 1e-6 * max(1.0, float(first.detach().square().sum()))


@every_layer
def test_evaluation_is_deterministic_with_and_without_gradients(row: Row) -> None:
    layer = row.make().eval()
    images = torch.randn(2, *row.shape)
    first = layer(images).detach()
    assert torch.equal(layer(images).detach(), first)
    with torch.no_grad():
        assert torch.equal(layer(images), layer(images))
    if isinstance(layer, BuiltWeight):
        with_gradient = layer.weight.detach()
        with torch.no_grad():
            assert torch.equal(layer.weight, with_gradient)


@trainable
def test_inference_mode_and_then_training(row: Row) -> None:
    layer = row.make().eval()
    with torch.inference_mode():
        layer(torch.randn(2, *row.shape))
    step(layer, row)
    layer.eval()(torch.randn(2, *row.shape)).sum().backward()


@with_images
def test_another_resolution_after_the_first(row: Row) -> None:
    layer = row.make()
    channels, height, width = row.shape
    for sides in [(height, width), (2 * height, width), (height, 3 * width)]:
        for mode in (True, False):
            layer.train(mode)
            images = torch.randn(2, channels, *sides)
            assert torch.equal(answers(layer, images), answers(copy.deepcopy(layer), images))


@every_layer
def test_double_half_and_to(row: Row) -> None:
    layer = row.make()
    images = torch.randn(2, *row.shape)
    exact = answers(copy.deepcopy(layer).double(), images.double())
    assert exact.dtype == torch.float64
    single = answers(layer, images)
    assert_near(single, exact, steps=STEPS)
    assert torch.equal(answers(layer.to("cpu"), images), single)
    for dtype in (torch.float16, torch.bfloat16):
        low = answers(copy.deepcopy(layer).to(dtype), images.to(dtype))
        assert low.dtype == dtype
        # Rounded: the inputs, the weights and every layer's outputs; the sums are kept wider.
        assert_near(low, exact, steps=16)


@trainable
def test_to_a_device_moves_the_kept_weight(row: Row) -> None:
    layer = row.make()
    answers(layer, torch.randn(2, *row.shape))
    moved = layer.to("meta")
    with torch.no_grad():
        assert moved(torch.randn(2, *row.shape, device="meta")).device.type == "meta"


@pytest.mark.parametrize(
    "row", [row for row in ROWS if isinstance(row.make(), BuiltWeight)], ids=lambda row: row.name
)
def test_autocast_casts_the_product_and_not_the_construction(row: Row) -> None:
    layer = row.make()
    assert isinstance(layer, BuiltWeight)
    images = torch.randn(2, *row.shape)
    for training in (True, False):
        layer.train(training)
        outside = layer.weight
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(layer.weight, outside)
            with batched_weights(layer):
                assert_near(layer.weight, outside, steps=STEPS)
                assert layer.weight.dtype == torch.float32
            out = layer(images)
        assert out.dtype == torch.bfloat16
        out.float().square().sum().backward()
        for parameter in layer.parameters():
            if parameter.numel():
                assert parameter.grad is not None
                assert parameter.grad.dtype == torch.float32


@built
@pytest.mark.parametrize("training", [True, False])
def test_compiles_without_graph_break(row: Row, training: bool) -> None:
    torch.compiler.reset()
    layer = row.make().train(training)
    images = torch.randn(2, *row.shape, requires_grad=True)
    # One layer of each kind goes through ahead-of-time differentiation as well, which is slow.
    backend = "aot_eager" if row.name in {"conv3", "transposed", "conv-full"} else "eager"
    compiled = torch.compile(layer, fullgraph=True, backend=backend)
    out = compiled(images)
    expected = layer(images)
    assert_near(out, expected, steps=STEPS)
    inputs = [images, *layer.parameters()]
    used = [tensor for tensor in inputs if tensor.numel()]  # a kernel of one tap has no bases
    for first, second in zip(
        torch.autograd.grad(uneven(out), used),
        torch.autograd.grad(uneven(expected), used),
        strict=True,
    ):
        assert_near(first, second, steps=STEPS)


@built
def test_exports(row: Row) -> None:
    layer = row.make().eval()
    images = torch.randn(2, *row.shape)
    exported = torch.export.export(layer, (images,)).module()
    assert_near(exported(images), answers(layer, images), steps=STEPS)
    program = torch.export.export(freeze(layer), (images,))
    assert_near(program.module()(images), answers(layer, images), steps=STEPS)


@every_layer
def test_functional_transforms(row: Row) -> None:
    layer = row.make().double()
    images = torch.randn(3, *row.shape, dtype=torch.float64)
    parameters = dict(layer.named_parameters())

    def loss(values: Mapping[str, Tensor], image: Tensor) -> Any:
        return torch.func.functional_call(layer, dict(values), image.unsqueeze(0)).square().sum()

    per_sample = torch.func.vmap(torch.func.grad(loss, argnums=1), (None, 0))(parameters, images)
    images.requires_grad_()
    (together,) = torch.autograd.grad(layer(images).square().sum(), images)
    assert torch.allclose(per_sample, together)
    images = images.detach()
    direction = torch.randn_like(images)
    forward = torch.func.jvp(layer, (images,), (direction,))[1]
    out, pull, *_ = torch.func.vjp(layer, images)
    weight = torch.randn_like(out)
    assert torch.allclose((forward * weight).sum(), (pull(weight)[0] * direction).sum())
    torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, images)


@trainable
def test_ensembles_of_parameters(row: Row) -> None:
    layers = [row.make().double().eval() for _ in range(2)]
    images = torch.randn(2, *row.shape, dtype=torch.float64)
    parameters, buffers = torch.func.stack_module_state(layers)

    def run(values: dict[str, Tensor], constants: dict[str, Tensor]) -> Any:
        return torch.func.functional_call(layers[0], (values, constants), images)

    both = torch.func.vmap(run)(parameters, buffers)
    assert torch.allclose(both, torch.stack([layer(images) for layer in layers]))
    with torch.no_grad():
        torch.func.vmap(run)(parameters, buffers)
        assert torch.allclose(layers[0](images), both[0].detach())


@pytest.fixture
def _one_process(tmp_path: Path) -> Any:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("_one_process")
def test_distributed_data_parallel() -> None:
    for row in ROWS:
        layer = row.make()
        if not list(layer.parameters()):
            continue
        alone = copy.deepcopy(layer)
        wrapped = DistributedDataParallel(layer)
        images = torch.randn(2, *row.shape)
        for _ in range(2):
            with batched_weights(wrapped):
                torch.autograd.backward(uneven(wrapped(images)))
            torch.autograd.backward(uneven(alone(images)))
        for first, second in zip(layer.parameters(), alone.parameters(), strict=True):
            if second.grad is not None:
                assert first.grad is not None, row.name
                assert_near(first.grad, second.grad, steps=STEPS, about=row.name)


@trainable
def test_exponential_moving_average(row: Row) -> None:
    layer = row.make()
    images = torch.randn(2, *row.shape)
    average = torch.optim.swa_utils.AveragedModel(
        layer,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5),  # type: ignore[no-untyped-call]
    )
    answers(average, images)
    for _ in range(2):
        step(layer, row)
        average.update_parameters(layer)
    assert torch.equal(answers(average, images), answers(fresh(average.module, row), images))


@with_images
def test_channels_last_is_kept(row: Row) -> None:
    layer = row.make()
    images = torch.randn(2, *row.shape).to(memory_format=torch.channels_last).requires_grad_()
    for training in (True, False):
        out = layer.train(training)(images)
        if out.ndim == 4 and out.shape[1] > 1 and out.shape[2] * out.shape[3] > 1:
            assert out.is_contiguous(memory_format=torch.channels_last)
        assert_near(out, layer(images.detach().contiguous()), steps=STEPS)
