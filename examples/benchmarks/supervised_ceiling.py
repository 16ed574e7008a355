r"""
What the same layers reach with labels
======================================

A clusterer that sees no label can hardly be better than a classifier with the same layers that sees
all of them. This script fits scikit-learn's `MLPClassifier`, with layers as wide as those of
`GMVAEClustering`, to the training rows *and their labels*, and prints its accuracy on the test
rows.

::

    SKGMVAE_DATA=/path/to/npz python examples/benchmarks/supervised_ceiling.py \
        --data mnist usps fashion_mnist pendigits --seeds 3
"""

import argparse
import warnings

import numpy as np
from clustering_quality import load
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skgmvae.parameters import auto_width


def main():
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("=====")[0])
    parser.add_argument("--data", nargs="+", default=["usps"])
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 .. SEEDS - 1")
    parser.add_argument("--epochs", type=int, default=40)
    options = parser.parse_args()
    for data in options.data:
        X, y, X_test, y_test, _ = load(data)
        width = auto_width(*X.shape)
        scores = []
        for seed in range(options.seeds):
            model = make_pipeline(MinMaxScaler(), MLPClassifier(
                (width, width), max_iter=options.epochs, random_state=seed
            ))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(X.astype(np.float32), y)
            scores.append(model.score(X_test.astype(np.float32), y_test))
        print(f"{data}: {width}-{width}, {options.epochs} epochs, accuracy "
              f"{np.mean(scores):.3f} +- {np.std(scores):.3f} ({min(scores):.3f})", flush=True)


if __name__ == "__main__":
    main()
