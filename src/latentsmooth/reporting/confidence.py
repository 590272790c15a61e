"""How many certificates of a whole log may be false."""

from __future__ import annotations

from bisect import bisect_left

from latentsmooth.errors import ConfigurationError

__all__ = ["false_certificates_at_most"]


def false_certificates_at_most(n_images: int, *, alpha: float, delta: float) -> int:
    r"""Return the k that the number of false certificates stays within, with confidence 1 - delta.

    Each of m certificates is false with probability at most alpha, over noise drawn independently
    for each image, so the number of false ones is stochastically at most Binomial(m, alpha); k is
    the smallest number with :math:`P(\mathrm{Bin}(m, \alpha) > k) \le \delta`. The same k images
    are the false ones at every radius, so subtracting k / m from a certified-accuracy curve gives
    a lower bound on the true curve of these m images, at all radii at once, with confidence
    1 - delta over the noise. (What other images would give is another matter: see the standard
    error.)

    Args:
        n_images: certificates, m.
        alpha: probability that one of them is false, in (0, 1).
        delta: probability that more than k are, in (0, 1).

    Raises:
        ConfigurationError: a number outside its range.

    >>> false_certificates_at_most(500, alpha=0.001, delta=0.001)
    4
    """
    if n_images < 0 or not 0 < alpha < 1 or not 0 < delta < 1:
        raise ConfigurationError(
            "expected n_images >= 0 and alpha, delta in (0, 1), "
            f"got n_images={n_images}, alpha={alpha}, delta={delta}"
        )
    from scipy.special import bdtrc

    def rare_enough(k: int) -> bool:
        return k == n_images or bool(bdtrc(k, n_images, alpha) <= delta)

    return bisect_left(range(n_images), True, key=rare_enough)
