"""What a training step computes, reads and exchanges in a group of processes.

    torchrun --nproc-per-node=2 examples/benchmarks/cost_model.py

Counted, not timed: floating-point operations of matrix products and convolutions, exchanges
(all-reduces) and their bytes. docs/scaling.md has the table.
"""

import os
import warnings

import numpy as np
import torch.distributed as dist
from torch.utils.flop_counter import FlopCounterMode

from skgmvae import GMVAEClustering, distributed
from skgmvae._fit import run

warnings.simplefilter("ignore")

IMAGES = {"networks": "conv", "perturbation": "both", "hidden_layer_sizes": (256, 256)}
TASKS = {
    "50 features, dense 128": (50, {"hidden_layer_sizes": (128, 128)}),
    "MNIST, dense 512": (784, {}),
    "MNIST, conv, both": (784, {"image_shape": (28, 28), **IMAGES}),
    "SVHN, conv, both": (3072, {"image_shape": (32, 32, 3), **IMAGES}),
}
BATCH, STEPS = 256, 4


class Counted:
    """Counts what is exchanged, and what is computed while training."""

    def __init__(self):
        self.exchanges = self.bytes = self.operations = 0
        self._reduce, self._train = distributed._all_reduced, run.train

    def reduced(self, values):
        """Sum a tensor over the processes."""
        self.exchanges += 1
        self.bytes += values.numel() * values.element_size()
        return self._reduce(values)

    def train(self, *arguments, **keywords):
        """Train, and count."""
        self.exchanges = self.bytes = 0
        with FlopCounterMode(display=False) as counter:
            trained = self._train(*arguments, **keywords)
        self.operations = counter.get_total_flops()
        return trained


def measured(n_features, parameters):
    """Return what was counted of a short fit, and the number of weights."""
    counted = Counted()
    distributed._all_reduced, run.train = counted.reduced, counted.train
    source = np.random.default_rng(0)
    X = source.random((BATCH * STEPS, n_features)).astype(np.float32)
    clusterer = GMVAEClustering(**{
        "n_clusters": 10, "hidden_layer_sizes": (512, 512), "init": "random", "max_iter": 1,
        "perturbation_radius": 1.0, "batch_size": BATCH, "random_state": 0, **parameters,
    }).fit(X)
    distributed._all_reduced, run.train = counted._reduce, counted._train
    return counted, sum(weight.numel() for weight in clusterer.module_.parameters())


def main():
    """Print a row for each task."""
    size, is_first = int(os.environ.get("WORLD_SIZE", 1)), os.environ.get("RANK", "0") == "0"
    if is_first:
        print(f"{size} processes, batch {BATCH}, {STEPS} steps; a step of one process:")
        print(f"{'':24} {'weights':>9} {'MFLOP/row':>10} {'exchanges':>9} {'kB':>7} "
              f"{'kB read/row':>11}")
    for name, (n_features, parameters) in TASKS.items():
        counted, n_weights = measured(n_features, parameters)
        if is_first:
            print(
                f"{name:24} {n_weights:9} {counted.operations / STEPS / BATCH * size / 1e6:10.1f} "
                f"{counted.exchanges / STEPS:9.0f} {counted.bytes / STEPS / 1e3:7.0f} "
                f"{4 * n_features / 1e3:11.1f}"
            )
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
