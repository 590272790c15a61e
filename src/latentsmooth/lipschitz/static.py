"""Properties and methods of tensors that show nothing of their values, and makers of constants."""

from __future__ import annotations

__all__ = ["CONSTANTS", "STATIC", "STATIC_METHODS"]

STATIC = frozenset(
    {
        "device",
        "dtype",
        "is_cpu",
        "is_cuda",
        "is_leaf",
        "is_meta",
        "is_mps",
        "is_nested",
        "is_quantized",
        "is_sparse",
        "itemsize",
        "layout",
        "names",
        "ndim",
        "requires_grad",
        "shape",
    }
)
STATIC_METHODS = frozenset(
    {
        "__len__",
        "dim",
        "element_size",
        "get_device",
        "is_complex",
        "is_contiguous",
        "is_floating_point",
        "is_inference",
        "is_signed",
        "ndimension",
        "nelement",
        "numel",
        "size",
        "storage_offset",
        "stride",
    }
)
CONSTANTS = frozenset(
    {
        "full_like",
        "new_full",
        "new_ones",
        "new_zeros",
        "ones_like",
        "zeros_like",
    }
)
