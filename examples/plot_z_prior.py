r"""
The z-prior term, without and with the constraint
=================================================

Figure 3 of the paper (arXiv:1611.02648v2, Section 4.1): the term
:math:`L_z = -\mathbb{E} \, \mathrm{KL}(p(z|x, w) \,\|\, p(z))` of the bound by epoch, on the five
arcs.

With the plain objective it is 0 from the first epochs on: the posterior has no information on the
cluster, since all components have merged. With the constraint of Eq. 7 it stays at the threshold
until the decoder makes use of the components, and then falls further, toward :math:`-\log K`. As
in the example of the arcs, the learning rate is 1e-3, ten times the paper's, and one seed is shown:
with others the constraint takes up to twelve epochs to be met, or the term passes the threshold
without a stop (:doc:`/reproduction`).
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skgmvae import GMVAEClustering, paper
from skgmvae.datasets import make_arcs
from skgmvae.exceptions import ClusteringWarning

warnings.simplefilter("ignore", ConvergenceWarning)  # the first fit is short
warnings.simplefilter("ignore", ClusteringWarning)  # and collapses

X, _ = make_arcs(10_000, random_state=0)
THRESHOLD = 1.0
PANELS = (("(a) the plain bound", 0.0, 15), ("(b) with the constraint", THRESHOLD, 40))

figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for ax, (title, threshold, max_iter) in zip(axes, PANELS, strict=True):
    settings = paper.ARCS | {"learning_rate_init": 1e-3, "max_iter": max_iter}
    model = GMVAEClustering(10, min_information=threshold, **settings, random_state=1).fit(X)
    z_prior = model.history_["z_prior"]
    print(f"{title[4:]}: E KL {z_prior[-1]:.2f} nats after {max_iter} epochs")
    ax.plot(np.arange(1, max_iter + 1), -z_prior)
    if threshold:
        ax.axhline(-threshold, linestyle=":", color="black", label=r"$-\lambda$")
    ax.axhline(-np.log(10), linestyle="--", color="gray", label=r"$-\log K$")
    ax.set(title=title, xlabel="epoch")
    ax.legend()
axes[0].set_ylabel("$L_z$ (nats)")
figure.savefig("z_prior.png", dpi=110)
plt.show()
