"""Fits: whole, continued, interrupted, and those that fail."""

import copy
import functools
import importlib
import os
import pickle
import signal
import threading
import warnings

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_info

from helpers import LARGE, QUIET, same_weights
from skgmvae import GMVAEClustering
from skgmvae._fit import run, settings
from skgmvae._fit.run import objective_of
from skgmvae._start import selection
from skgmvae._start.candidates import graph_candidates
from skgmvae.fitted import Fitted, to_arrays
from skgmvae.networks import dense_networks
from skgmvae.parameters import EPOCHS, auto_max_iter

# the package's __init__ names a function of the same name
history_room = importlib.import_module("skgmvae._fit.history")

pytestmark = QUIET


class Failing:
    """A perturbation or a factory that raises an error at one of its calls, and counts them."""

    def __init__(self, at, error, function):
        self.at, self.error, self.function, self.n_calls = at, error, function, 0

    def __call__(self, *arguments):
        self.n_calls += 1
        if self.n_calls == self.at:
            raise self.error
        return self.function(*arguments)

    def __deepcopy__(self, memo):
        return self  # clones count together

    def __getstate__(self):
        return {}


def identity(y, source):
    return y


def small_networks(*shapes):
    return dense_networks(*shapes, hidden_layer_sizes=(8,))


# all or nothing

KINDS = ["new", "fitted", "continued", "stream"]


@pytest.fixture
def begun(make, X):
    """Return a function that makes an estimator that has been through what a kind says."""

    def begin(kind, **parameters):
        estimator = make(max_iter=2, init="random", **parameters)
        if kind == "stream":
            estimator.partial_fit(X).partial_fit(X)
        elif kind != "new":
            estimator.fit(X)
            estimator.set_params(warm_start=kind == "continued", max_iter=4)
        return estimator

    return begin


class Unchanged:
    """Within this context an estimator should not change."""

    def __init__(self, estimator, X):
        self.estimator, self.X = estimator, X

    def look(self):
        held = dict(vars(self.estimator))
        answers = () if "_fitted" not in held else (
            self.estimator.reconstruct(self.X), self.estimator.weights_, self.estimator.n_iter_,
            self.estimator.history_["lower_bound"], self.estimator.labels_,
            pickle.dumps(to_arrays(self.estimator.module_)),
        )
        return held, answers

    def __enter__(self):
        self.before = self.look()

    def __exit__(self, *error):
        held, answers = self.look()
        assert held.keys() == self.before[0].keys()
        assert all(held[name] is value for name, value in self.before[0].items())
        for one, other in zip(answers, self.before[1], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_perturbation_that_fails_leaves_everything_as_it_was(begun, X, method, kind, error):
    estimator = begun(kind)
    perturbation = Failing(2, error("the second call"), identity)
    estimator.set_params(perturbation=perturbation)
    with Unchanged(estimator, X), pytest.raises(error):
        getattr(estimator, method)(X)
    assert perturbation.n_calls == 2
    getattr(estimator, method)(X)  # and does not stand in the way of another try


@pytest.mark.parametrize("kind", ["new", "fitted", "continued"])
def test_a_factory_that_fails_late_leaves_everything_as_it_was(begun, X, kind):
    factory = Failing(None, RuntimeError("the second call"), small_networks)
    estimator = begun(kind, networks=factory)
    factory.at = factory.n_calls + 2  # the first is of the training, which is then in vain
    with Unchanged(estimator, X), pytest.raises(RuntimeError, match="the second call"):
        estimator.fit(X)
    assert factory.n_calls == factory.at


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_description_that_fails_leaves_everything_as_it_was(
    begun, X, method, kind, error, monkeypatch
):
    estimator = begun(kind)

    def failing(self, X):
        raise error("while describing")

    with Unchanged(estimator, X), monkeypatch.context() as patch:
        patch.setattr(Fitted, "elbo", failing)
        with pytest.raises(error, match="while describing"):
            getattr(estimator, method)(X)


@pytest.mark.parametrize("kind", KINDS)
def test_a_warning_that_is_an_error_leaves_everything_as_it_was(begun, X, kind):
    estimator = begun(kind)
    with Unchanged(estimator, X), warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning, match="max_iter"):
            estimator.fit(X)


