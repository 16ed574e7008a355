"""Rows that are not in memory: datasets of h5py and zarr, memory-mapped files, and your own.

:class:`~skgmvae.GMVAEClustering` takes a source as it takes an array: anything with `shape`,
`dtype` and rows by slices and by sorted integer arrays. A memory-mapped array of up to
256 MiB is read at once.
"""

from __future__ import annotations

from ._rows import LazyRows

__all__ = ["LazyRows"]

# so that the documentation, and a pickle, find it where users do
LazyRows.__module__ = __name__
