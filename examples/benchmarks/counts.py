r"""
Counts of single cells, raw and log-normalized
==============================================

Fits raw counts by the negative binomial and the Poisson likelihood, and the same counts, brought to
one total and as logarithms, by the Gaussian one, beside `KMeans` on 50 principal components of the
latter. Prints the adjusted Rand index and the normalized mutual information, means over seeds. The
data are simulated cells of five groups, 40:30:20:7:3 %, and the worm neurons of
``sc_worm_neuron_4186.npz`` in `SKGMVAE_DATA`, if it is set. Labels are used for scoring only.

::

    SKGMVAE_DATA=/path/to/npz python examples/benchmarks/counts.py --seeds 3
"""

import argparse
import os
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from skgmvae import GMVAEClustering


def simulated_cells(seed, n_cells=900, n_genes=500, shares=(0.4, 0.3, 0.2, 0.07, 0.03)):
    """Return negative binomial counts of groups of cells whose depths differ, and the groups."""
    rng = np.random.default_rng(seed)
    y = rng.choice(len(shares), size=n_cells, p=shares)
    base = rng.gamma(0.5, 1, n_genes)
    is_marker = rng.random((len(shares), n_genes)) < 0.1
    rates = base * np.where(is_marker, rng.lognormal(1.2, 0.5, is_marker.shape), 1)
    depth = rng.lognormal(6.5, 0.5, (n_cells, 1))
    mean = depth * (rates / rates.sum(1, keepdims=True))[y]
    return rng.poisson(rng.gamma(2.0, mean / 2.0)).astype(float), y


def worm_neurons():
    """Return counts of 4,186 neurons, and their types."""
    with np.load(Path(os.environ["SKGMVAE_DATA"]) / "sc_worm_neuron_4186.npz") as arrays:
        return arrays["counts"], arrays["y"]


def normalized(counts):
    """Return log(1 + count) after all rows were brought to one total."""
    totals = counts.sum(1, keepdims=True)
    return np.log1p(counts * (np.median(totals) / totals))


def labels_of(counts, n_clusters, seed):
    """Yield the name and the labels of each model."""
    for likelihood in ("negative_binomial", "poisson", "gaussian"):
        X = normalized(counts) if likelihood == "gaussian" else counts
        model = GMVAEClustering(n_clusters, likelihood=likelihood, random_state=seed).fit(X)
        yield f"GMVAE, {likelihood}", model.labels_
    components = PCA(50, random_state=seed).fit_transform(normalized(counts))
    kmeans = KMeans(n_clusters, n_init=10, random_state=seed)
    yield "KMeans of 50 components", kmeans.fit_predict(components)


def main():
    """Print a line for each data set and model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 .. SEEDS - 1")
    options = parser.parse_args()
    data = {"simulated cells": simulated_cells}
    if "SKGMVAE_DATA" in os.environ:
        neurons = worm_neurons()
        data["worm neurons"] = lambda seed: neurons
    for title, make in data.items():
        scores = {}
        for seed in range(options.seeds):
            counts, y = make(seed)
            with warnings.catch_warnings(action="ignore"):
                begun = time.process_time()
                for name, labels in labels_of(counts, len(np.unique(y)), seed):
                    found = (
                        adjusted_rand_score(y, labels), normalized_mutual_info_score(y, labels),
                        time.process_time() - begun,
                    )
                    scores.setdefault(name, []).append(found)
                    begun = time.process_time()
        for name, found in scores.items():
            rand, information, seconds = np.mean(found, axis=0)
            worst = min(score for score, *_ in found)
            print(
                f"{title:16} {name:26} ARI {rand:.3f} (worst {worst:.3f})  NMI {information:.3f}  "
                f"CPU s {seconds:5.1f}", flush=True,
            )


if __name__ == "__main__":
    main()
