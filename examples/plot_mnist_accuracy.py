"""
Accuracy by epoch
=================

Figure 4 of the paper (arXiv:1611.02648v2, Section 4.2): the accuracy of the max-probability
protocol on test images by epoch, for several numbers of components K and Monte Carlo samples M.
On the left the paper's objective, on the right with the regularizer that is the default here, both
from random weights and at a constant learning rate.

Runs on scikit-learn's digits, in 80 CPU seconds; on MNIST if the environment variable
`SKGMVAE_DATA` names a folder with ``mnist.npz`` (see :func:`skgmvae.datasets.load_mnist`), which
takes more than an hour.
"""

# %%
# The data, the networks, and one call of `partial_fit` per epoch. From the second call on, it also
# takes the up to 2,000 rows that it remembers, which are all rows of the digits.

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skgmvae import GMVAEClustering
from skgmvae.datasets import load_mnist
from skgmvae.metrics import max_probability_accuracy

folder = os.environ.get("SKGMVAE_DATA")
if folder:
    X_train, y_train, X_test, y_test = load_mnist(Path(folder) / "mnist.npz")
    WIDTH, LATENT, N_EPOCHS = 512, 16, 20
else:
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0, stratify=y)
    WIDTH, LATENT, N_EPOCHS = 128, 10, 15

SETTINGS = {
    "likelihood": "bernoulli", "hidden_layer_sizes": (WIDTH, WIDTH), "latent_dim": LATENT,
    "style_dim": LATENT, "learning_rate_init": 1e-3, "batch_size": 128, "random_state": 0,
}


def accuracies(n_clusters, n_mc_samples, consistency):
    """Return the accuracy on the test images after each epoch."""
    model = GMVAEClustering(
        n_clusters, n_mc_samples=n_mc_samples, consistency=consistency, **SETTINGS
    )
    curve = []
    for _ in range(N_EPOCHS):
        model.partial_fit(X_train)
        scores = model.decision_function(X_test)
        curve.append(max_probability_accuracy(y_test, scores))
    return curve


# %%
# One seed each. Note that this accuracy rises with K, however good the clusters are.

figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for ax, title, consistency in (
    (axes[0], "the paper's objective", 0.0), (axes[1], "with the regularizer", 50.0),
):
    for n_clusters, n_mc_samples in ((10, 1), (10, 10), (16, 1), (30, 1)):
        curve = accuracies(n_clusters, n_mc_samples, consistency)
        label = f"K = {n_clusters}, M = {n_mc_samples}"
        ax.plot(np.arange(1, N_EPOCHS + 1), curve, label=label)
        print(f"{title}, {label}: {curve[-1]:.2f}")
    ax.set(title=title, xlabel="epoch")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend()
axes[0].set_ylabel("max-probability accuracy")
figure.savefig("accuracy.png", dpi=110)
plt.show()
