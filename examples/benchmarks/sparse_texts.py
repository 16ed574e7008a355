r"""
Texts as sparse rows: memory, time and clusters
===============================================

Fits the TF-IDF of 20 newsgroups as a sparse matrix and as an array, each in a process of its own,
beside `KMeans` on the sparse matrix, and prints the normalized mutual information, the processor
time and the memory at the peak beyond that of the imports. Labels are used for scoring only.

::

    SKGMVAE_DATA=/path/to/npz python examples/benchmarks/sparse_texts.py --seeds 1

`SKGMVAE_DATA` holds ``news20_tfidf2000.npz``, the parts of a CSR matrix and the classes ``y``.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score

from skgmvae import GMVAEClustering

KINDS = "sparse", "dense", "KMeans"


def peak_mib():
    """Return the memory of this process at its peak, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fit(kind, seed, max_iter):
    """Fit one kind in this process and print its line."""
    at_first = peak_mib()
    with np.load(Path(os.environ["SKGMVAE_DATA"]) / "news20_tfidf2000.npz") as arrays:
        parts = arrays["data"], arrays["indices"], arrays["indptr"]
        X, y = csr_array(parts, shape=tuple(arrays["shape"])), arrays["y"]
    if kind == "dense":
        X = X.toarray()
    model = (
        KMeans(20, random_state=seed) if kind == "KMeans"
        else GMVAEClustering(20, random_state=seed, max_iter=max_iter)
    )
    begun = time.process_time()
    with warnings.catch_warnings(action="ignore"):
        model.fit(X)
    score = normalized_mutual_info_score(y, model.labels_)
    seconds = time.process_time() - begun
    memory = peak_mib() - at_first
    print(f"{kind:8} {seed:4}  {score:.3f}  {seconds:7.0f}  {memory:6.0f}", flush=True)


def main():
    """Print a line for each kind and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0 .. SEEDS - 1")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--max-iter", type=int, default=None, help="'auto' if left out")
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    max_iter = options.max_iter or "auto"
    if options.alone is not None:
        fit(options.kinds[0], options.alone, max_iter)
        return
    print("kind     seed    NMI  CPU s  peak MiB", flush=True)
    for seed in range(options.seeds):
        for kind in options.kinds:
            command = [sys.executable, __file__, "--kinds", kind, "--alone", str(seed)]
            if options.max_iter:
                command += ["--max-iter", str(options.max_iter)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
