"""GMVAEClustering: the estimator, with all its methods; the work is done in the modules below."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self, cast

import numpy as np
import sklearn
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import Tags, check_array
from sklearn.utils.validation import check_is_fitted

from . import _fit, _stored, files, versions
from ._objective import Terms
from ._rows import Columns, checked_rows
from .callbacks import CallbackSupportMixin
from .distributed import Group, join
from .files import PathLike
from .fitted import Fitted
from .model_card import model_card
from .networks import NetworkFactory
from .packing import Packed, digest, pack, unpack
from .parameters import PARAMETER_CONSTRAINTS
from .perturbations import Perturbation
from .runtime import available_device, draw_seed, select_device, warn, without_array_api
from .validation import (
    check_bool,
    check_path,
    check_positive_integer,
    checked_components,
    checked_style,
    checked_weights,
)

__all__ = ["GMVAEClustering", "load"]


class GMVAEClustering(
    CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin,
    BaseEstimator,
):
    """Clustering by a Gaussian mixture variational autoencoder (GMVAE).

    A deep generative model with a mixture prior: a component z and a style w give a latent point
    x, which gives the observed row y. Fitting maximizes the paper's evidence lower bound
    (Eq. 3, with the constraint of Eq. 7) less a regularizer, by which the cluster of a row is
    unchanged by small changes of the row, and a loss to pseudo-labels, the probabilities that an
    initial partition gives to the rows.

    Parameters
    ----------
    n_clusters : int, default=8
        Number K of mixture components. Where clusters are well separated, fewer may be found.
    latent_dim : int, default=10
        Dimension N_x of the latent x, which `transform` returns.
    style_dim : int, default=10
        Dimension N_w of the style noise w.
    hidden_layer_sizes : "auto", int or tuple of int, default="auto"
        Widths of the encoder's dense layers; the decoder has them in reverse. "auto" is two
        layers, the wider the more rows: from 32 for 50 rows to 512 for 10,000 (at most 128 for
        50 features or fewer, and 256 after convolutions).
    networks : {"dense", "conv"} or callable, default="dense"
        "conv" has convolutions before the encoder's dense layers and needs `image_shape`. A
        callable returns modules of your own, or the paper's, see :mod:`skgmvae.networks`;
        `hidden_layer_sizes` is then not used.
    image_shape : tuple of int, default=None
        (height, width) or (height, width, channels) of the image that a row is, channels last.
    likelihood : {"gaussian", "student_t", "bernoulli", "poisson", "negative_binomial"}, \
            default="gaussian"
        Family of p(y|x), see :mod:`skgmvae.likelihoods`. "student_t" is for values with outliers
        or heavy tails, and learns degrees of freedom for each column. "bernoulli" is for values in
        [0, 1], or bytes, which are divided by 255 unless they are zeros and ones. `fit` decides
        on the unit: a model fitted to bytes takes floats from 0 to 255. "poisson" and
        "negative_binomial" are for counts as they were counted: rows may have different totals
        (size factors), by which clusters do not differ.
    categorical_features : "from_dtype", array-like or None, default="from_dtype"
        Which columns are categories, without an order: names or indices, or a mask of shape
        (n_features,). "from_dtype" are those of a DataFrame, of pandas or polars, that hold strings
        or booleans, or are of the dtype "category" ("Categorical", "Enum"). They are one-hot
        encoded inside, and p(y|x) gives their values probabilities. A value that the training data
        did not have counts as missing, with a warning. A column may have 1,000 values at most; not
        with `image_shape`, sparse rows or a likelihood of counts.
    scale : {"auto", "range", "std"} or None, default="auto"
        What a column of X is divided by before all are divided by one number, so that their mean
        variance is 1; for "gaussian" and "student_t" only. "range" is the range of the column,
        "std" its standard deviation. None leaves the columns as they are, so that a scaler or
        weights of your own, in a `Pipeline`, have their effect. "auto" is the range, in which
        values far from all others do not count, and a column of few values (a flag, a rating)
        spans its range and the smallest gap between two of its values; columns of rows of unit
        length, as `TfidfVectorizer` returns them, share a scale. The pixels of an image share it
        by channel in any case.
    n_mc_samples : int, default=1
        Monte Carlo samples M of x and w for each row and step.
    min_information : float, default=0.0
        The threshold lambda of Eq. 7 in nats, below log(n_clusters).
    consistency : "auto" or float, default="auto"
        Weight of the regularizer. "auto" is ``1.8 * sqrt(n_features)`` (of encoded categories, the
        columns), since the bound that it is weighed against is a sum over features; and 50 where
        clusters follow from the regularizer, which is with ``init="random"``, in a stream, and if
        `perturbation` is "affine" or "both". 0 gives exactly the paper's objective, without an
        initial partition.
    perturbation : {"adversarial", "affine", "both"} or callable, default="adversarial"
        The change of a row that its cluster should survive. "adversarial" knows nothing of the
        data; "affine" rotates, scales, shears and shifts images (`image_shape`), and "both"
        then makes an adversarial change as well. A callable is described in
        :mod:`skgmvae.perturbations`.
    perturbation_radius : "auto" or float, default="auto"
        Length of the adversarial step in the model's units, in which the mean variance of a
        feature (of counts, of log(1 + count)) is 1, or values lie in [0, 1] (Bernoulli). "auto" is
        0.175 of each row's distance to its 10th neighbor. Not used with "affine" or a callable.
    init : {"neighbors", "random"}, default="neighbors"
        "neighbors" begins with a partition of the rows, the best of several cuts of the graph of
        nearest neighbors and of its minimum spanning tree by a criterion that needs no labels; with
        a Gaussian mixture, where BIC says that it is the right model, or no clusters stand apart
        and it explains more of the columns; or, where all columns are categories or have two
        values, with a latent class model. The posterior is fitted to the probabilities of clusters
        there, with the same weight to the end. With `likelihood="bernoulli"`, many rows and many
        features (more than 2,500 rows, 50 features and 10 rows for each feature), or if images
        should survive affine changes, the weight falls to a small one, the sooner the more rows,
        unless the fit begins with latent classes. Images that should survive affine
        changes are compared up to such changes. "random" begins with no partition and asks for even
        clusters; `consistency=0` begins with none.
    n_init : int, default=1
        Number of random initializations of the weights, of which only the best is trained to the
        end: each is run for a sixth of the epochs, and the one whose clusters have most
        information on the rows (mutual information; without the regularizer, the best bound)
        goes on. The initial partition is the same for all. Not used where a fit is continued.
    learning_rate : {"cosine", "constant"}, default="cosine"
        "cosine" falls to zero on a half cosine over `max_iter` epochs.
    learning_rate_init : "auto" or float, default="auto"
        Initial learning rate of Adam; "auto" is larger the fewer steps `max_iter` stands for, from
        8e-3 for a few hundred to 2e-3 for 6,000, and 3e-3 where it is constant.
    batch_size : int, default=256
        Rows per step, at the most.
    max_iter : "auto" or int, default="auto"
        Epochs in all, those of earlier fits included where `warm_start` is set. "auto" gives few
        rows enough steps to converge and many rows few epochs: 50 epochs for 600 rows, 24 for
        3,400 to 64,000, then 6,000 steps rounded up to whole epochs, at least one.
    tol : float, default=1e-2
        Change of the loss that counts, as a share of its fall since the first epoch.
    n_iter_no_change : int, default=100
        Epochs without a change after which training stops early.
    early_stopping : bool, default=False
        Whether training is judged by the bound of rows that are held out from it instead of by its
        loss: it ends when that bound has not changed by what counts (`tol`) for `n_iter_no_change`
        epochs, and the weights of the epoch with the highest bound are kept. To end well before
        `max_iter`, lower `n_iter_no_change` to 10 or so. The units and the initial partition are
        of all rows, as `labels_` is. :class:`~skgmvae.callbacks.EarlyStopping` takes rows of your
        own. Not used by `partial_fit`, which takes one pass.
    validation_fraction : float, default=0.1
        Share of the rows that are held out if `early_stopping` is set, drawn by `random_state`.
    warm_start : bool, default=False
        Whether `fit` trains the present model on, up to `max_iter` epochs in all, as scikit-learn's
        ensembles count their estimators; not, as in `MLPClassifier`, for `max_iter` more. What
        columns are divided by (`scale`) stays as it was.
    checkpoint : str or path-like, default=None
        A file from which a `fit` that was killed goes on. It is written while training, and once
        more at the end; the one before stays beside it, as ``checkpoint + ".previous"``. `fit`
        with the same parameters, rows and weights goes on from it by itself and says so
        (:class:`~skgmvae.exceptions.ResumedFitWarning`); the result is the same to the last bit
        (up to rounding with another number of threads or processes; on another kind of device the
        steps that are left draw other noise). A file of any other fit is refused: remove it to
        begin anew. Callables are compared by their code and attributes, not by what they call; with
        a RandomState instance each call has another seed. The file holds no rows. Needs the package
        safetensors (``pip install "skgmvae[files]"``); not used by `partial_fit`.
    checkpoint_every : float, default=60.0
        Seconds of training between two times that `checkpoint` is written; 0 writes it after each
        step. Ctrl-C and SIGTERM write it too.
    device : str or torch.device, default="auto"
        "auto" takes a CUDA device if there is one that works; or "cpu", "cuda:1", ...
    distributed : {"auto", "off"}, default="auto"
        "auto" fits one model in all processes of the default process group of
        `torch.distributed`, if there is one or the environment is that of ``torchrun``: each
        passes rows of its own, or all pass the same rows, and all call `fit`. "off" fits a model
        in this process. Not for `partial_fit`. Processes of joblib are never part of a group.
    n_jobs : int, default=None
        Processes for the trials of `n_init`, as in joblib. The fit is the same up to rounding,
        which depends on the number of threads. Not used in a group (`distributed`), nor for rows
        in a file.
    random_state : int, RandomState instance or None, default=None
        Fixes everything that is drawn.
    verbose : int, default=0
        1 prints 11 lines at most for each training run: the epoch, the bound in the units of X
        while training (and that of held-out rows), how many clusters have rows, the share of rows
        that changed cluster since the line before (both of up to 2,048 rows), and the seconds that
        are left at most. 2 prints a line an epoch. Trials (`n_init`) are runs of their own.

    Attributes
    ----------
    labels_ : ndarray of shape (n_samples,)
        Component of each training row; of those that this process passed, if several fit
        together (`distributed`). All other attributes are then the same in all of them, and
        describe all rows.
    init_labels_ : ndarray of shape (n_samples,) or None
        Component of each training row in the initial partition, -1 of a row without weight. Where
        a fit was continued (`warm_start`), its component before; None if the fit began with none.
    weights_ : ndarray of shape (n_clusters,)
        p(z) of the fitted model, by which `sample` draws components, and `predict_proba` and
        `score_samples` weigh them. While fitting, p(z) is uniform (Eq. 1b) or, where there is an
        initial partition, the share of each cluster in it; with the paper's objective
        (``consistency=0``) it stays uniform. Otherwise it is then set to the mean posterior
        probability of each component over the training rows, shrunk toward uniform as far as rows
        are undecided, or less decided than in the initial partition if there is one. With it the
        distribution p(x|z) that `latent_components` returns is fitted.
    cluster_counts_ : ndarray of shape (n_clusters,)
        Rows in each component. After `fit` the largest comes first, by weight, empty ones last.
    n_clusters_found_ : int
        Components that have rows.
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        Mean of the training rows in each component, as `means_` of `GaussianMixture`, weighted by
        the squares of their probabilities; with ``consistency=0`` the decoded mean at w = 0. Where
        `predict` puts that point in another cluster (the mean of a ring may be in the disc that it
        surrounds), the training row of the cluster that is nearest to the component's mean in the
        latent space. So ``predict(cluster_centers_)`` gives every cluster that has rows its own
        number, in tables of numbers without missing values. With categories, each of which is the
        most frequent one, it is a DataFrame or, after a fit to an array with text or to a
        DataFrame of polars, an array of objects.
    exemplar_indices_ : ndarray of shape (n_clusters,)
        The training row that most surely belongs to each component; -1 if it has no row of any
        weight. If processes pass different rows, they are numbered in the order of ranks.
    lower_bound_ : float
        Mean bound of the training rows under the fitted model (Eq. 3), in nats per row, in the
        units of X: ``score(X)``, of 10,000 rows at the most.
    history_ : dict of str to ndarray of shape (n_epochs,)
        Means per epoch, while training, in nats per row: the four terms of Eq. 3
        (`reconstruction`, in the units of X, `conditional_prior`, `w_prior`, `z_prior`),
        `lower_bound`, and the `regularizer`, which `consistency` weighs. Unless it is 0, also the
        parts of the regularizer (`disagreement`, `information`; `conditional_entropy`,
        `marginal_entropy`, `imbalance`) and `pseudo_label_loss`, which has its own weights.
    validation_scores_ : ndarray of shape (n_epochs,) or None
        With `early_stopping`, the mean bound of the rows that were held out after each epoch, as
        `lower_bound` in `history_`; NaN for those of an earlier fit without. Else None.
    n_iter_ : int
        Epochs run, those of earlier fits included where a fit was continued.
    converged_ : bool
        Whether the loss was flat at the end of the schedule, not whether training stopped before
        it: the last tenth of all epochs, those of earlier fits included, brought no change that
        counts by `tol`. False after a fit that was interrupted.
    module_ : torch.nn.Module
        The trained GMVAE, in evaluation mode. To be read only.
    device_ : str
        Where it is, with its index: "cpu", "cuda:0".
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
    Autoencoders, arXiv:1611.02648v2. Equation numbers are those of this paper.

    The regularizer follows Hu et al., Learning Discrete Representations via Information Maximizing
    Self-Augmented Training, arXiv:1702.08720, and Miyato et al., Virtual Adversarial Training,
    arXiv:1704.03976.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgmvae import GMVAEClustering
    >>> X, y = load_iris(return_X_y=True)
    >>> clusterer = GMVAEClustering(n_clusters=3, random_state=0).fit(X)
    >>> clusterer.predict_proba(X).shape
    (150, 3)

    The examples of the methods go on with this clusterer.
    """

    _parameter_constraints = PARAMETER_CONSTRAINTS

    _fitted: Fitted
    _state: _fit.FitState
    _records: list[_fit.Recorded]
    _columns: Columns | None
    _warnings: list[str]

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        latent_dim: int = 10,
        style_dim: int = 10,
        hidden_layer_sizes: str | int | Sequence[int] = "auto",
        networks: str | NetworkFactory = "dense",
        image_shape: Sequence[int] | None = None,
        likelihood: str = "gaussian",
        categorical_features: str | ArrayLike | None = "from_dtype",
        scale: str | None = "auto",
        n_mc_samples: int = 1,
        min_information: float = 0.0,
        consistency: str | float = "auto",
        perturbation: str | Perturbation = "adversarial",
        perturbation_radius: str | float = "auto",
        init: str = "neighbors",
        n_init: int = 1,
        learning_rate: str = "cosine",
        learning_rate_init: float | str = "auto",
        batch_size: int = 256,
        max_iter: str | int = "auto",
        tol: float = 1e-2,
        n_iter_no_change: int = 100,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        checkpoint: PathLike | None = None,
        checkpoint_every: float = 60.0,
        device: str | torch.device = "auto",
        distributed: str = "auto",
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
        self.categorical_features = categorical_features
        self.scale = scale
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
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.checkpoint_every = checkpoint_every
        self.device = device
        self.distributed = distributed
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    # scikit-learn's pattern: parameters are validated here, and not again by what is called inside
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Fit the model.

        The object changes at once, when all has succeeded; after an error it is as before. After
        Ctrl-C while training it holds the best model so far, and `KeyboardInterrupt` is raised
        again, so that a search around the fit ends too. SIGTERM does the same in the main thread,
        if it has no handler and would end the process. Both wait until the step under way is done;
        a second one, more than half a second later, does not. With `checkpoint`, the same call
        goes on where it was.

        With ``warm_start=True`` a fitted model is trained on, up to `max_iter` epochs in all;
        the clusters that it has take the place of an initial partition (`init`). With `max_iter`
        as before the networks are not trained further: `weights_`, the order of the components
        and the attributes that describe the rows are derived anew.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows at any location and scale; NaN is a missing value, infinity is refused. It may be a
            DataFrame with categories (`categorical_features`) or a source of rows in a file
            (:mod:`skgmvae.sources`). If rows are far from all others,
            :class:`~skgmvae.exceptions.FarRowsWarning` is issued. Of rows in memory neither the
            order makes a difference, nor copies of a row in place of a weight.
        y : array-like of shape (n_samples,), default=None
            Not used by the fit. Callbacks that compare with labels are given them.
        sample_weight : array-like of shape (n_samples,), default=None
            How many rows each counts for: 2 is the row twice, 0 leaves it out. Where the weights
            of distinct rows have a mean below 1, only their proportions count; the initial
            partition rounds them to whole numbers, one at least.

        Returns
        -------
        self : GMVAEClustering

        Raises
        ------
        ValueError, TypeError
            If X or a parameter is invalid, or the loss was not finite at any learning rate tried;
            if the file `checkpoint` is of another fit.
        InvalidModelFile
            If the file `checkpoint` is damaged, and the one before too, or is no checkpoint.
        ImportError
            If `checkpoint` is set and safetensors is not installed.
        OSError
            If the file `checkpoint` cannot be read.
        KeyboardInterrupt
            After Ctrl-C or SIGTERM, see above.

        Warns
        -----
        ClusteringWarning
            Of the data or the clusters, see :mod:`skgmvae.exceptions`.
        ConvergenceWarning
            If the loss was still changing after `max_iter` epochs that were asked for, no epoch was
            run, or the loss was not finite until the learning rate was lowered.

        Examples
        --------
        >>> clusterer.fit(X).n_clusters_found_
        3
        """
        group = join(self.distributed)
        previous = self._previous_of_fit(group)
        given = _fit.given_to_fit(self, X, sample_weight, previous, group)
        task = _fit.FitTask(self, X, y, given.of_columns, given.group)
        result = _fit.fit(self, given, task)
        if not result.state.interrupted:
            _warn(result.warnings)
        before = self.__dict__
        self._assign(given, result)
        if result.state.interrupted:
            raise KeyboardInterrupt(
                f"Interrupted after {self.n_iter_} epochs: the best weights so far are kept."
            )
        try:
            task.end(dict)
        except Exception:  # of a callback
            self.__dict__ = before
            raise
        return self

    def partial_fit(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Take one pass over X, in batches, at a constant learning rate.

        The first call fixes the location and scale of the data, the size of the perturbation, and
        whether the encoder sees where values are missing, so its rows should be typical, and many.
        The networks are as wide as 10,000 rows ask for (`hidden_layer_sizes`). Up to
        2,000 rows of the stream, drawn evenly from all, are remembered, and as many of them as X
        has rows, but at least a batch, take part in the pass: chunks may come in any order, one
        cluster after another too. Even clusters are expected.

        After `fit` to rows in memory some of these are remembered at first, and the clusters that
        the model has are kept. Then the latest rows of each cluster are remembered, so that
        clusters may move, slowly beside 2,000 rows, and are not lost while no rows of theirs come.

        Components keep their numbers from call to call. `labels_` and what follows from it describe
        the rows of the last call. A copy or a pickle starts with fresh moments of Adam, and
        remembers no rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As in `fit`.
        y : Ignored
        sample_weight : array-like of shape (n_samples,), default=None
            How many rows each counts for, as in `fit`, except that weights below 1 are kept as they
            are, relative to the rows of other calls.

        Returns
        -------
        self : GMVAEClustering

        Raises
        ------
        ValueError, TypeError
            If X or a parameter is invalid, or the loss is not finite; the object is then as before
            the call.

        Examples
        --------
        >>> from sklearn.base import clone
        >>> stream = clone(clusterer)
        >>> for chunk in (X[::2], X[1::2]):
        ...     _ = stream.partial_fit(chunk)
        >>> stream.n_iter_
        2
        """
        if not sklearn.get_config()["skip_parameter_validation"]:
            self._validate_params()  # at each call, where scikit-learn's decorator would skip it
        if not join(self.distributed).is_alone:
            raise ValueError(
                f"distributed={self.distributed!r} is for `fit`: `partial_fit` trains in one "
                "process. Pass distributed='off', or call `fit` with rows in each process."
            )
        previous = self._previous() if self.__sklearn_is_fitted__() else None
        with sklearn.config_context(skip_parameter_validation=True):
            given = _fit.given_to_partial_fit(self, X, sample_weight, previous)
            result = _fit.partial_fit(self, given)
        _warn(result.warnings)
        self._assign(given, result)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.intp]:
        """Assign each row to its most probable component.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows in the units of the training data; NaN is a missing value.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Number of the component, from 0 to n_clusters - 1, of dtype intp.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            If X is invalid.

        Examples
        --------
        >>> bool((clusterer.predict(X) == clusterer.labels_).all())
        True
        """
        fitted, rows = self._checked_rows(X)
        return fitted.labels(rows)

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return p(z|x, w) at the means of q(x|y) and q(w|y), by Equation 4.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training data; NaN is a missing value.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_clusters)
            Rows sum to 1. Of dtype float64 if X is float64, and float32 if X is float32 or uint8.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is invalid.
        TypeError
            If X is sparse (use `predict_log_proba`) or holds no numbers, such as dates.

        Examples
        --------
        >>> clusterer.predict_proba(X[:2]).sum(1)
        array([1., 1.])
        """
        if issparse(X):
            raise TypeError(
                "predict_proba takes no sparse X: scikit-learn does not yet allow it of a "
                "clusterer. Use np.exp(predict_log_proba(X)), which takes sparse data, or pass "
                "X.toarray()."
            )
        fitted, rows = self._checked_rows(X)
        return np.exp(fitted.log_proba(rows))

    def predict_log_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return the logarithm of `predict_proba`, which does not underflow.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows in the units of the training data; NaN is a missing value.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_clusters)
            In nats, at most 0; of the dtype that `predict_proba` has.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            If X is invalid.

        Examples
        --------
        >>> clusterer.predict_log_proba(X).shape
        (150, 3)
        """
        fitted, rows = self._checked_rows(X)
        return fitted.log_proba(rows)

    def decision_function(self, X: ArrayLike) -> NDArray[Any]:
        """Return the log-odds of each component, log p / (1 - p).

        They rank rows where probabilities have saturated at 0 or 1, which the paper's protocol
        needs (:func:`skgmvae.metrics.max_probability_labels`).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows in the units of the training data; NaN is a missing value.

        Returns
        -------
        log_odds : ndarray of shape (n_samples, n_clusters)
            In nats, of the dtype that `predict_proba` has. Infinite where there is one component
            only.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            If X is invalid.

        Examples
        --------
        >>> from skgmvae.metrics import max_probability_accuracy
        >>> max_probability_accuracy(y, clusterer.decision_function(X)) > 0.8
        True
        """
        fitted, rows = self._checked_rows(X)
        return fitted.log_odds(rows)

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Return the mean of q(x|y), the latent representation of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows in the units of the training data; NaN is a missing value.

        Returns
        -------
        latent : ndarray of shape (n_samples, latent_dim)
            Of the dtype that `predict_proba` has.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            If X is invalid.

        Examples
        --------
        >>> clusterer.transform(X).shape
        (150, 10)
        """
        fitted, rows = self._checked_rows(X)
        return fitted.latent(rows)

    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Decode latent points: the mean of p(y|x), in the units of the data.

        Of counts it returns those of a row with the median total of the training rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)
            Points of the latent space, as `transform` returns them.

        Returns
        -------
        decoded : ndarray of shape (n_samples, n_features)
            In the units of the training data. A DataFrame if the model was fitted to one of pandas
            with categories, with the index of X if X has one; an array of objects if it was fitted
            to another table with text categories.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X has NaN or infinity, or not `latent_dim` columns.
        TypeError
            If X is sparse.

        Examples
        --------
        >>> import numpy as np
        >>> decoded = clusterer.inverse_transform(clusterer.transform(X))
        >>> np.allclose(decoded, clusterer.reconstruct(X))
        True
        """
        state = self._fitted_state()
        fitted: Fitted = state["_fitted"]
        with without_array_api():
            latent: Any = check_array(X, dtype=[np.float64, np.float32])
        latent_dim = fitted.architecture.latent_dim
        if latent.shape[1] != latent_dim:
            raise ValueError(
                f"X has {latent.shape[1]} columns, but the latent space has latent_dim="
                f"{latent_dim}: pass what `transform` returns."
            )
        return _in_columns(state["_columns"], fitted.decoded(latent), X)

    def reconstruct(self, X: ArrayLike) -> NDArray[Any]:
        """Encode and decode: the mean of p(y|x) at the mean of q(x|y), in the units of X.

        So missing values are imputed. Of counts it returns those expected of a row with its total.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows in the units of the training data; NaN is a missing value.

        Returns
        -------
        reconstruction : ndarray of shape (n_samples, n_features)
            In the units of the training data, of the type that `inverse_transform` returns.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            If X is invalid.

        Examples
        --------
        >>> clusterer.reconstruct(X).shape
        (150, 4)
        """
        state = self._fitted_state()
        fitted, rows = self._checked_rows(X, state)
        return _in_columns(state["_columns"], fitted.reconstructed(rows), X)

    def elbo(self, X: ArrayLike) -> Terms:
        """Estimate the four terms of the bound for each row, under noise that all rows share.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows in the units of the training data; NaN is a missing value.

        Returns
        -------
        terms : named tuple of ndarray of shape (n_samples,)
            In nats, means over 16 draws of x and w: `reconstruction` (a log-density in the units of
            X; a log-probability of binary values and counts), `conditional_prior` (Eq. 5),
            `w_prior` and `z_prior` (Eq. 6, against `weights_`). The property `bound` is the first
            minus the others.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            If X is invalid.

        Examples
        --------
        >>> terms = clusterer.elbo(X)
        >>> terms.bound.shape
        (150,)
        >>> bool(terms.z_prior.mean() <= np.log(3))
        True
        """
        fitted, rows = self._checked_rows(X)
        return fitted.elbo(rows)

    def score_samples(self, X: ArrayLike, *, n_draws: int | None = None) -> NDArray[Any]:
        """Return the log-density of each row, or a lower bound on it, in the units of X.

        With `n_draws` it is an estimate of the density of what `sample` draws, which compares with
        `GaussianMixture.score_samples`. Without, it is the bound that is maximized by `fit`, Eq. 3
        with its prior p(x|w, z), which is quicker and mostly lower, by tenths of a nat to some
        nats.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows in the units of the training data; NaN is a missing value.
        n_draws : int, default=None
            ``None`` gives the bound of Eq. 3. A number gives the importance-weighted estimate of
            the density by so many points x, which are fixed: 64 to 100 suffice in up to ten
            dimensions. With ``consistency=0`` the points are draws of (x, w), and the density is
            that of the paper's generative model (Burda et al., arXiv:1509.00519).

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats; higher is better.

        Raises
        ------
        NotFittedError
            Before `fit`.
        TypeError, ValueError
            If `n_draws` is not a positive integer, or X is invalid.

        Examples
        --------
        >>> typical, far = [5.8, 3.1, 3.8, 1.2], [58.0, 3.1, 3.8, 1.2]
        >>> bound = clusterer.score_samples([typical, far])
        >>> bool(bound[0] > bound[1])
        True
        """
        if n_draws is not None:
            check_positive_integer(n_draws, "n_draws")
        fitted, rows = self._checked_rows(X)
        return fitted.elbo(rows).bound if n_draws is None else fitted.log_density(rows, n_draws)

    def score(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Return the mean of `score_samples` without `n_draws`: the bound of Equation 3.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows in the units of the training data; NaN is a missing value.
        y : Ignored
        sample_weight : array-like of shape (n_samples,), default=None
            By which the mean is weighted.

        Returns
        -------
        bound : float
            In nats per row; higher is better.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            If X is invalid; if `sample_weight` is not numeric, negative, zero for all rows, or of
            another length.

        Examples
        --------
        >>> clusterer.score(X) > clusterer.score(X + 10)
        True
        """
        fitted, rows = self._checked_rows(X)
        weights = checked_weights(sample_weight, rows)
        return float(np.average(fitted.elbo(rows).bound, weights=weights))

    def sample(
        self,
        n_samples: int = 1,
        cluster: ArrayLike | None = None,
        w: ArrayLike | None = None,
        *,
        observation_noise: bool = True,
    ) -> tuple[NDArray[Any], NDArray[np.intp]]:
        """Draw rows from the fitted model.

        Without `w`, rows have the density that `score_samples` estimates with `n_draws`, and are of
        a cluster in proportion to the squares of `predict_proba`: a latent point x is drawn from
        the normal distribution of a component that was fitted to the posteriors of its training
        rows (`latent_components`), and what then turns out to be of another cluster than the one
        that was asked for is drawn again. With `w`, x is drawn from the paper's p(x|w, z) (Eq. 1c),
        as for the paper's figures. With ``consistency=0`` it is the paper's in any case.

        With an integer `random_state` each call draws the same rows; with None or a RandomState
        instance each call draws others.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows to draw.
        cluster : int or array-like of shape (n_samples,), default=None
            Cluster of each row. With ``None`` it is drawn by `weights_` if `w` is given or
            ``consistency=0``; otherwise a component is, and the row may lie in another cluster.
        w : array-like of shape (style_dim,) or (n_samples, style_dim), default=None
            The style. Zeros give the typical style; draws from N(0, I) (Eq. 1a) give the paper's
            generative process. ``None`` does without a style, see above.
        observation_noise : bool, default=True
            ``False`` returns the mean of p(y|x) rather than a draw, as the paper's figures do;
            images look better so, and a Bernoulli draw is black and white.

        Returns
        -------
        X : ndarray or DataFrame of shape (n_samples, n_features)
            In the units of the training data, of the type that `inverse_transform` returns; a
            feature that had one value there has it here, as it has in `reconstruct`,
            `inverse_transform` and `cluster_centers_`.
        labels : ndarray of shape (n_samples,)
            The cluster of each row.

        Raises
        ------
        NotFittedError
            Before `fit`.
        TypeError
            If `n_samples` is not an integer, or `observation_noise` not a bool.
        ValueError
            If `n_samples` is not positive, `cluster` has another length or names a component that
            does not exist, or `w` has another shape or values that are not finite numbers.

        Examples
        --------
        >>> X_new, labels = clusterer.sample(4, cluster=[0, 1, 2, 2])
        >>> X_new.shape, labels
        ((4, 4), array([0, 1, 2, 2]))
        """
        state = self._fitted_state()
        fitted: Fitted = state["_fitted"]
        check_positive_integer(n_samples, "n_samples")
        check_bool(observation_noise, "observation_noise")
        rows, labels = fitted.sample(
            int(n_samples), draw_seed(self.random_state),
            labels=checked_components(cluster, n_samples, fitted.architecture.n_clusters),
            style=checked_style(w, n_samples, fitted.architecture.style_dim),
            observation_noise=observation_noise,
        )
        return _in_columns(state["_columns"], rows), labels

    def save(self, path: PathLike) -> None:
        """Write the fitted model to a file, which :func:`skgmvae.load` reads.

        The file holds arrays and JSON, no code: unlike a pickle it may be opened if it comes from
        somebody else (:doc:`/trust`). It is replaced in one step: after an error the old one is
        there, as it was. Networks and perturbations of your own are not in it, they are passed to
        `load`; nor are `device`, the rows that `partial_fit` remembers, and attributes that you
        have added. A `random_state` that is a RandomState is stored as it is now. Needs the
        package safetensors (``pip install "skgmvae[files]"``).

        Parameters
        ----------
        path : str or path-like
            The usual ending is ``.safetensors``.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ImportError
            If safetensors is not installed.
        ValueError, TypeError
            If a parameter is invalid or does not hold plain data, if `path` is not a path, or if
            the object is an instance of a subclass, which a file cannot represent.
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> import os, tempfile
        >>> from skgmvae import load
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "iris.safetensors")
        ...     clusterer.save(path)
        ...     again = load(path)
        >>> bool((again.predict(X) == clusterer.labels_).all())
        True
        """
        self._fitted_model()
        check_path(path)
        if type(self) is not GMVAEClustering:
            raise TypeError(
                f"A file holds a GMVAEClustering, not a {type(self).__name__}: pickle it."
            )
        self._validate_params()
        state = self._state_dict(dict(vars(self)))
        files.write(path, _stored.for_file(state), versions.installed())

    def latent_components(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return where each component lies in the latent space: the mean and covariance of p(x|z).

        They are those of the posteriors q(x|y) of its training rows, by which `sample` draws and
        `score_samples` weighs. With ``consistency=0`` they are those of p(x|w, z) at w = 0
        (Eq. 1c).

        Returns
        -------
        means : ndarray of shape (n_clusters, latent_dim)
            In the coordinates that `transform` returns; float64 (float32 with ``consistency=0``).
        covariances : ndarray of shape (n_clusters, latent_dim, latent_dim)
            Of the same dtype; diagonal with ``consistency=0``.

        Raises
        ------
        NotFittedError
            Before `fit`.

        Examples
        --------
        >>> means, covariances = clusterer.latent_components()
        >>> means.shape, covariances.shape
        ((3, 10), (3, 10, 10))
        """
        return self._fitted_model().components()

    def to_markdown(self, X: ArrayLike | None = None, y: ArrayLike | None = None) -> str:
        """Describe the fitted model in Markdown: a model card.

        It has the shape and units of the data, settings that are not defaults, the history in
        brief, cluster sizes, the warnings of the last fit, and versions. With labels it says
        whether probabilities are what they seem.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            Rows with known labels, best those that the model was not fitted to.
        y : array-like of shape (n_samples,), default=None
            Their labels. A cluster has the label of its most certain row
            (:func:`skgmvae.metrics.max_probability_labels`), and a class the probability of its
            clusters.

        Returns
        -------
        card : str
            The text, with headings of levels 1 and 2.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            If only one of X and y is given, X is invalid, or y has fewer than two classes, missing
            labels or labels of mixed types.

        Examples
        --------
        >>> print(clusterer.to_markdown(X, y).split("## ")[0])
        # GMVAEClustering with 3 clusters
        """
        fitted = self._fitted_model()
        numbered = [f"x{j}" for j in range(self.n_features_in_)]
        names = list(getattr(self, "feature_names_in_", numbered))
        columns = list(range(self.n_features_in_))
        if self._columns is not None:
            names = self._columns.encoded_names(names)
            columns = self._columns.of_encoded(columns)
        return model_card(
            self, fitted.units, names, columns, self._warnings, versions.installed(), X, y
        )

    @property
    def module_(self) -> torch.nn.Module:
        """The trained GMVAE, a torch.nn.Module in evaluation mode. To be read only."""
        return self._fitted_model().module

    @property
    def device_(self) -> str:
        """The device of the model, a str with its index, such as "cuda:0"."""
        return str(self._fitted_model().device)

    @property
    def weights_(self) -> NDArray[np.float64]:
        """p(z) of the fitted model, an ndarray of shape (n_clusters,) that sums to 1."""
        return self._fitted_model().weights

    @property
    def history_(self) -> dict[str, NDArray[np.float64]]:
        """Means per epoch while training, a dict of ndarrays (n_epochs,), in nats per row."""
        fitted = self._fitted_model()
        return _fit.history(self._records, fitted)

    @property
    def validation_scores_(self) -> NDArray[np.float64] | None:
        """Mean bound of held-out rows after each epoch, (n_epochs,), in nats per row, or None."""
        check_is_fitted(self)
        return _fit.validation_scores(self._records)

    @property
    def n_iter_(self) -> int:
        """Number of epochs run, an int; those of earlier fits and of `partial_fit` included."""
        check_is_fitted(self)
        return len(self._records)

    @property
    def converged_(self) -> bool:
        """Whether the loss was flat at the end of the schedule."""
        check_is_fitted(self)
        return _fit.has_converged(self._records, self._state)

    @property
    def _n_features_out(self) -> int:
        return self._fitted_model().architecture.latent_dim

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fitted")

    def _fitted_state(self) -> dict[str, Any]:
        """Return all attributes at once: another thread may fit, and put others in their place."""
        check_is_fitted(self)
        return self.__dict__

    def _fitted_model(self) -> Fitted:
        return cast(Fitted, self._fitted_state()["_fitted"])

    def _checked_rows(
        self, X: ArrayLike, state: dict[str, Any] | None = None
    ) -> tuple[Fitted, Any]:
        """Return the model and rows to predict, checked against it; warn of rows far away."""
        state = self._fitted_state() if state is None else state
        fitted: Fitted = state["_fitted"]
        rows = checked_rows(self, X, state["_columns"])
        n_features = len(fitted.units.scale)
        if rows.shape[1] != n_features:
            raise ValueError(
                f"X has {rows.shape[1]} features, but the model was fitted to {n_features}."
            )
        fitted.check(rows)
        _warn(fitted.conversion_warnings(rows))
        return fitted, rows

    def _previous_of_fit(self, group: Group) -> _fit.Previous | None:
        """Return the model that `fit` goes on from, if it is to, in all processes of a group."""
        continued = self.warm_start and self.__sklearn_is_fitted__()
        group.check_in_all(
            "The model that warm_start=True trains on", continued,
            "Load it in each of them, or pass warm_start=False.",
        )
        return self._previous() if continued and not group.of_first(self._can_go_on) else None

    def _can_go_on(self) -> bool:
        """Whether the fit that left this model was interrupted, and has a file to go on from."""
        return (
            self.checkpoint is not None and self._state.interrupted
            and os.path.exists(self.checkpoint)
        )

    def _previous(self) -> _fit.Previous:
        return _fit.Previous(self._fitted, self._state, self._records)

    def _assign(self, given: _fit.Given, result: _fit.Fit) -> None:
        """Take over the result of a fit, in one step that no reader can come between."""
        new = {name: value for name, value in vars(self).items() if name != "feature_names_in_"}
        new |= given.of_columns
        new |= {f"{name}_": value for name, value in result.description._asdict().items()}
        if given.columns is not None:
            new["cluster_centers_"] = given.columns.decoded(new["cluster_centers_"])
        earlier = given.previous.records if given.previous else ()
        new["_records"] = [*earlier, *result.records]
        new["_warnings"] = [str(warning) for warning in result.warnings]
        self.__dict__ = new | {"_fitted": result.fitted, "_state": result.state}

    def __getstate__(self) -> dict[str, Any]:
        state = self._state_dict(dict(super().__getstate__()))
        packed, made_by = pack(state), versions.installed()
        return {"_versions": made_by, "sha256": digest(packed, made_by), **packed._asdict()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        made_by: Any = state.get("_versions")
        versions.check_layout(made_by)
        try:
            packed = Packed(*(state[name] for name in Packed._fields))
            is_whole = state["sha256"] == digest(packed, made_by)
        except (AttributeError, KeyError, TypeError, ValueError):
            is_whole = False
        if not is_whole:
            raise ValueError(
                "The pickle is damaged: its content does not match its digest. "
                "Take another copy of it."
            )
        found = unpack(packed)
        attributes = found["parameters"] | found["others"]
        if found["fit"] is not None:
            skeleton = _stored.check_structure(found["fit"])
            attributes |= _stored.from_state(found["fit"], skeleton)
            attributes["_fitted"].moved(available_device(found["device"]))
        super().__setstate__(attributes)
        versions.warn_of_other_version(made_by, type(self).__name__)

    def _state_dict(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Return the attributes, sorted into what is stored in different ways."""
        parameters = {
            name: attributes.pop(name) for name in self._get_param_names() if name in attributes
        }
        if isinstance(parameters.get("checkpoint"), os.PathLike):  # of one system
            parameters["checkpoint"] = os.fspath(parameters["checkpoint"])
        is_fitted = "_fitted" in attributes
        return {
            "parameters": parameters,
            "device": str(attributes["_fitted"].device) if is_fitted else None,
            "fit": _stored.to_state(attributes) if is_fitted else None,
            "others": attributes,
        }


def load(
    path: PathLike,
    *,
    device: str | torch.device = "auto",
    networks: NetworkFactory | None = None,
    perturbation: Perturbation | None = None,
) -> GMVAEClustering:
    """Read a fitted model from a file that `GMVAEClustering.save` has written.

    A file may come from anywhere: it holds no code, and nothing in it is used before it is
    checked. :doc:`/trust` says what that promises, and what it does not.

    Parameters
    ----------
    path : str or path-like
    device : str or torch.device, default="auto"
        Where the model is put; the parameter `device` of the clusterer.
    networks : callable, default=None
        The factory that the model was fitted with, if that was one of your own.
    perturbation : callable, default=None
        The perturbation that the model was fitted with, if that was one of your own.

    Returns
    -------
    clusterer : GMVAEClustering

    Raises
    ------
    InvalidModelFile
        If the file is damaged, of a newer version, or no model; if it needs networks or a
        perturbation of your own, or none; or if those passed are not those that it was fitted with,
        by the shapes of their weights.
    ValueError
        If the device cannot be used.
    TypeError
        If `path` or `device` is not of a type listed above.
    ImportError
        If safetensors is not installed.
    OSError
        If the file is not there, or cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "iris.safetensors")
    ...     clusterer.save(path)
    ...     load(path).n_clusters_found_
    3
    """
    check_path(path)
    given = {"networks": networks, "perturbation": perturbation}
    place = select_device(device)
    with files.opened(path) as file:
        versions.check_layout(file.versions)
        skeleton = _stored.check_structure(_stored.from_file(file.outline, given)["fit"])
        found = _stored.from_file(file.read(), given)
        clusterer = GMVAEClustering(**found["parameters"], device=device)
        clusterer._validate_params()
        clusterer.__dict__ |= _stored.from_state(found["fit"], skeleton) | found["others"]
    clusterer._fitted.moved(place)
    versions.warn_of_other_version(file.versions, GMVAEClustering.__name__)
    return clusterer


def _in_columns(columns: Columns | None, rows: NDArray[Any], X: Any = None) -> Any:
    """Return encoded rows in the form that the model was fitted to, with the index of X."""
    if columns is None:
        return rows
    return columns.decoded(rows, X.index if hasattr(X, "iloc") else None)


def _warn(caught: list[Warning]) -> None:
    """Issue the warnings of a fit, before anything is assigned: as errors they undo it."""
    for warning in caught:
        warn(warning)