def test_a_warning_that_is_an_error_undoes_a_chunk(begun, X):
    estimator = begun("stream")
    with Unchanged(estimator, X), warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataConversionWarning, match="1 of 60"):
            estimator.partial_fit(np.vstack([X[1:], 1e30 * X[:1]]))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_or_parameters_that_are_refused_leave_everything_as_they_were(begun, X, kind):
    estimator = begun(kind)
    with Unchanged(estimator, X):
        with pytest.raises(ValueError, match="infinity"):
            estimator.fit(np.full((60, 5), np.inf))
        parameters = estimator.get_params()
        with pytest.raises(ValueError, match="n_samples=60 should be >= 200"):
            estimator.set_params(n_clusters=200, warm_start=False).fit(np.ones((60, 5)))
        estimator.set_params(**parameters)
    if kind == "new":
        with pytest.raises(NotFittedError):
            estimator.predict(X)


@pytest.mark.parametrize("parameters", [
    {"networks": lambda *shape: None},
    {"networks": lambda *shape: (torch.nn.Unflatten(1, (1, -1)),) * 3},
    {"networks": lambda *shape: (torch.nn.Linear(2, 2),) * 3},
    {"perturbation": lambda y, source: None},
    {"perturbation": lambda y, source: y[:, :1]},
], ids=["nothing", "wrong shapes", "wrong input", "perturbed to nothing", "perturbed to fewer"])
def test_a_callable_that_breaks_its_contract_is_named(make, X, parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=rf"{name}=.* must return (three|a tensor of shape)"):
        make(**parameters).fit(X)


def test_a_thread_beside_fits_gets_answers_of_whole_models_only(make, X):
    estimator = make(max_iter=2, init="random", warm_start=True).fit(X)
    models, answers, done = [estimator.reconstruct(X)], [], threading.Event()

    def ask():
        while not done.is_set():
            answers.append((estimator.reconstruct(X), estimator.predict(X)))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for k in range(4):
            estimator.partial_fit(X)
            models.append(estimator.reconstruct(X))
            estimator.set_params(max_iter=estimator.n_iter_ + 2).fit(X)
            models.append(estimator.reconstruct(X))
            estimator.set_params(warm_start=False, max_iter=2, random_state=k + 1).fit(X)
            models.append(estimator.reconstruct(X))
            estimator.set_params(warm_start=True)
    finally:
        done.set()
        thread.join()
    assert len(answers) > 10
    known = {model.round(6).tobytes() for model in models}
    assert len(known) == 13
    assert all(answer.round(6).tobytes() in known for answer, _ in answers)
    assert len({answer.round(6).tobytes() for answer, _ in answers}) > 2
    assert all(labels.max() < 3 for _, labels in answers)


def test_a_model_that_somebody_holds_never_changes(make, X):
    estimator = make(max_iter=2, init="random", warm_start=True).fit(X)
    held, before = [], []
    for train in (
        estimator.partial_fit, estimator.partial_fit,
        lambda X: estimator.set_params(max_iter=6).fit(X),
        lambda X: estimator.set_params(warm_start=False, random_state=1).fit(X),
    ):
        held.append(estimator._fitted)
        before.append((held[-1].reconstructed(X), held[-1].latent(X.astype(np.float32))))
        train(X)
    for model, (reconstructed, latent) in zip(held, before, strict=True):
        np.testing.assert_array_equal(model.reconstructed(X), reconstructed)
        np.testing.assert_array_equal(model.latent(X.astype(np.float32)), latent)
    assert len({model.reconstructed(X).tobytes() for model in held}) == 4


# Ctrl-C


def interrupting(n_calls):
    """Return a perturbation that sends this process a signal, as Ctrl-C does, once."""

    def send(y, source):
        nonlocal n_calls
        n_calls -= 1
        if n_calls == 0:
            signal.raise_signal(signal.SIGINT)
        return y

    return send


@pytest.mark.usefixtures("at_a_terminal")
def test_after_ctrl_c_a_fit_holds_its_best_model(make, X, device):
    # the weight makes what the perturbation spoils outweigh what training gains
    settings = {
        "init": "random", "learning_rate": "constant", "device": device, "consistency": 500.0,
    }
    n_calls, interrupt = 0, interrupting(9)

    def worse_from_the_third_epoch_on(y, source):
        nonlocal n_calls
        n_calls += 1
        return interrupt(y if n_calls <= 4 else 1 - 20 * y, source)

    estimator = make(perturbation=worse_from_the_third_epoch_on, max_iter=50, **settings)
    with pytest.raises(KeyboardInterrupt, match="Interrupted after 4 epochs: the best weights"):
        estimator.fit(X)  # of two steps an epoch
    assert estimator.n_iter_ == len(estimator.history_["z_prior"]) == 4
    np.testing.assert_array_equal(estimator.labels_, estimator.predict(X))
    losses = [record["loss"] for record in estimator._records]
    assert np.argmin(losses) == 1
    best = make(perturbation=identity, max_iter=2, **settings).fit(X)
    np.testing.assert_allclose(estimator.reconstruct(X), best.reconstruct(X), rtol=1e-6)


