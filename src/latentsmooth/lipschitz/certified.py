"""Certified upper bounds of the largest singular value of many matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from latentsmooth.lipschitz.rules.rounding import FLOAT64_UNIT, root_up, widen

__all__ = ["Ceiling"]

# Up to the first size the eigenvalues of all matrices cost less than finding out which are
# needed, and up to the second those of one cost little.
SMALL = 64
MEDIUM = 1024
BLOCK = 8
SWEEPS = 16


class Ceiling:
    r"""A number that no singular value of the matrices shown to it exceeds, as low as it can be.

    For ``H = A A^H`` and a level ``s``, a Cholesky factorisation of ``s I - H`` that runs to its
    end in floating point proves ``lambda_max(H) <= s`` up to the rounding of the factorisation,
    which is at most ``(n + 1) u`` times the trace. One factorisation a matrix is far cheaper than
    its eigenvalues, so these are estimated only for matrices that pierce the current level; the
    proof does not rest on the estimate.

    Source:
        S. M. Rump, *Verification of positive definiteness*, BIT Numerical Mathematics 46 (2006);
        N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, theorem 10.3.

    Example:
        >>> ceiling = Ceiling()
        >>> ceiling.cover(torch.diag(torch.tensor([3.0, 4.0], dtype=torch.float64))[None])
        >>> 4.0 <= ceiling.norm < 4.0 * (1 + 1e-8)
        True
    """

    def __init__(self) -> None:
        self.level = 0.0
        """Level of the squared norms that all factorisations so far have passed."""
        self._slack = 0.0

    @property
    def norm(self) -> float:
        """Upper bound of the largest singular value of every matrix covered."""
        return root_up(widen(self.level + self._slack, roundings=2))

    def cover(self, matrices: Tensor) -> None:
        """Raise the level until it stands over these matrices.

        Args:
            matrices: ``(batch, rows, columns)``, float64 or complex128, finite, on the CPU.
        """
        if matrices.shape[-2] > matrices.shape[-1]:
            matrices = matrices.mT
        size, inner = matrices.shape[-2:]
        gram = matrices @ matrices.mH
        trace = float(gram.diagonal(dim1=-2, dim2=-1).real.sum(dim=-1).max())
        if not 0.0 < trace < float("inf"):
            self.level = max(self.level, 0.0 if trace == 0.0 else float("inf"))
            return
        self._raise_over(gram, trace)
        # A product of complex numbers errs by less than four units; the Gram matrix' entries by
        # (inner + 2) of them, which together stay below the squared Frobenius norm, its trace.
        product = 4 * (inner + 4) * FLOAT64_UNIT * trace * (1 + 1e-6)
        factorisation = 8 * (size + 4) * FLOAT64_UNIT * size * self.level
        self._slack = max(self._slack, product + factorisation + 4 * FLOAT64_UNIT * self.level)

    def _raise_over(self, gram: Tensor, trace: float) -> None:
        pending, margin = gram, 1e-9
        while True:
            pending = pending[_pierces(pending, self.level)]
            if not len(pending):
                return
            if self.level > 2 * trace:  # No eigenvalue exceeds the trace.
                return
            estimate, careful = _largest_eigenvalue(pending)
            margin = max(margin, 1e-9 if careful else 1e-4)
            # What fails once more was estimated too low: widen until it passes.
            self.level = max(estimate, self.level) * (1 + margin)
            margin *= 4


def _pierces(gram: Tensor, level: float) -> Tensor:
    size = gram.shape[-1]
    shifted = level * torch.eye(size, dtype=gram.dtype) - gram
    failed: Tensor = torch.linalg.cholesky_ex(shifted).info != 0
    return failed


def _largest_eigenvalue(gram: Tensor) -> tuple[float, bool]:
    """Of all matrices where they are small, of one of them otherwise; and whether to machine
    precision.
    """
    size = gram.shape[-1]
    if size <= SMALL:
        return float(torch.linalg.eigvalsh(gram).max()), True
    fullest = int(gram.abs().square().sum(dim=(-2, -1)).argmax())
    matrix = gram[fullest]
    if size <= MEDIUM:
        return float(torch.linalg.eigvalsh(matrix).max()), True
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(size, BLOCK, generator=generator, dtype=torch.float64).to(gram.dtype)
    for _ in range(SWEEPS):
        basis = torch.linalg.qr(matrix @ basis).Q
    projected = basis.mH @ (matrix @ basis)
    return float(torch.linalg.eigvalsh(projected).max()), False
