r"""
One thread or all
=================

How long training steps and the initial partition of tables take on one thread and on all, by the
clock, alone and beside programs that keep cores busy. The rule by which a fit chooses
(`runtime.ThreadUse`) is of no effect here. Run it where nothing else runs::

    python examples/benchmarks/threads.py
    python examples/benchmarks/threads.py --busy 1
"""

import argparse
import multiprocessing
import statistics
import time
from contextlib import nullcontext

import torch
from sklearn.datasets import make_blobs
from speed import BATCH_SIZE, SIZES, Size, objective_and_batch, step_of

from skgmvae._rows import Rows
from skgmvae._start import find_neighbors, selection
from skgmvae.runtime import one_thread

STEPS = {
    **SIZES,
    "USPS": Size(256, 256, 10, 10, "gaussian"),
    "500 features": Size(500, 256, 10, 10, "gaussian"),
}
TABLES = [(2000, 16), (5000, 16), (20_000, 16)]


def keep_busy():
    """Compute forever."""
    while True:
        pass


def seconds_of(run, n_calls):
    """Return seconds a call, by the clock."""
    began = time.perf_counter()
    for _ in range(n_calls):
        run()
    return (time.perf_counter() - began) / n_calls


def milliseconds(run, n_rounds, n_calls):
    """Return what a call takes on one thread and on all, medians of turns."""
    turns = {one_thread: [], nullcontext: []}
    for context in turns:  # the first calls allocate memory
        with context():
            seconds_of(run, n_calls)
    for _ in range(n_rounds):
        for context, times in turns.items():
            with context():
                times.append(1e3 * seconds_of(run, n_calls))
    return [statistics.median(times) for times in turns.values()]


def partition_of(n_rows, n_features):
    """Return a function that finds the initial partition of a table, its neighbors known."""
    X, _ = make_blobs(n_rows, n_features, centers=10, cluster_std=3.0, random_state=0)
    scale = X.std(0)
    rows = Rows(torch.tensor(X / scale, dtype=torch.float32))
    neighbors = find_neighbors(rows, 0)
    initial_partition = selection.initial_partition.__wrapped__  # which is limited to one thread
    return lambda: initial_partition(rows, neighbors, 10, 0, scale=scale)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--busy", type=int, default=0, help="programs that run beside this one")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    others = [
        multiprocessing.Process(target=keep_busy, daemon=True) for _ in range(options.busy)
    ]
    for other in others:
        other.start()
    n_threads, device = torch.get_num_threads(), torch.device("cpu")
    print(f"threads: {n_threads}; programs beside: {options.busy}")
    print(f"{'':30}{'millions':>10}{'one, ms':>10}{'all, ms':>10}{'one / all':>10}")
    for name, size in STEPS.items():
        objective, batch = objective_and_batch(size, device)
        n_multiplications = objective.model.n_multiplications((size.n_features,)) * BATCH_SIZE
        one, every = milliseconds(step_of(objective, batch), options.rounds, 20)
        print(
            f"{'step, ' + name:30}{n_multiplications / 1e6:10.0f}{one:10.1f}{every:10.1f}"
            f"{one / every:10.2f}", flush=True
        )
    for n_rows, n_features in TABLES:
        one, every = milliseconds(partition_of(n_rows, n_features), 1, 1)
        print(
            f"{f'partition, {n_rows} x {n_features}':30}{'':10}{one:10.0f}{every:10.0f}"
            f"{one / every:10.2f}", flush=True
        )


if __name__ == "__main__":
    main()