@pytest.mark.usefixtures("at_a_terminal")
def test_a_fit_that_was_interrupted_may_be_continued(make, X):
    estimator = make(perturbation=interrupting(9), max_iter=8, warm_start=True)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X)
    assert estimator.fit(X).n_iter_ == 8


@pytest.mark.usefixtures("at_a_terminal")
def test_ctrl_c_from_outside_ends_a_long_fit(make, X):
    started = threading.Event()

    def perturbation(y, source):
        started.set()
        return y

    def press():
        started.wait()
        threading.Event().wait(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    estimator = make(perturbation=perturbation, max_iter=10**6, tol=0.0, n_iter_no_change=10**6)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X)
    thread.join()
    if estimator.__sklearn_is_fitted__():  # had there been an epoch by then
        assert np.isfinite(estimator.score(X))


@pytest.mark.usefixtures("at_a_terminal")
@pytest.mark.parametrize("n_calls", [1, 9])
def test_ctrl_c_in_a_fit_ends_the_search_around_it(make, X, n_calls):
    perturbation = Failing(None, None, interrupting(n_calls))
    search = GridSearchCV(
        make(perturbation=perturbation, init="random"), {"latent_dim": [1, 2, 3]}, cv=2
    )
    with pytest.raises(KeyboardInterrupt):
        search.fit(X)
    assert perturbation.n_calls == n_calls  # no fit was begun after it
    assert not hasattr(search, "best_estimator_")


@pytest.mark.usefixtures("at_a_terminal")
def test_ctrl_c_in_a_trial_keeps_the_best_of_the_trials(make, X):
    # a trial is 2 of 12 epochs of two steps: the signal comes in the third
    estimator = make(n_init=4, max_iter=12, init="random", perturbation=interrupting(11))
    with pytest.raises(KeyboardInterrupt, match="Interrupted after"):
        estimator.fit(X)
    assert 1 <= estimator.n_iter_ <= 2


# losses that are not finite


def test_the_learning_rate_is_lowered_after_nan_and_the_rate_in_use_is_told(make, X):
    calls = []

    def perturbation(y, source):
        calls.append(y)
        return y * torch.nan if len(calls) == 1 else y

    estimator = make(perturbation=perturbation, learning_rate_init=0.05)
    with pytest.warns(
        ConvergenceWarning, match=r"not finite at learning_rate_init=0.05; the fit went on at 0.01"
    ):
        estimator.fit(X)
    assert np.isfinite(estimator.history_["lower_bound"]).all()
    assert estimator.n_iter_ == 10


def test_a_rate_that_is_too_high_at_last_is_an_error_that_names_it(make, X):
    with pytest.raises(ValueError, match=r"not finite in epoch 1.* Lower learning_rate_init"):
        make(learning_rate_init=1e30).fit(X)


def nan_perturbation(y, source):
    return y * torch.nan


def nan_networks(*shapes):
    class Logarithm(torch.nn.Module):
        def forward(self, y):
            return y + (y - 1e9).log()

    encoder, prior, decoder = small_networks(*shapes)
    return torch.nn.Sequential(encoder, Logarithm()), prior, decoder


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("kind", ["new", "fitted", "stream"])
def test_a_perturbation_that_makes_nan_is_named(begun, X, method, kind):
    estimator = begun(kind)
    with Unchanged(estimator.set_params(perturbation=nan_perturbation), X), pytest.raises(
        ValueError, match=r"perturbation=<function nan_perturbation .*not finite"
    ):
        getattr(estimator, method)(X)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("consistency", [0, 50.0])
def test_networks_that_make_nan_are_named(make, X, method, consistency):
    estimator = make(networks=nan_networks, consistency=consistency, init="random")
    with pytest.raises(ValueError, match=r"networks=<function nan_networks .*not finite"):
        getattr(estimator, method)(X)


