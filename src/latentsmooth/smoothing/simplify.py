"""A head with its batch norms merged into the layers before them."""

from __future__ import annotations

import copy
from collections import Counter

import torch
from torch import Tensor, fx, nn

from latentsmooth.errors import ShapeError
from latentsmooth.orthogonal import freeze
from latentsmooth.smoothing.prefix import BATCH_NORMS, batch_norm_constants, has_hooks

__all__ = ["merge_batch_norm"]

_Layer = (
    nn.Linear
    | nn.Conv1d
    | nn.Conv2d
    | nn.Conv3d
    | nn.ConvTranspose1d
    | nn.ConvTranspose2d
    | nn.ConvTranspose3d
)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_FITTING: dict[type[nn.Module], tuple[type[nn.Module], ...]] = {
    nn.Linear: (nn.BatchNorm1d,),
    nn.Conv1d: (nn.BatchNorm1d, nn.SyncBatchNorm),
    nn.Conv2d: (nn.BatchNorm2d, nn.SyncBatchNorm),
    nn.Conv3d: (nn.BatchNorm3d, nn.SyncBatchNorm),
    nn.ConvTranspose1d: (nn.BatchNorm1d, nn.SyncBatchNorm),
    nn.ConvTranspose2d: (nn.BatchNorm2d, nn.SyncBatchNorm),
    nn.ConvTranspose3d: (nn.BatchNorm3d, nn.SyncBatchNorm),
}


@torch.no_grad()
def merge_batch_norm(head: nn.Module) -> nn.Module:
    """Copy a head with each batch norm that directly follows a linear layer merged into it.

    In evaluation a batch norm scales and shifts each channel, which the weights and bias of the
    dense layer or convolution before it can do as well. Which layer comes before is read off the
    head's trace, so that branches count; both must be used once and nowhere else. The products
    are formed in float64 and rounded once. Orthogonal layers become plain ones first
    (`latentsmooth.orthogonal.freeze`).

    Args:
        head: any head; left as it is.

    Returns:
        A copy in evaluation mode, of the same classes; an ``nn.Identity`` stands where a merged
        batch norm stood. A head that cannot be traced has none merged.

    Example:
        >>> head = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        >>> merge_batch_norm(head)
        Sequential(
          (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
          (1): Identity()
          (2): ReLU()
        )
    """
    plain = freeze(head)
    if not any(isinstance(module, BATCH_NORMS) for module in plain.modules()):
        return plain
    graph = _trace(plain)
    if graph is None:
        return plain
    pairs = _pairs(plain, graph)
    merged = copy.deepcopy(plain)
    for layer, norm in pairs:
        _merge(merged, layer, norm)
    # A forward that looks into a batch norm, rather than call it, cannot do without.
    return merged if _trace(merged) is not None else plain


class _Outline(fx.Tracer):
    """Traces down to the layers, and no further than batch norms may hide."""

    proxy_buffer_attributes = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Chains are looked into, and what holds a batch norm below itself."""
        if type(m) is nn.Sequential and not has_hooks(m):
            return False
        holds = any(isinstance(part, BATCH_NORMS) for part in m.modules())
        return not holds or super().is_leaf_module(m, module_qualified_name)


def _trace(module: nn.Module) -> fx.Graph | None:
    try:
        return _Outline().trace(module)
    except Exception:
        # Tracing runs the user's forward on stand-ins for tensors: it may fail in any way.
        return None


def _pairs(root: nn.Module, graph: fx.Graph) -> list[tuple[str, str]]:
    """Paths of each layer and of the batch norm that alone reads it."""
    calls = [node for node in graph.nodes if node.op == "call_module"]
    called = Counter(id(root.get_submodule(str(node.target))) for node in calls)
    names = Counter(id(module) for _, module in root.named_modules(remove_duplicate=False))
    read = {str(node.target).rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
    pairs = []
    for node in calls:
        before = node.args[0] if len(node.args) == 1 and not node.kwargs else None
        if not isinstance(before, fx.Node) or before.op != "call_module":
            continue
        layer_path, norm_path = str(before.target), str(node.target)
        layer, norm = root.get_submodule(layer_path), root.get_submodule(norm_path)
        once = all(called[id(each)] == names[id(each)] == 1 for each in (layer, norm))
        alone = len(before.users) == 1 and not read & {layer_path, norm_path}
        if once and alone and _fits(layer, norm):
            pairs.append((layer_path, norm_path))
    return pairs


def _fits(layer: nn.Module, norm: nn.Module) -> bool:
    if type(norm) not in _FITTING.get(type(layer), ()) or has_hooks(layer) or has_hooks(norm):
        return False
    outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    return bool(norm.running_mean is not None and norm.num_features == outputs)


def _merge(root: nn.Module, layer_path: str, norm_path: str) -> None:
    layer: _Layer = root.get_submodule(layer_path)  # type: ignore[assignment]
    scale, shift = batch_norm_constants(root.get_submodule(norm_path))
    own = layer.weight.detach()
    weight = own.to("cpu", torch.float64)
    by_output: Tensor = scale.reshape(-1, *[1] * (weight.ndim - 1))
    if isinstance(layer, _TRANSPOSED):
        blocks = weight.reshape(layer.groups, -1, *weight.shape[1:])
        by_output = scale.reshape(layer.groups, 1, -1, *[1] * (weight.ndim - 2))
        product = (blocks * by_output).reshape(weight.shape)
    else:
        product = weight * by_output
    if layer.bias is not None:
        shift = shift + layer.bias.detach().to("cpu", torch.float64) * scale
    layer.weight = nn.Parameter(product.to(own), requires_grad=False)
    layer.bias = nn.Parameter(shift.to(own), requires_grad=False)
    parent, _, name = norm_path.rpartition(".")
    instead = _OfVectors() if isinstance(layer, nn.Linear) else nn.Identity()
    root.get_submodule(parent)._modules[name] = instead.eval()


class _OfVectors(nn.Identity):
    """Stands where a batch norm followed a dense layer: its channels must be the features."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Return the input, which must be a batch of vectors."""
        if input.ndim != 2:
            raise ShapeError(
                "a batch norm was merged into the dense layer before it, which is right for "
                f"(batch, features) only, got {tuple(input.shape)}"
            )
        return input
