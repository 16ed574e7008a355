r"""
Ablation
========

What each part of the objective does: this script fits the default, the paper's objective, and
variants between them, and prints a table with the mean and the standard deviation over seeds of:
accuracy (Hungarian), NMI, the number of components that have rows, the probability of a row's
cluster at the means of q(x|y) and q(w|y) and at draws from them, and the z-prior term. Labels are
used for scoring only.

::

    SKGMVAE_DATA=/path/to/npz python examples/benchmarks/ablation.py --data digits arcs mnist \
        --rows 10000 --seeds 3
"""

import argparse
import json
import math
import warnings

import numpy as np
from clustering_quality import SETTINGS, load
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import normalized_mutual_info_score

from skgmvae import GMVAEClustering, paper
from skgmvae._objective.regularizer import INFORMATION_WEIGHTS
from skgmvae.datasets import make_arcs
from skgmvae.metrics import clustering_accuracy

METRICS = ("accuracy", "nmi", "found", "at means", "at draws", "z-prior")


def unchanged(y, generator):
    """Return the rows unperturbed, which leaves only the entropy terms of the regularizer."""
    return y


def variants(n_clusters):
    """Return the parameters of each variant, by name."""
    most = math.log(n_clusters)
    plain = {"consistency": 0.0}
    return {
        "default": {},
        "no initial partition": {"init": "random"},
        "no perturbation": {"perturbation": unchanged},
        "entropy terms only": {"perturbation": unchanged, "init": "random"},
        "constant learning rate": {"learning_rate": "constant"},
        "the paper's objective": plain,
        "  M = 10": plain | {"n_mc_samples": 10},
        "  min_information = .5 log K": plain | {"min_information": 0.5 * most},
        "  min_information = .9 log K": plain | {"min_information": 0.9 * most},
    }


def rows_of(data, n_rows):
    """Return X, y to fit, X, y to score, and the settings of the data."""
    if data == "arcs":
        X, y = make_arcs(n_rows or 10_000, random_state=0)
        return X, y, X, y, {"networks": paper.arcs_networks, "latent_dim": 2, "style_dim": 2}
    X, y, X_test, y_test, _ = load(data)
    if n_rows and n_rows < len(X):
        few = np.random.default_rng(0).permutation(len(X))[:n_rows]
        X, y = X[few], y[few]
    return X, y, X_test, y_test, SETTINGS.get(data, {})


def measure(model, X, X_test, y_test):
    """Fit and score."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X)
    labels = model.predict(X_test)
    at_means, at_draws = model._fitted.certainty(X_test)
    return (
        clustering_accuracy(y_test, labels),
        normalized_mutual_info_score(y_test, labels),
        len(np.unique(labels)),
        at_means,
        at_draws,
        model.elbo(X_test).z_prior.mean(),
    )


def main():
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("=====")[0])
    parser.add_argument("--data", nargs="+", default=["digits", "arcs"])
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 .. SEEDS - 1")
    parser.add_argument("--rows", type=int, help="fit to at most this many rows")
    parser.add_argument("--variants", nargs="+", help="prefixes of their names; default: all")
    parser.add_argument("--params", default="{}", help="further constructor parameters, as JSON")
    options = parser.parse_args()
    print(f"{INFORMATION_WEIGHTS}, seeds {options.seeds}, params {options.params}")
    for data in options.data:
        X, _, X_test, y_test, settings = rows_of(data, options.rows)
        n_clusters = len(np.unique(y_test))
        settings = settings | json.loads(options.params)
        print(f"\n{data}: {len(X)} rows, {len(X_test)} scored, K = {n_clusters}")
        print(f"{'':30}" + "".join(f"{metric:>18}" for metric in METRICS))
        for name, changes in variants(n_clusters).items():
            if options.variants and not name.strip().startswith(tuple(options.variants)):
                continue
            table = np.array([
                measure(
                    GMVAEClustering(n_clusters, random_state=seed, **settings | changes),
                    X, X_test, y_test,
                )
                for seed in range(options.seeds)
            ])
            cells = [f"{mean:.2f} +- {std:.2f}" for mean, std in zip(
                table.mean(0), table.std(0), strict=True)]
            print(f"{name:30}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