def test_a_chunk_that_diverges_is_undone(begun, X):
    estimator = begun("stream").set_params(learning_rate_init=1e30)
    with Unchanged(estimator, X), pytest.raises(ValueError, match=r"undone\. Lower learning_rate"):
        estimator.partial_fit(X)


# convergence


def test_whether_a_fit_converged_is_judged_over_all_epochs(make, X, monkeypatch):
    seen, original = [], history_room.is_settled
    monkeypatch.setattr(
        history_room, "is_settled",
        lambda losses, tol: seen.append(list(losses)) or original(losses, tol),
    )
    estimator = make(n_init=2, warm_start=True, init="random").fit(X)
    assert len(seen[-1]) == estimator.n_iter_ == 10  # of the trial and after it
    assert seen[-1] == [record["loss"] for record in estimator._records]
    estimator.set_params(max_iter=14).fit(X)
    assert len(seen[-1]) == estimator.n_iter_ == 14
    assert seen[-1] == [record["loss"] for record in estimator._records]


def test_a_continued_fit_that_changes_nothing_has_converged_and_stops_early(make, X):
    settings = {"warm_start": True, "init": "random", "tol": 0.1, "learning_rate": "constant"}
    estimator = make(max_iter=25, n_iter_no_change=1000, learning_rate_init=0.01, **settings)
    estimator.fit(X)
    assert not estimator.converged_
    fall = estimator._records[0]["loss"] - estimator._records[-1]["loss"]
    # of its own epochs the loss only jumps with the noise, which is no change beside that fall
    still = copy.copy(estimator).set_params(max_iter=65, learning_rate_init=1e-9).fit(X)
    own = [record["loss"] for record in still._records[25:]]
    assert still.n_iter_ == 65
    assert 0 < np.ptp(own) < 0.5 * fall
    assert still.converged_
    early = copy.copy(estimator).set_params(
        max_iter=65, learning_rate_init=1e-9, n_iter_no_change=8, tol=1.0
    )
    assert early.fit(X).n_iter_ == 26  # nothing has counted for longer than that


# initial partition


def test_a_fit_is_held_to_its_initial_partition_unless_it_starts_at_random(fit, X):
    held = fit(X, max_iter=20).history_["pseudo_label_loss"]
    assert held[0] > held[-1] > 0
    assert not fit(X, init="random").history_["pseudo_label_loss"].any()


def test_consistency_0_is_the_objective_of_the_paper_and_has_no_regularizer(fit, X):
    history = fit(X, consistency=0, max_iter=2).history_
    assert not history["regularizer"].any()
    assert "disagreement" not in history


def test_the_weights_stay_uniform_with_the_objective_of_the_paper(make, X):
    estimator = make(consistency=0, max_iter=2).fit(X)
    assert not np.allclose(estimator.predict_proba(X).mean(0), 1 / 3, atol=1e-3)
    for method in ("fit", "partial_fit", "partial_fit"):
        np.testing.assert_allclose(getattr(estimator, method)(X).weights_, 1 / 3, rtol=1e-6)
    other = make(max_iter=2, init="random").fit(X)
    assert not np.allclose(other.weights_, 1 / 3, rtol=1e-6)


# warm start


def test_warm_start_trains_up_to_max_iter_in_all(make, X, device):
    estimator = make(warm_start=True, max_iter=3, device=device).fit(X)
    before = copy.copy(estimator)
    with pytest.warns(ConvergenceWarning, match=r"No epoch was run.* max_iter=3 .*Raise max_iter"):
        estimator.fit(X)
    assert estimator.n_iter_ == 3
    assert same_weights(estimator, before)
    estimator.set_params(max_iter=5).fit(X)
    assert not same_weights(estimator, before)
    assert estimator.n_iter_ == len(estimator.history_["z_prior"]) == 5
    assert before.n_iter_ == 3  # a copy has its own
    np.testing.assert_array_equal(estimator.history_["z_prior"][:3], before.history_["z_prior"])


def test_without_warm_start_a_fit_begins_anew(make, X):
    estimator = make(max_iter=3, init="random").fit(X)
    assert estimator.fit(X).n_iter_ == 3
    assert same_weights(estimator, make(max_iter=3, init="random").fit(X))


