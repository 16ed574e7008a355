"""What each process of a group does in test_distributed.py: fits, and what came of them.

    torchrun --nproc-per-node=3 ranks.py FOLDER
"""

import os
import pickle
import shutil
import signal
import sys
import time
import warnings
from datetime import timedelta
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from sklearn.datasets import make_blobs

from helpers import quiet_fit
from skgmvae import GMVAEClustering
from skgmvae._training import Step
from skgmvae.callbacks import EarlyStopping
from skgmvae.distributed import Group, SampleRule
from skgmvae.exceptions import ResumedFitWarning

# in the order that a fit gives rows: processes have other rows each, and keep the order of ranks
X = make_blobs(101, 4, centers=3, cluster_std=1.5, random_state=0)[0]
X = X[X[:, 0].argsort()]
IMAGES = np.random.default_rng(0).random((37, 64))
IMAGES = IMAGES[IMAGES[:, 0].argsort()]
# nine epochs of six batches of 17: 54 steps
SMALL = {
    "n_clusters": 3, "latent_dim": 2, "style_dim": 2, "hidden_layer_sizes": (8, 8), "max_iter": 9,
    "batch_size": 20, "device": "cpu", "random_state": 0,
}
QUICK = SMALL | {"init": "random", "perturbation_radius": 0.3, "max_iter": 2}
SETTINGS = {
    "start": SMALL,
    "random": SMALL | {
        "init": "random", "min_information": 0.3, "n_mc_samples": 2, "perturbation_radius": 0.3,
        "max_iter": 4,
    },
    "paper": QUICK | {"consistency": 0},
    "several": QUICK | {"n_init": 2},
    "images": QUICK | {
        "networks": "conv", "image_shape": (8, 8), "perturbation": "both", "hidden_layer_sizes": 8,
        "likelihood": "bernoulli",
    },
}
EARLY = SMALL | {
    "init": "random", "perturbation_radius": 0.3, "early_stopping": True, "n_iter_no_change": 3,
    "tol": 0.5, "max_iter": 40,
}
TIMEOUT = timedelta(seconds=4)


def parts(X, size):
    """Return the rows of each rank: in the middle few, so that it has none in some batches."""
    n = len(X)
    cuts = {2: [0, 3, n], 3: [0, n // 3, n // 3 + 2, n]}[size]
    return [X[a:b] for a, b in pairwise(cuts)]


def fitted(X, **parameters):
    return quiet_fit(GMVAEClustering(**parameters), X)


def raised(X, **parameters):
    try:
        fitted(X, **parameters)
    except (Exception, KeyboardInterrupt) as error:
        return type(error).__name__, str(error)
    return None


class OnRank:
    """A perturbation that does something on one rank, from the second epoch of six steps on."""

    def __init__(self, rank, function):
        self.rank, self.function, self.n_calls = rank, function, 0

    def __call__(self, y, generator):
        self.n_calls += 1
        if dist.get_rank() == self.rank and self.n_calls > 6:
            return self.function(y)
        return y


def interrupted(X):
    sent = []

    def interrupt(y):
        if not sent:
            sent.append(os.kill(os.getpid(), signal.SIGINT))
        return y

    clusterer = GMVAEClustering(**QUICK | {"perturbation": OnRank(1, interrupt), "max_iter": 20})
    try:
        quiet_fit(clusterer, X)
    except KeyboardInterrupt:
        return clusterer.n_iter_
    return None


def continued(X):
    clusterer = fitted(X, **QUICK, warm_start=True)
    return quiet_fit(clusterer.set_params(max_iter=4, init="neighbors"), X)


def one_is_fitted(X, rank):
    """Return the error of a fit of all that only one process has a model for."""
    clusterer = GMVAEClustering(**QUICK, warm_start=True, distributed="off")
    if rank == 0:
        quiet_fit(clusterer, X)
    try:
        quiet_fit(clusterer.set_params(distributed="auto"), X)
    except ValueError as error:
        return type(error).__name__, str(error)
    return None


class Watching:
    """A callback that asks for a fitted copy, and after the second epoch does something."""

    def __init__(self, function):
        self.function = function
        self.fitted = []

    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator, context, *, X=None, fitted_estimator=None):
        self.fitted.append(fitted_estimator.predict(X))
        return context.task_name == "epoch" and context.task_id == 1 and self.function()


def watched_by_one(X, rank, function):
    """Return what comes of a fit of all processes, of which one has a callback."""
    clusterer = GMVAEClustering(**QUICK | {"max_iter": 6})
    if rank == 1:
        clusterer.set_callbacks(Watching(function))
    try:
        quiet_fit(clusterer, X)
    except ZeroDivisionError as error:
        return type(error).__name__, str(error)
    return clusterer.n_iter_, [len(labels) for one in clusterer.__dict__.get("_skl_callbacks", [])
                               for labels in one.fitted]


def with_gaps(X, seed):
    return np.where(np.random.default_rng(seed).random(X.shape) < 0.1, np.nan, X)


def with_categories(X):
    """Return rows with a category, of which each process may see another part."""
    names = np.array(["low", "middle", "high"], dtype=object)[np.digitize(X[:, 0], [-2, 2])]
    return np.column_stack([X.astype(object), names])


def of_a_sample(X):
    whole = Group.sampled.__defaults__
    Group.sampled.__defaults__ = (SampleRule(60),)
    try:
        return fitted(X, **SMALL | {"max_iter": 2})  # of which the beginning is looked at
    finally:
        Group.sampled.__defaults__ = whole


def partial(X):
    try:
        GMVAEClustering(**QUICK).partial_fit(X)
    except ValueError as error:
        return str(error)
    return None


def without(rank, size, folder, leave):
    """Return the error where another process leaves in the midst of a fit, and after how long."""
    dist.destroy_process_group()
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size, timeout=TIMEOUT
    )
    begin = time.monotonic()
    error = raised(X, **QUICK | {"perturbation": OnRank(size - 1, leave), "max_iter": 20})
    return error, time.monotonic() - begin


