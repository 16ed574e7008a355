"""What each setting costs: the processor time of a fit to digits, with one parameter changed.

    python examples/benchmarks/settings.py --rounds 2

Times are multiples of that of the defaults in the same round, and their median over rounds is
shown; beside it the adjusted Rand index with the ten digits, which is of one seed.
"""

import argparse
import time
import warnings
from statistics import median

from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score

from skgmvae import GMVAEClustering

IMAGE = {"image_shape": (8, 8)}
SETTINGS = [
    {},
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


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    X, y = load_digits(return_X_y=True)
    seconds = {str(settings): [] for settings in SETTINGS}
    index = {}
    warnings.simplefilter("ignore")  # of fits that are short, or collapse
    for _ in range(parser.parse_args().rounds):
        for settings in SETTINGS:
            start = time.process_time()
            labels = GMVAEClustering(10, random_state=0, **settings).fit_predict(X)
            seconds[str(settings)].append(time.process_time() - start)
            index[str(settings)] = adjusted_rand_score(y, labels)
    for settings, times in seconds.items():
        ratio = median(t / default for t, default in zip(times, seconds["{}"], strict=True))
        print(f"{settings:60} {ratio:6.2f} {index[settings]:6.2f}")
    print(f"the defaults: {median(seconds['{}']):.1f} s")


if __name__ == "__main__":
    main()