def test_warm_start_with_automatic_epochs_trains_on_more_rows(make, X, monkeypatch):
    few = functools.partial(auto_max_iter, rule=EPOCHS._replace(steps_at_one_row=3.0, min_epochs=4))
    monkeypatch.setattr(settings, "auto_max_iter", few)
    estimator = make(warm_start=True, max_iter="auto", batch_size=256, init="random").fit(X[:20])
    first = estimator.n_iter_
    with pytest.warns(ConvergenceWarning, match="No epoch was run"):
        estimator.fit(X[:20])
    estimator.fit(X)
    assert first < estimator.n_iter_ < 2 * first
    more = estimator.n_iter_
    # an epoch of so few rows was a step, one of these is four: what counts is the steps
    many = np.tile(X, (17, 1))
    estimator.fit(many)
    steps = estimator._state.n_steps
    assert estimator.n_iter_ > more
    assert steps == more + 4 * (estimator.n_iter_ - more)
    assert 0 <= steps - 4 * few(len(many), 256) < 4


def test_a_continued_fit_is_held_to_the_clusters_that_it_has(make):
    X, _ = make_blobs(
        [40, 20, 8], 3, centers=10 * np.eye(3), cluster_std=0.5, random_state=0
    )
    # in 25 epochs, of a step each, a weight of 10 nats does not come to all of the partition
    estimator = make(**LARGE | {"warm_start": True, "max_iter": 60}).fit(X)
    labels, counts = estimator.labels_, estimator.cluster_counts_
    assert counts.tolist() == [40, 20, 8]
    estimator.set_params(max_iter=70).fit(X)
    history = estimator.history_
    assert 0 < history["pseudo_label_loss"][60:].max() < history["pseudo_label_loss"][0]
    assert history["imbalance"][60:].max() < 0.1
    assert not history["information"].any()
    np.testing.assert_array_equal(estimator.labels_, labels)
    np.testing.assert_array_equal(estimator.init_labels_, labels)
    estimator.set_params(max_iter=72, init="random").fit(X)
    assert not estimator.history_["pseudo_label_loss"][70:].any()
    assert (estimator.history_["information"][70:] > 0).all()
    assert history["imbalance"][60:].max() < estimator.history_["imbalance"][70:].min()
    assert estimator.init_labels_ is None


def test_the_loss_to_pseudo_labels_does_not_depend_on_consistency(fit, X):
    one, other = (
        fit(X, max_iter=1, batch_size=64, consistency=consistency).history_
        for consistency in (0.1, 100.0)
    )
    np.testing.assert_allclose(
        one["pseudo_label_loss"], other["pseudo_label_loss"], rtol=1e-6
    )


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(("changed", "name"), [
    ({"n_clusters": 4}, "n_clusters from 3 to 4"),
    ({"image_shape": (2, 2)}, "image_shape"),
    ({"likelihood": "bernoulli"}, "likelihood from Gaussian"),
    ({"latent_dim": 3}, "latent_dim from 2 to 3"),
    ({"hidden_layer_sizes": (9,)}, "hidden_layer_sizes"),
    ({"networks": small_networks}, "networks from 'dense' to <function small_networks"),
])
def test_what_cannot_change_in_a_fitted_model_is_named(clusterer, X, method, changed, name):
    estimator = copy.copy(clusterer).set_params(warm_start=True, **changed)
    with Unchanged(estimator, X), pytest.raises(
        ValueError, match=rf"cannot be changed in .*{name}.*warm_start=False"
    ):
        getattr(estimator, method)(X)


def test_equal_partial_factories_are_the_same_networks(make, X):
    def factory(width):
        return functools.partial(dense_networks, hidden_layer_sizes=(width,))

    estimator = make(networks=factory(8), warm_start=True, max_iter=2, init="random").fit(X)
    estimator.set_params(networks=factory(8), max_iter=4).fit(X)
    assert estimator.n_iter_ == 4
    estimator.set_params(networks=factory(9), max_iter=6)
    with pytest.raises(ValueError, match="cannot be changed in networks"):
        estimator.fit(X)


def test_a_fit_after_a_stream_begins_anew_unless_it_is_told_to_go_on(make, X):
    estimator = make(max_iter=4).partial_fit(X).partial_fit(X)
    assert estimator.set_params(warm_start=True).fit(X).n_iter_ == 4
    assert estimator.set_params(warm_start=False, max_iter=2).fit(X).n_iter_ == 2
    assert same_weights(estimator, make(max_iter=2).fit(X))


# what later rows bring


