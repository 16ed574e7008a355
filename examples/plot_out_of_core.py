"""
Rows in a file: more than fits in memory
========================================

A dataset of h5py goes straight into ``fit``. Its rows are read a megabyte at a time: the units and
the initial partition are found on a sample, batches are mixed from a few parts of the file at a
time, and labels are read off in a last pass. The same holds for `numpy.memmap`, for zarr and for a
class of your own with `shape`, `dtype`, a length and rows by slices and by sorted integer arrays.

The file of this example is small, so that it is made and fitted in seconds.
"""

# %%
# A file
# ------
# Readings of 16 sensors of four machines, one machine after another, as such files often are:
# 24,000 rows, written a part at a time.
import tempfile
import warnings
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import train_test_split

from skgmvae import GMVAEClustering
from skgmvae.sources import LazyRows

N_ROWS, N_SENSORS, N_MACHINES = 24_000, 16, 4
rng = np.random.default_rng(0)
typical = 2 * rng.standard_normal((N_MACHINES, N_SENSORS))
machine = np.arange(N_ROWS) * N_MACHINES // N_ROWS

folder = tempfile.TemporaryDirectory()
file = h5py.File(Path(folder.name) / "readings.h5", "w")
readings = file.create_dataset("readings", (N_ROWS, N_SENSORS), np.float32, chunks=(1000, 16))
for first in range(0, N_ROWS, 1000):
    part = slice(first, first + 1000)
    readings[part] = typical[machine[part]] + rng.standard_normal((1000, N_SENSORS))
print(readings)

# %%
# A fit
# -----
# The dataset takes the place of an array. Three passes over the rows are enough here.
clusterer = GMVAEClustering(N_MACHINES, max_iter=3, hidden_layer_sizes=32, random_state=0)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # three epochs are few, which a warning would say
    clusterer.fit(readings)
print(f"adjusted Rand index: {adjusted_rand_score(machine, clusterer.labels_):.3f}")

# %%
# The other methods read the file in the same way, and return arrays.
latent = clusterer.transform(readings)
print(latent.shape, f"{clusterer.score(readings):.1f} nats per row")

# %%
# A part of the file
# ------------------
# ``LazyRows`` selects rows without reading them, so that ``train_test_split`` and ``GridSearchCV``
# leave them in the file too.
train, test = train_test_split(LazyRows(readings), random_state=0)
print(train)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    held_out = GMVAEClustering(
        N_MACHINES, max_iter=3, hidden_layer_sizes=32, random_state=0
    ).fit(train).score(test)
print(f"{held_out:.1f} nats per row that was not fitted")

# %%
# Labels in the order of the file, and the latent space of every tenth row.
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
labels = clusterer.labels_[::20]
left.scatter(np.arange(N_ROWS)[::20], labels, s=3, c=labels, cmap="tab10")
left.set(xlabel="row of the file", ylabel="cluster", yticks=range(N_MACHINES))
left.set_title("A cluster for each machine")
centered = latent[::10] - latent.mean(0)
plane = centered @ np.linalg.svd(centered, full_matrices=False)[2][:2].T
right.scatter(*plane.T, s=3, c=clusterer.labels_[::10], cmap="tab10")
right.set(xlabel="first principal component", ylabel="second")
right.set_title("Latent space, by cluster")

file.close()
folder.cleanup()
