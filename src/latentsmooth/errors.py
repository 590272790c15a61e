"""The errors this package raises: each says what arrived and what was wanted."""

__all__ = [
    "ConfigurationError",
    "CorruptArtifact",
    "DataError",
    "LatentSmoothError",
    "LogError",
    "ShapeError",
    "UnverifiedModule",
]


class LatentSmoothError(Exception):
    """Base of every error that a user's input can cause."""


class ConfigurationError(LatentSmoothError, ValueError):
    """An argument, flag or recipe entry has a value that cannot be used."""


class ShapeError(LatentSmoothError, ValueError):
    """A tensor, kernel or image has the wrong shape."""


class DataError(LatentSmoothError, ValueError):
    """A data set, image file or label cannot be read as labelled images."""


class UnverifiedModule(LatentSmoothError, TypeError):
    """An encoder holds a module whose Lipschitz constant no rule bounds."""


class CorruptArtifact(LatentSmoothError, ValueError):
    """A saved model or checkpoint is damaged, foreign or contradicts itself."""


class LogError(LatentSmoothError, ValueError):
    """A certificate log cannot be read, or must not be appended to."""
