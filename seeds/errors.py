"""The named errors of this package, and nothing else.

Every message holds the value that was refused and what is allowed instead.
"""


class SeedError(ValueError):
    """A value that no seed can be made of, or assembled from: weights, codec spec, rank, shapes."""


class StoreError(SeedError):
    """A file that is not a seed file, or no longer the one that was written."""


class SubjectUnavailable(LookupError):
    """A subject, task or data set that is unknown, or that is not on this machine."""


class ProtocolError(RuntimeError):
    """A measurement that would be unsound: unbalanced classes, leaked examples, an unscored split in use."""


class WireError(RuntimeError):
    """A link, a server or a download that cannot be had as it was asked for."""