def main():
    folder = Path(sys.argv[1])
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    found = {}

    def keep():
        with open(folder / f"{rank}.pickle", "wb") as file:
            pickle.dump(found, file)

    mine = parts(X, size)[rank]
    for name, parameters in SETTINGS.items():
        rows = IMAGES if name == "images" else X
        if size == 2 or name == "start":
            found[name, "own"] = fitted(parts(rows, size)[rank], **parameters)
        if size == 3 and name == "random":
            found[name, "same"] = fitted(rows, **parameters)
    if size == 2:
        several_more(mine, rank, found, folder)
    leave = (lambda y: os._exit(3)) if size == 2 else (lambda y: time.sleep(12) or y)
    keep()
    found["without"] = without(rank, size, folder, leave)
    keep()


def resumed_by_own_rows(mine, folder):
    """Return two fits with one checkpoint, each process with other rows to stop by."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            GMVAEClustering(**QUICK, checkpoint=folder / "of two", checkpoint_every=0)
            .set_callbacks(EarlyStopping(X_val=mine)).fit(mine) for _ in range(2)
        ]


def several_more(mine, rank, found, folder):
    found["several", "same"] = fitted(X, **SETTINGS["several"], n_jobs=2)
    found["no seed"] = fitted(mine, **QUICK | {"random_state": None})
    found["continued"] = continued(mine)
    found["sample"] = of_a_sample(mine)
    found["sample with gaps"] = of_a_sample(with_gaps(mine, rank))
    found["categories"] = fitted(
        with_categories(mine), categorical_features=[4], **SMALL | {"max_iter": 2}
    )
    found["early"] = fitted(mine, **EARLY)
    if find_spec("sklearn.callback"):
        found["watched"] = watched_by_one(mine, rank, lambda: True)
        found["failed"] = watched_by_one(mine, rank, lambda: 1 / 0)
        found["resumed"] = resumed_by_own_rows(mine, folder)
    found["off"] = fitted(X[rank::2], **QUICK, distributed="off")
    found["partial_fit"] = partial(mine)
    # errors of one process are those of all, and the next fit begins with all of them
    bad = mine.copy()
    bad[0, 0] = np.inf if rank == 1 else 0.0
    found["infinity"] = raised(bad, **QUICK)
    found["columns"] = raised(mine[:, : 4 - (rank == 1)], **QUICK)
    found["negative"] = raised(mine - mine.min() - (rank == 1), **QUICK, likelihood="bernoulli")
    found["parameters"] = raised(mine, **QUICK | {"n_mc_samples": 1 + rank})
    found["lists"] = raised(mine, **QUICK | {"hidden_layer_sizes": [8 + rank]})
    found["one is fitted"] = one_is_fitted(mine, rank)
    found["few"] = raised(X[:1], **QUICK | {"n_clusters": 1})
    found["not finite"] = raised(mine, **QUICK | {"perturbation": OnRank(1, lambda y: y / 0)})
    found["interrupted"] = interrupted(mine)


def killed_once(folder):
    """Fit with a checkpoint; one rank is killed at its 20th step, unless that has happened.

        torchrun --nproc-per-node=2 --max-restarts=1 ranks.py FOLDER killed_once
    """
    take, taken, path = Step.take, [], folder / "fit"

    def dying(self, batch):
        taken.append(1)
        if len(taken) == 20 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return take(self, batch)

    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        Step.take = dying
    elif os.environ["RANK"] == "0":
        shutil.copy(path, folder / "as it was")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clusterer = GMVAEClustering(**SMALL, checkpoint=path, checkpoint_every=0).fit(X)
    found = {
        "killed": clusterer, "n_steps": len(taken), "whole": fitted(X, **SMALL),
        "said": [str(one.message) for one in caught if one.category is ResumedFitWarning],
    }
    with open(folder / f"{os.environ['RANK']}.pickle", "wb") as file:
        pickle.dump(found, file)


if __name__ == "__main__":
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its jobs ignore it
    if len(sys.argv) > 2:
        globals()[sys.argv[2]](Path(sys.argv[1]))
    else:
        main()
