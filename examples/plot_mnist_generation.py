"""
Clusters and styles
===================

Figure 5 of the paper (arXiv:1611.02648v2, Section 4.2.1): the component z determines the digit, and
the noise w its style.

Runs on scikit-learn's digits, in less than a minute; on MNIST if the environment variable
`SKGMVAE_DATA` names a folder with ``mnist.npz`` (see :func:`skgmvae.datasets.load_mnist`), which
takes ten minutes or more.
"""

# %%
# Fit a model with the settings for images whose class does not change under small affine changes.

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skgmvae import GMVAEClustering
from skgmvae.datasets import load_mnist
from skgmvae.plotting import ClusterSamplesDisplay

folder = os.environ.get("SKGMVAE_DATA")
if folder:
    X, side, latent_dim = load_mnist(Path(folder) / "mnist.npz").X_train, 28, 16
else:
    X, side, latent_dim = load_digits().data / 16, 8, 10
gmvae = GMVAEClustering(
    10, image_shape=(side, side), networks="conv", perturbation="both", likelihood="bernoulli",
    latent_dim=latent_dim, style_dim=latent_dim, random_state=0,
).fit(X)

# %%
# **(a)** Samples at w = 0. Each row is a component, and only x varies along a row.

display = ClusterSamplesDisplay.from_estimator(
    gmvae, n_samples=12, w=np.zeros(latent_dim)
)
display.figure_.suptitle("Twelve new images drawn from each cluster", fontsize=10)
display.figure_.savefig("generation_components.png", dpi=120)

# %%
# **(b)** One component, with w from -2 to 2 along the five of its axes that change the image most.
# The noise in x is the same in all images, since the model has a fixed `random_state`.

COMPONENT = 0
steps = np.linspace(-2, 2, 12)
images = np.stack([
    [
        gmvae.sample(1, cluster=COMPONENT, w=step * axis, observation_noise=False)[0][0]
        for step in steps
    ]
    for axis in np.eye(latent_dim)
])
change = np.linalg.norm(images[:, -1] - images[:, 0], axis=1)
most = np.argsort(-change)[:5]
print("change of the image from end to end, by axis of w:", change[most].round(2))

framed = np.pad(images[most].reshape(5, 12, side, side), ((0, 0), (0, 0), (1, 1), (1, 1)))
mosaic = framed.swapaxes(1, 2).reshape(5 * (side + 2), 12 * (side + 2))
figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
ax.imshow(mosaic, cmap="gray_r")
ax.set(
    title=f"(b) component {COMPONENT}, w from -2 to 2 along one axis per row",
    xticks=[], yticks=(np.arange(5) + 0.5) * (side + 2), yticklabels=most, ylabel="axis of w",
)
figure.savefig("generation_styles.png", dpi=120)
plt.show()
