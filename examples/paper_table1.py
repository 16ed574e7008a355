r"""
Table 1 of the paper
====================

Runs the experiments of Table 1 (arXiv:1611.02648v2, Section 4.2) on MNIST: a fit to the 60,000
training images is scored on the 10,000 test images by the protocol of Makhzani et al. (2015). Each
finished run appends a row to a file, and runs that the file already has are skipped, so that the
script can be stopped and started again; the table so far is printed at the end. With the paper's
objective the accuracy is printed after each epoch (Fig. 4).

::

    SKGMVAE_DATA=/path/to/npz python examples/paper_table1.py --K 10 16 --M 1 --seeds 0 1 \
        --networks conv --objective paper --max-iter 20

Without `SKGMVAE_DATA` MNIST is fetched from OpenML.
"""

import argparse
import csv
import os
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import normalized_mutual_info_score

from skgmvae import GMVAEClustering, paper
from skgmvae.datasets import load_mnist
from skgmvae.metrics import clustering_accuracy, max_probability_accuracy
from skgmvae.networks import paper_conv_networks

#: (K, M): best and average of the paper's runs, in percent.
PAPER = {
    (10, 1): (87.31, "77.78 +- 5.75"), (10, 10): (88.54, "82.31 +- 3.75"),
    (16, 1): (89.01, "85.09 +- 1.99"), (16, 10): (96.92, "87.82 +- 5.33"),
    (30, 1): (95.84, "92.77 +- 1.60"), (30, 10): (93.22, "89.27 +- 2.50"),
}
CONFIGURATION = ("networks", "objective", "max_iter", "rows", "K", "M", "seed")
RESULTS = ("max_probability", "hungarian", "nmi", "n_clusters_found", "lower_bound", "seconds")


def settings_of(networks, objective, max_iter):
    """Return the constructor's parameters."""
    if objective == "regularized":  # the defaults, apart from what suits images of bytes
        settings = {"likelihood": "bernoulli", "latent_dim": 16, "style_dim": 16}
        if networks == "conv":
            settings |= {"networks": paper_conv_networks, "image_shape": (28, 28)}
    else:
        settings = dict(paper.MNIST)
        if networks == "dense":
            settings |= {"networks": "dense", "hidden_layer_sizes": (500, 500)}
    return settings if max_iter == "auto" else settings | {"max_iter": int(max_iter)}


def scores_of(model, split):
    """Return the scores on the test split."""
    scores = model.decision_function(split.X_test)
    labels = scores.argmax(1)
    return (
        max_probability_accuracy(split.y_test, scores),
        clustering_accuracy(split.y_test, labels),
        normalized_mutual_info_score(split.y_test, labels),
        len(np.unique(labels)),
    )


def run(split, networks, objective, max_iter, _, n_clusters, n_mc_samples, seed):
    """Fit once and return the results."""
    settings = settings_of(networks, objective, max_iter)
    model = GMVAEClustering(
        n_clusters, n_mc_samples=n_mc_samples, random_state=seed, verbose=2, **settings
    )
    start = time.perf_counter()
    if objective == "paper":  # from the second call on with the 2,000 rows that it remembers
        for epoch in range(1, model.max_iter + 1):
            model.partial_fit(split.X_train)
            accuracy, _, _, n_found = scores_of(model, split)
            print(f"K = {n_clusters}, M = {n_mc_samples}, seed {seed}, epoch {epoch}: "
                  f"{accuracy:.4f}, {n_found} clusters, bound {model.lower_bound_:.2f}, "
                  f"{time.perf_counter() - start:.0f} s", flush=True)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(split.X_train)
    seconds = time.perf_counter() - start
    return *scores_of(model, split), model.lower_bound_, seconds


def read(path):
    """Return the rows of the file, if there is one."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def append(path, row):
    """Add a row to the file, after a header if it is the first."""
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, CONFIGURATION + RESULTS)
        if new:
            writer.writeheader()
        writer.writerow(row)


def print_table(rows):
    """Print mean, spread, worst and best of each configuration beside the paper's figures."""
    print(f"{'':40}{'max-probability accuracy, %':^44}{'paper':>24}")
    print(f"{'networks, objective, epochs, rows, K, M':40}{'runs':>5}{'mean +- std':>17}"
          f"{'worst':>8}{'best':>8}{'average':>20}{'best':>8}")
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in CONFIGURATION[:-1]), []).append(row)
    for key, runs in sorted(groups.items()):
        scores = 100 * np.array([float(row["max_probability"]) for row in runs])
        best, average = PAPER.get((int(key[-2]), int(key[-1])), ("", ""))
        print(f"{', '.join(key):40}{len(runs):5}{scores.mean():10.2f} +- {scores.std():.2f}"
              f"{scores.min():9.2f}{scores.max():8.2f}{average:>20}{best:>8}")


def main():
    """Read the arguments, run what is missing, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("=====")[0])
    parser.add_argument("--K", type=int, nargs="+", default=[10])
    parser.add_argument("--M", type=int, nargs="+", default=[1])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--networks", choices=["conv", "dense"], default="conv", help="conv: Tables A.1-A.3"
    )
    parser.add_argument("--objective", choices=["paper", "regularized"], default="paper")
    parser.add_argument("--max-iter", default="auto", help="epochs; default: that of the settings")
    parser.add_argument("--out", type=Path, default=Path("table1.csv"))
    parser.add_argument("--rows", type=int, help="fit to this many training rows, as a trial")
    options = parser.parse_args()

    folder = os.environ.get("SKGMVAE_DATA")
    split = load_mnist(Path(folder) / "mnist.npz") if folder else load_mnist()
    if options.rows:
        few = np.random.default_rng(0).permutation(len(split.X_train))[: options.rows]
        split = split._replace(X_train=split.X_train[few], y_train=split.y_train[few])
    for n_clusters in options.K:
        for n_mc_samples in options.M:
            for seed in options.seeds:
                task = (
                    options.networks, options.objective, options.max_iter, len(split.X_train),
                    n_clusters, n_mc_samples, seed,
                )
                configuration = dict(zip(CONFIGURATION, map(str, task), strict=True))
                done = [{name: row[name] for name in CONFIGURATION} for row in read(options.out)]
                if configuration not in done:
                    results = zip(RESULTS, run(split, *task), strict=True)
                    append(options.out, configuration | dict(results))
    print_table(read(options.out))


if __name__ == "__main__":
    main()
