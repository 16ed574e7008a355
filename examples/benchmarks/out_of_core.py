"""
Rows in a file
==============

Fits a memory-mapped file of single precision that is larger than the memory it may take: so many
MiB beyond what the imports and a first small fit take (RLIMIT_DATA, on Linux). Prints seconds, the
peak of memory and the adjusted Rand index; the resident peak has the pages of the file in it that
the system keeps. docs/scaling.md has the figures. Labels are used for scoring only.

::

    python examples/benchmarks/out_of_core.py --gigabytes 0.5 --limit 300
    python examples/benchmarks/out_of_core.py --gigabytes 8 --limit 1500
"""

import argparse
import resource
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score

from skgmvae import GMVAEClustering

N_CLUSTERS, N_FEATURES = 10, 1024


def write(path, n_rows):
    """Write blurred clusters, row after row in turn, and return the cluster of each row."""
    rng = np.random.default_rng(0)
    centers = 0.5 * rng.standard_normal((N_CLUSTERS, N_FEATURES))
    X = np.memmap(path, np.float32, "w+", shape=(n_rows, N_FEATURES))
    y = np.arange(n_rows) % N_CLUSTERS
    for first in range(0, n_rows, 4000):
        part = slice(first, first + 4000)
        X[part] = centers[y[part]] + rng.standard_normal(X[part].shape)
    X.flush()
    return y


def used():
    """Return the memory of the process that RLIMIT_DATA counts, in bytes."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in status if line.startswith("VmData")).split()[1])


def main():
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("=====")[0])
    parser.add_argument("--gigabytes", type=float, default=0.5)
    parser.add_argument("--limit", type=int, default=300, help="MiB beyond the imports")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--width", type=int, default=64, help="of both hidden layers")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    n_rows = int(options.gigabytes * 2**30) // (4 * N_FEATURES)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X"
        y = write(path, n_rows)
        GMVAEClustering(2, max_iter=1, device="cpu").fit(np.random.default_rng(0).random((99, 3)))
        before = used()
        resource.setrlimit(resource.RLIMIT_DATA, (before + options.limit * 2**20,) * 2)
        X = np.memmap(path, np.float32, "r", shape=(n_rows, N_FEATURES))
        start = time.process_time(), time.perf_counter()
        clusterer = GMVAEClustering(
            N_CLUSTERS, max_iter=options.epochs, hidden_layer_sizes=(options.width,) * 2,
            random_state=0, device="cpu",
        ).fit(X)
        seconds = time.process_time() - start[0], time.perf_counter() - start[1]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        names = "GiB", "rows", "limit", "CPU s", "s", "resident", "ARI"
        print("{:>5} {:>10} {:>6} {:>6} {:>6} {:>9} {:>5}".format(*names))
        print(
            f"{options.gigabytes:5.1f} {n_rows:10,} {options.limit:6} {seconds[0]:6.0f} "
            f"{seconds[1]:6.0f} {peak:9.0f} {adjusted_rand_score(y, clusterer.labels_):5.3f}"
        )


if __name__ == "__main__":
    main()
