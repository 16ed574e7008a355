"""GMVAEClustering: its parameters and attributes; the methods stand in the rooms it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.utils import Tags

from .consistency import Perturbation
from .fitting import FittingMixin
from .generation import GenerationMixin
from .networks import NetworkFactory
from .parameters import PARAMETER_CONSTRAINTS
from .persistence import StateMixin

__all__ = ["GMVAEClustering"]


class GMVAEClustering(
    FittingMixin,
    GenerationMixin,
    StateMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ClusterMixin,
    BaseEstimator,
):
    """Clustering by a Gaussian mixture variational autoencoder (GMVAE).

    A deep generative model with a mixture prior: a component z and a style w give a latent point
    x, which gives the observed row y. Fitting maximises the paper's evidence lower bound
    (Eq. 3, with the constraint of Eq. 7) less a regulariser that keeps the components in use
    and the cluster of a row unchanged by small changes of the row.

    Parameters
    ----------
    n_clusters : int, default=8
        Number K of mixture components. Where clusters stand apart, fewer may be found.
    latent_dim : int, default=10
        Dimension N_x of the latent x, which `transform` returns.
    style_dim : int, default=10
        Dimension N_w of the style noise w.
    hidden_layer_sizes : "auto" or tuple of int, default="auto"
        Widths of the encoder's dense layers; the decoder has them in reverse. "auto" is two
        layers, the wider the more rows: from 32 for 50 rows to 512 for 60,000 (256 at the most
        after convolutions).
    networks : {"dense", "conv"} or callable, default="dense"
        "conv" has convolutions before the encoder's dense layers and needs `image_shape`. A
        callable returns modules of your own, or the paper's, see :mod:`skgmvae.networks`;
        `hidden_layer_sizes` is then not used.
    image_shape : tuple of int, default=None
        (height, width) or (height, width, channels) of the image that a row is, channels last.
    likelihood : {"gaussian", "bernoulli"}, default="gaussian"
        Family of p(y|x). "bernoulli" is for values in [0, 1], or bytes, which are scaled by 255
        unless they are zeros and ones. What is a unit is decided by `fit`: a model fitted to bytes
        takes floats from 0 to 255.
    n_mc_samples : int, default=1
        Monte Carlo samples M of x and w for each row and step.
    min_information : float, default=0.0
        The threshold lambda of Eq. 7 in nats, below log(n_clusters).
    consistency : float, default=50.0
        Weight of the regulariser; 0 gives exactly the paper's objective.
    perturbation : {"adversarial", "affine", "both"} or callable, default="adversarial"
        The change of a row that its cluster should survive. "adversarial" knows nothing of the
        data; "affine" rotates, scales, shears and shifts images (`image_shape`), and "both"
        changes what comes of that adversarially. A callable gets rows (B, n_features), or
        (B, channels, height, width), as the model sees them and a `torch.Generator`, and
        returns changed rows.
    perturbation_radius : "auto" or float, default="auto"
        Length of the adversarial step in the model's units, in which the mean variance of a
        feature is 1 (Gaussian) or values lie in [0, 1] (Bernoulli). "auto" is a share of each
        row's distance to its 10th neighbour.
    init : {"neighbours", "random"}, default="neighbours"
        What the fit is held to at first, less and less: a spectral clustering of the graph of
        nearest neighbours, or k-means where more features tell its clusters; or nothing. Images
        that should survive affine changes are compared up to such changes, and a little of the
        hold lasts. Without `consistency` it is nothing.
    n_init : int, default=1
        Random initial weights. Each is run for a sixth of the epochs; the one whose clusters
        tell most of the rows (mutual information; without the regulariser, the best bound) goes
        on.
    learning_rate : {"cosine", "constant"}, default="cosine"
        "cosine" falls to zero on a half cosine over `max_iter` epochs.
    learning_rate_init : float, default=2e-3
        Of Adam, at first.
    batch_size : int, default=256
        Rows per step, at the most.
    max_iter : "auto" or int, default="auto"
        Epochs; "auto" gives few rows enough steps to converge and many rows few epochs.
    tol : float, default=1e-2
        Change of the loss that counts, as a share of its fall since the first epoch.
    n_iter_no_change : int, default=100
        Epochs without a change after which training stops early.
    warm_start : bool, default=False
        Whether `fit` continues from the present weights.
    device : str, default="auto"
        "auto" takes a CUDA device if there is one; or "cpu", "cuda:1", ...
    n_jobs : int, default=None
        Processes for the starts, as in joblib. The fit is the same up to rounding, which
        depends on the number of threads.
    random_state : int, RandomState instance or None, default=None
        Fixes everything that is drawn.
    verbose : int, default=0
        1 prints ten lines a start, 2 a line an epoch; in the model's units.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Component of each training row.
    weights_ : ndarray of shape (n_clusters,)
        Mean probability of each component over the training rows; `sample` draws by it. (The
        prior while fitting is uniform, Eq. 1b.)
    cluster_counts_ : ndarray of shape (n_clusters,)
        Rows in each component. After `fit` the largest comes first, empty ones last.
    n_clusters_found_ : int
        Components that have rows.
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Each component's typical row: its mean at w = 0, decoded, in the units of X.
    exemplar_indices_ : ndarray of shape (n_clusters,)
        The training row that most surely belongs to each component.
    lower_bound_ : float
        Mean bound of the last epoch (Eq. 3), in nats per row, in the units of X.
    history_ : dict of str to ndarray of shape (`n_iter_`,)
        Means per epoch: the four terms of Eq. 3 (`reconstruction`, `conditional_prior`,
        `w_prior`, `z_prior`), `lower_bound`, and the `regulariser` with its parts.
    n_iter_ : int
        Epochs run.
    converged_ : bool
        Whether the loss was flat at the end of the schedule: the last tenth of the epochs
        brought no change that counts by `tol`.
    module_ : torch.nn.Module
        The trained GMVAE, in evaluation mode.
    device_ : str
        Where it is.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if X had any that are strings.

    See Also
    --------
    sklearn.mixture.GaussianMixture : The same mixture in the space of the data.
    sklearn.cluster.KMeans : Faster, for round clusters.

    References
    ----------
    Dilokthanakul et al., Deep Unsupervised Clustering with Gaussian Mixture Variational
    Autoencoders, arXiv:1611.02648v2.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skgmvae import GMVAEClustering
    >>> X, y = make_blobs(200, centers=3, random_state=0)
    >>> clusterer = GMVAEClustering(n_clusters=3, max_iter=50, random_state=0).fit(X)
    >>> clusterer.predict_proba(X).shape
    (200, 3)
    """

    _parameter_constraints = PARAMETER_CONSTRAINTS

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        latent_dim: int = 10,
        style_dim: int = 10,
        hidden_layer_sizes: str | Sequence[int] = "auto",
        networks: str | NetworkFactory = "dense",
        image_shape: Sequence[int] | None = None,
        likelihood: str = "gaussian",
        n_mc_samples: int = 1,
        min_information: float = 0.0,
        consistency: float = 50.0,
        perturbation: str | Perturbation = "adversarial",
        perturbation_radius: str | float = "auto",
        init: str = "neighbours",
        n_init: int = 1,
        learning_rate: str = "cosine",
        learning_rate_init: float = 2e-3,
        batch_size: int = 256,
        max_iter: str | int = "auto",
        tol: float = 1e-2,
        n_iter_no_change: int = 100,
        warm_start: bool = False,
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.latent_dim = latent_dim
        self.style_dim = style_dim
        self.hidden_layer_sizes = hidden_layer_sizes
        self.networks = networks
        self.image_shape = image_shape
        self.likelihood = likelihood
        self.n_mc_samples = n_mc_samples
        self.min_information = min_information
        self.consistency = consistency
        self.perturbation = perturbation
        self.perturbation_radius = perturbation_radius
        self.init = init
        self.n_init = n_init
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    # defined here, not in a mixin: `set_output` wraps what the class itself defines
    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Return the mean of q(x|y), the latent representation of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        latent : ndarray of shape (n_samples, latent_dim)

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is unfit.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skgmvae import GMVAEClustering
        >>> X = load_iris().data
        >>> clusterer = GMVAEClustering(3, max_iter=20, random_state=0).fit(X)
        >>> clusterer.transform(X).shape
        (150, 10)
        """
        return self._map(X, lambda model, y: model.q(y).q_x.mean)

    @property
    def _n_features_out(self) -> int:
        return self.module_.latent_dim

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
