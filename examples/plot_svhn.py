"""
House numbers
=============

Figure 6 of the paper (arXiv:1611.02648v2, Section 4.2.1): ten samples from each component of a
model of the Street View House Numbers, with the paper's objective and convolutional networks
(Tables A.1-A.3). The paper trains on about 600,000 images; :func:`skgmvae.datasets.load_svhn` maps
them from disk.

Runs on small color images made from scikit-learn's digits, in less than a minute. If the
environment variable `SKGMVAE_DATA` names a folder with ``svhn_test10k.npz`` (``x``, ``y``), 8,000
of its house numbers are used, which takes half an hour on a CPU. If it is ``download``, all 604,388
official ones are used, which takes about a day.
"""

# %%
# The data. The substitute has digits in one color on a background of another, as house numbers do;
# its networks are dense and smaller. Few images make few steps per epoch, so the learning rate is
# higher than the paper's.

import os
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from skgmvae import GMVAEClustering, paper
from skgmvae.datasets import load_svhn
from skgmvae.plotting import ClusterSamplesDisplay

warnings.simplefilter("ignore", ConvergenceWarning)  # as many epochs as time allows

folder = os.environ.get("SKGMVAE_DATA")
if folder == "download":
    X = load_svhn(extra=True).X_train
    settings = paper.SVHN
elif folder:
    with np.load(Path(folder) / "svhn_test10k.npz", allow_pickle=False) as arrays:
        X = arrays["x"][:8000].reshape(8000, -1)
    settings = paper.SVHN | {"learning_rate_init": 5e-4, "max_iter": 40}
else:
    random = np.random.default_rng(0)
    ink = np.kron(load_digits().images / 16, np.ones((2, 2)))[..., None]  # 16 x 16 x 1
    bright = random.integers(160, 256, (len(ink), 1, 1, 3))
    dark = random.integers(0, 96, (len(ink), 1, 1, 3))
    X = (ink * bright + (1 - ink) * dark).astype(np.uint8).reshape(len(ink), -1)
    settings = paper.SVHN | {
        "networks": "dense", "hidden_layer_sizes": (256, 256), "image_shape": (16, 16, 3),
        "latent_dim": 10, "style_dim": 10, "learning_rate_init": 1e-3, "learning_rate": "cosine",
        "max_iter": 40,
    }

# %%
# Fit the model.

gmvae = GMVAEClustering(10, **settings, random_state=0, verbose=1).fit(X)

# %%
# Ten samples from each component.

display = ClusterSamplesDisplay.from_estimator(gmvae, n_samples=10)
display.figure_.suptitle("Ten samples from each component", fontsize=10)
display.figure_.savefig("svhn.png", dpi=120)
plt.show()
