"""
Five arcs: densities and latent spaces
======================================

Figure 2 of the paper (arXiv:1611.02648v2, Section 4.1): points from the arcs of five circles, the
densities that a GMVAE and a Gaussian mixture estimate for them, and the latent space during
training.

The networks and the objective are the paper's. The learning rate is 1e-3, ten times that of the
paper, so that 40 epochs are enough instead of 200 and a fit takes half a minute or less. How soon
components separate, and how many do, depends on the seed: one is shown here, and :doc:`the
reproduction </reproduction>` has the figures of five.
"""

# %%
# The plain objective (`min_information=0`) ends with components that all lie on each other.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from skgmvae import GMVAEClustering, paper
from skgmvae.datasets import make_arcs
from skgmvae.exceptions import ClusteringWarning
from skgmvae.plotting import LatentSpaceDisplay

warnings.simplefilter("ignore", ConvergenceWarning)  # some fits are short
warnings.simplefilter("ignore", ClusteringWarning)  # and some collapse

X, y = make_arcs(10_000, random_state=0)
SETTINGS = paper.ARCS | {"n_clusters": 10, "learning_rate_init": 1e-3, "random_state": 1}

collapsed = GMVAEClustering(**SETTINGS | {"max_iter": 15}).fit(X)

# %%
# With the constraint of Eq. 7, a z-prior term below one nat is not penalized, so that the
# components can separate. The figure shows this model after 4 epochs and after 40.

on_the_way = GMVAEClustering(**SETTINGS | {"max_iter": 4, "min_information": 1.0}).fit(X)
separated = GMVAEClustering(**SETTINGS | {"max_iter": 40, "min_information": 1.0}).fit(X)
mixture = GaussianMixture(10, random_state=0).fit(X)

for name, model in (("collapsed", collapsed), ("separated", separated)):
    found = f"{model.n_clusters_found_} of 10 components, "
    print(f"{name}: {found}ARI {adjusted_rand_score(y, model.labels_):.2f}, "
          f"bound {model.lower_bound_:.2f} nats")
print(f"Gaussian mixture: ARI {adjusted_rand_score(y, mixture.predict(X)):.2f}, "
      f"log-likelihood {mixture.score(X):.2f} nats")

# %%
# The density of the GMVAE is estimated by importance weighting, with 100 draws for each point of a
# grid.

side = np.linspace(-3, 3, 120)
grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
area = (side[1] - side[0]) ** 2
densities = {
    "(b) GMVAE density": np.exp(separated.score_samples(grid, n_draws=100)),
    "(c) Gaussian mixture density": np.exp(mixture.score_samples(grid)),
}

figure, axes = plt.subplots(2, 3, figsize=(13, 8.5), layout="constrained")
axes[0, 0].scatter(*X.T, s=1, c=y, cmap="tab10", vmax=9)
axes[0, 0].set_title("(a) data")
for ax, (title, density) in zip(axes[0, 1:], densities.items(), strict=True):
    print(f"{title[4:]} integrates to {density.sum() * area:.2f}")
    image = density.reshape(len(side), -1)
    ax.imshow(image, origin="lower", extent=(-3, 3, -3, 3), cmap="magma")
    ax.set_title(title)
for ax in axes[0]:
    ax.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
for ax, model, title in zip(
    axes[1],
    (collapsed, on_the_way, separated),
    ("(d) latent space, collapsed", "(e) spreading, epoch 4", "(f) epoch 40"),
    strict=True,
):
    LatentSpaceDisplay.from_estimator(model, X[::4], ax=ax)
    ax.set_title(title)
figure.savefig("arcs.png", dpi=110)
plt.show()
