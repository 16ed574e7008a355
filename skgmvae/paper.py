"""Parameters for the experiments of the paper (arXiv:1611.02648v2, Section 4 and Appendix A).

>>> from skgmvae import GMVAEClustering, paper
>>> mnist_clusterer = GMVAEClustering(n_clusters=10, **paper.MNIST)

All of them use the objective of Eq. 3 without additional terms, and the Adam optimizer with a
constant learning rate of 1e-4. The paper does not state the batch size for the arcs, nor the
number of epochs for the images: those are choices of this package.
"""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from .networks import Networks, paper_conv_networks

__all__ = ["ARCS", "MNIST", "SVHN", "arcs_networks"]

ARCS_WIDTH = 120


def arcs_networks(
    data_shape: tuple[int, ...], latent_dim: int, style_dim: int, n_parameters: int
) -> Networks:
    """Build the networks for the arcs (Section 4.1), without batch normalization.

    Encoder and decoder have two hidden layers of 120 ReLU units, the prior one of 120 tanh units.

    Parameters
    ----------
    data_shape : tuple of int
        The shape of one row.
    latent_dim, style_dim, n_parameters : int
        The dimensions, as in :func:`skgmvae.networks.dense_networks`.

    Returns
    -------
    networks : Networks
        The encoder, the prior and the decoder.

    Examples
    --------
    >>> arcs_networks((2,), 2, 2, 2).prior
    Sequential(
      (0): Linear(in_features=2, out_features=120, bias=True)
      (1): Tanh()
    )
    """
    n_values = math.prod(data_shape)

    def hidden(n_in: int) -> list[nn.Module]:
        return [
            nn.Linear(n_in, ARCS_WIDTH), nn.ReLU(), nn.Linear(ARCS_WIDTH, ARCS_WIDTH), nn.ReLU()
        ]

    return Networks(
        nn.Sequential(nn.Flatten(), *hidden(n_values)),
        nn.Sequential(nn.Linear(style_dim, ARCS_WIDTH), nn.Tanh()),
        nn.Sequential(
            *hidden(latent_dim),
            nn.Linear(ARCS_WIDTH, n_parameters * n_values),
            nn.Unflatten(1, (n_parameters, *data_shape)),
        ),
    )


_PLAIN: dict[str, Any] = {
    "consistency": 0.0, "learning_rate": "constant", "learning_rate_init": 1e-4, "tol": 0.0,
}

#: For the arcs (Section 4.1, Figs. 2 and 3): all parameters but `n_clusters` that differ from the
#: defaults. Add ``min_information``, in nats, for the constraint of Eq. 7 (Fig. 3b).
ARCS: dict[str, Any] = {
    **_PLAIN, "networks": arcs_networks, "latent_dim": 2, "style_dim": 2, "batch_size": 100,
    "max_iter": 200,
}

#: For MNIST (Section 4.2, Table 1). There `n_clusters` is 10, 16 or 30, and `n_mc_samples` 1 or 10.
MNIST: dict[str, Any] = {
    **_PLAIN, "networks": paper_conv_networks, "image_shape": (28, 28), "likelihood": "bernoulli",
    "latent_dim": 200, "style_dim": 150, "batch_size": 50, "max_iter": 100,
}

#: For SVHN (Section 4.2.1, Fig. 6): as `MNIST`, with images in color.
SVHN: dict[str, Any] = {
    **MNIST, "image_shape": (32, 32, 3), "batch_size": 128, "max_iter": 20,
}
