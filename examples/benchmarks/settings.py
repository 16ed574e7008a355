"""What each setting costs: the processor time of a fit to digits, with one parameter changed.

    python examples/benchmarks/settings.py --rows 600

Times are multiples of that of a fit at the defaults, which is made just before, so that both see
the same load of the machine; the median over rounds is shown.
"""

import argparse
import time
import warnings
from statistics import median

from sklearn.datasets import load_digits

from skgmvae import GMVAEClustering

IMAGE = {"image_shape": (8, 8)}
SETTINGS = [
    {"latent_dim": 2},
    {"latent_dim": 50},
    {"style_dim": 50},
    {"hidden_layer_sizes": 64},
    {"hidden_layer_sizes": (512, 512)},
    IMAGE | {"networks": "conv"},
    {"likelihood": "student_t"},
    {"likelihood": "negative_binomial"},
    {"n_mc_samples": 10},
    {"consistency": 0},
    IMAGE | {"perturbation": "affine"},
    IMAGE | {"perturbation": "both"},
    {"init": "random"},
    {"n_init": 5},
    {"batch_size": 64},
    {"batch_size": 1024},
    {"max_iter": 10},
    {"max_iter": 100},
    {"early_stopping": True, "n_iter_no_change": 10},
]


def seconds(X, **settings):
    """Return the processor time of a fit."""
    start = time.process_time()
    GMVAEClustering(10, random_state=0, **settings).fit(X)
    return time.process_time() - start


def main():
    """Print a line for each setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1797)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    X = load_digits().data[: arguments.rows]
    warnings.simplefilter("ignore")  # of fits that are short, or collapse
    seconds(X)  # what a process does once
    for settings in SETTINGS:
        ratios = [1 / seconds(X) * seconds(X, **settings) for _ in range(arguments.rounds)]
        print(f"{settings!s:60} {median(ratios):6.2f}", flush=True)


if __name__ == "__main__":
    main()
