"""
Memory of a fit
===============

The peak of memory during a fit of one epoch on a CPU, beside X: ten blurred clusters of rows with
as many values as an image of MNIST has. One fit for each process, since memory that one has freed
is taken again by the next. docs/scaling.md has the figures::

    python examples/benchmarks/memory.py --dtype uint8
    python examples/benchmarks/memory.py --dtype float32 --rows 200000
"""

import argparse

import numpy as np
import torch
from _peers import run

from skgmvae import GMVAEClustering

N_CLUSTERS, N_FEATURES = 10, 784


def rows_of(n_rows, dtype):
    """Return rows of whole numbers from 0 to 255."""
    draw = np.random.default_rng(0)
    centers = draw.integers(40, 216, (N_CLUSTERS, N_FEATURES))
    X = np.empty((n_rows, N_FEATURES), dtype)
    for block in np.array_split(X, max(1, n_rows // 1000)):
        clusters = draw.integers(0, N_CLUSTERS, len(block))
        noise = 40 * draw.standard_normal(block.shape)
        block[:] = np.clip(centers[clusters] + noise, 0, 255).astype(np.uint8)
    return X


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dtype", choices=["uint8", "float32", "float64"], default="uint8")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    X = rows_of(given.rows, given.dtype)
    model = GMVAEClustering(N_CLUSTERS, max_iter=1, device="cpu", random_state=0)
    fitted = run(model, X)
    print(
        f"{given.rows:,} rows of {N_FEATURES} {given.dtype}: X {X.nbytes / 2**20:.0f} MiB, peak "
        f"beside it {fitted.mebibytes:.0f} MiB, {fitted.cpu_seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