def test_a_feature_that_was_constant_in_the_first_chunk_may_vary_later(make, X):
    first = np.hstack([X, np.zeros((len(X), 1))])
    later = first.copy()
    later[::2, -1] = 5.0
    estimator = make().partial_fit(first)
    assert (estimator.sample(20)[0][:, -1] == 0).all()
    estimator.partial_fit(later)
    assert estimator.sample(50)[0][:, -1].std() > 0


@pytest.mark.parametrize("changed", [
    {"batch_size": 0}, {"likelihood": "nope"}, {"n_mc_samples": 0}, {"perturbation": "nope"},
    {"learning_rate_init": "a"}, {"consistency": -5.0}, {"init": "neighbours"},
])
def test_parameters_are_checked_at_each_chunk(begun, X, changed):
    estimator = begun("stream").set_params(**changed)
    with pytest.raises(ValueError, match=next(iter(changed))):
        estimator.partial_fit(X)


def test_a_stream_after_a_fit_that_converged_is_judged_over_all_epochs(fit, X):
    estimator = fit(X, max_iter=60, tol=0.2)
    assert estimator.converged_
    assert estimator.partial_fit(X).converged_


def test_fits_in_threads_do_not_silence_warnings_for_good(make, X):
    def n_silenced():
        return sum(
            action == "ignore" and category is ConvergenceWarning
            for action, _, category, *_ in warnings.filters
        )

    threads = [
        threading.Thread(target=lambda seed=seed: make(random_state=seed, max_iter=1).fit(X))
        for seed in range(6)
    ]
    before = n_silenced()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert n_silenced() == before


# p(z) while training


def uneven_gaussians(n_rows, seed):
    """Return rows of two Gaussians three standard deviations apart, one a tenth of all."""
    random = np.random.default_rng(seed)
    y = (random.random(n_rows) < 0.1).astype(int)
    X = random.standard_normal((n_rows, 2))
    X[:, 0] += 3.0 * y
    return X, y


def test_uneven_clusters_that_overlap_have_their_own_share_and_right_probabilities():
    # p(z) was uniform while training and uneven afterwards: small clusters lost log-odds
    X, _ = uneven_gaussians(2000, 0)
    X_new, y_new = uneven_gaussians(5000, 1)
    estimator = GMVAEClustering(2, random_state=0).fit(X)
    assert estimator.weights_[1] == pytest.approx(0.1, abs=0.02)
    probability = estimator.predict_proba(X_new)[:, 1]
    assert probability.mean() == pytest.approx(0.1, abs=0.02)
    odds = 3.0 * X_new[:, 0] - 4.5 + np.log(0.1 / 0.9)
    assert log_loss(y_new, probability) < 1.15 * log_loss(y_new, expit(odds))


def test_while_training_p_z_is_that_of_the_pseudo_labels(make, X, monkeypatch):
    seen = []
    monkeypatch.setattr(
        run, "objective_of",
        lambda module, *others: seen.append(module.log_weights.exp()) or objective_of(
            module, *others
        ),
    )
    for init in ("neighbors", "random"):
        make(init=init, max_iter=1).fit(X[:50])
    sizes = np.bincount(make(max_iter=1).fit(X[:50]).init_labels_, minlength=3)
    np.testing.assert_allclose(np.sort(seen[0]), np.sort(sizes / sizes.sum()), atol=0.05)
    np.testing.assert_allclose(seen[1], 1 / 3, rtol=1e-6)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_small_networks_are_trained_on_one_thread(method, make, X):
    # on two, beside a program that kept one core busy, a fit to digits took 70 s instead of 6
    seen = []

    def looking(y, generator):
        seen.append(torch.get_num_threads())
        return y

    getattr(make(perturbation=looking), method)(X)
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2
    getattr(make(perturbation=looking, max_iter=1, hidden_layer_sizes=(2000, 2000)), method)(X)
    assert seen[-1] == 2


@pytest.mark.usefixtures("two_threads")
def test_the_initial_partition_is_found_on_one_thread(make, X, monkeypatch):
    seen = []
    monkeypatch.setattr(
        selection, "graph_candidates",
        lambda *arguments, **options: seen.extend(
            pool["num_threads"] for pool in threadpool_info()
        ) or graph_candidates(*arguments, **options),
    )
    make(max_iter=1).fit(X)
    assert set(seen) == {1}
    assert {pool["num_threads"] for pool in threadpool_info()} == {2}
