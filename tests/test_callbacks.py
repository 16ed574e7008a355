"""Callbacks of scikit-learn's protocol, our own, and early stopping by them or by parameters."""

import pickle
import warnings
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers import quiet_fit, run_python, same_weights
from skgmvae import GMVAEClustering
from skgmvae.callbacks import EarlyStopping, LabelMonitor, early_stopping_of
from skgmvae.exceptions import ClusteringWarning

with_callbacks = pytest.mark.skipif(
    find_spec("sklearn.callback") is None, reason="scikit-learn before 1.9 has no callbacks"
)
TRUTH = np.arange(60) % 3  # some labels


class Recorder:
    """Notes what it is told; asks to stop when `stops` says so of a task's path."""

    def __init__(self, stops=lambda path: False):
        self.stops = stops
        self.told = []

    def setup(self, estimator, context):
        self.told.append(("setup", context.task_name))

    def teardown(self, estimator, context):
        self.told.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        self.told.append(("begin", *self.path(context)))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None):
        path = self.path(context)
        self.told.append(("end", *path))
        return self.stops(path)

    @staticmethod
    def path(context):
        path = []
        while context is not None:
            path.insert(0, f"{context.task_name} {context.task_id}")
            context = context.parent
        return tuple(path)


class Keeper(Recorder):
    """Keeps the fitted copies that it is given."""

    def __init__(self):
        super().__init__()
        self.fitted = []

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.fitted.append((context.task_name, X, y, fitted_estimator))


# the tasks of a fit


@with_callbacks
def test_a_fit_is_a_task_and_so_is_each_epoch(clusterer, X):
    recorder = Recorder()
    watched = quiet_fit(clone(clusterer).set_params(max_iter=2).set_callbacks(recorder), X)
    assert recorder.told == [
        ("setup", "fit"), ("begin", "fit 0"),
        ("begin", "fit 0", "epoch 0"), ("end", "fit 0", "epoch 0"),
        ("begin", "fit 0", "epoch 1"), ("end", "fit 0", "epoch 1"),
        ("end", "fit 0"), ("teardown", "fit"),
    ]
    assert watched.n_iter_ == 2
    left = [name for name in vars(watched) if "callback" in name]
    assert left == ["_skl_callbacks"]


@with_callbacks
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_trials_are_tasks_with_epochs_and_so_is_the_training_after_them(clusterer, X, n_jobs):
    recorder = Recorder()
    watched = clone(clusterer).set_params(n_init=2, n_jobs=n_jobs).set_callbacks(recorder)
    with parallel_config(backend="threading"):
        quiet_fit(watched, X)
    ends = [path for what, *path in recorder.told if what == "end"]
    trials = [["fit 0", f"trial {k}", f"epoch {i}"] for k in range(2) for i in range(2)]
    training = [["fit 0", "training 2", f"epoch {i}"] for i in range(8)]
    wholes = [["fit 0", "trial 0"], ["fit 0", "trial 1"], ["fit 0", "training 2"], ["fit 0"]]
    assert sorted(ends) == sorted(trials + training + wholes)
    begins = [path for what, *path in recorder.told if what == "begin"]
    assert sorted(begins) == sorted(ends)
    assert watched.n_iter_ == 10


@with_callbacks
@pytest.mark.slow
def test_trials_in_other_processes_are_seen(clusterer, X):
    from sklearn.callback import ScoringMonitor

    watched = clone(clusterer).set_params(n_init=2)
    logs = []
    for n_jobs in (1, 2):
        scores, labels = ScoringMonitor(scoring="adjusted_rand_score"), LabelMonitor()
        watched.set_params(n_jobs=n_jobs).set_callbacks(scores, labels)
        quiet_fit(watched, X, TRUTH)
        logs.append((scores.get_logs().data, labels.get_logs().data))
    assert logs[0] == logs[1]
    assert len(logs[0][0]) == 2 * 2 + 8 + 1


@with_callbacks
@pytest.mark.parametrize("parameters", [
    {}, {"n_init": 2}, {"consistency": 0.0}, {"early_stopping": True},
])
def test_callbacks_change_no_bit_of_a_fit(clusterer, X, parameters, untouched_global_state):
    plain = quiet_fit(clone(clusterer).set_params(**parameters), X)
    watched = quiet_fit(
        clone(clusterer).set_params(**parameters).set_callbacks(Keeper(), LabelMonitor()), X
    )
    assert same_weights(plain, watched)
    assert np.array_equal(plain.labels_, watched.labels_)
    assert plain._records == watched._records


@with_callbacks
def test_a_copy_is_fitted_as_if_the_fit_had_ended_there(clusterer, X, fit):
    keeper = Keeper()
    whole = quiet_fit(clone(clusterer).set_callbacks(keeper), X, TRUTH)
    *epochs, (name, _, _, last) = keeper.fitted
    assert name == "fit"
    assert len(epochs) == 10
    for number, (name, rows, y, copy) in enumerate(epochs, 1):
        assert name == "epoch"
        assert rows is X
        assert y is TRUTH
        assert copy is not whole
        assert copy.n_iter_ == number
        assert len(copy.history_["lower_bound"]) == number
        assert copy.predict_proba(X).shape == (60, 3)
        assert np.isfinite(copy.score(X))
        assert copy.n_features_in_ == 4
        assert copy.transform(X).shape == (60, 2)
    assert not same_weights(epochs[0][3], epochs[1][3])
    for copy in (epochs[-1][3], last):
        # the components are in order of size at the end
        np.testing.assert_allclose(
            np.sort(copy.predict_proba(X)), np.sort(whole.predict_proba(X)), atol=1e-6
        )
        assert copy.score(X) == pytest.approx(whole.score(X), abs=1e-5)
    assert same_weights(last, whole)


@with_callbacks
def test_a_fit_that_is_continued_goes_on_in_what_is_seen(clusterer, X):
    continued, keeper = clone(clusterer).set_params(warm_start=True), Keeper()
    quiet_fit(continued, X)
    quiet_fit(continued.set_params(max_iter=12).set_callbacks(keeper), X)
    assert [copy.n_iter_ for *_, copy in keeper.fitted] == [11, 12, 12]


@with_callbacks
def test_columns_of_a_frame_are_known_to_a_copy(fit, X):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    frame["kind"] = np.where(X[:, 0] > 0, "high", "low")
    keeper = Keeper()
    quiet_fit(GMVAEClustering(3, max_iter=2, random_state=0).set_callbacks(keeper), frame)
    for _, rows, _, copy in keeper.fitted:
        assert copy.predict(rows).shape == (60,)
        assert list(copy.feature_names_in_) == [*"abcd", "kind"]
        assert copy.sample(3)[0].shape == (3, 5)


# the end of a fit


@with_callbacks
@pytest.mark.filterwarnings("ignore::skgmvae.exceptions.ClusteringWarning")
def test_a_callback_may_end_a_fit_without_a_warning(clusterer, X):
    stops = Recorder(lambda path: path[-1] == "epoch 3")
    ended = clone(clusterer).set_callbacks(stops)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        ended.fit(X)
    assert ended.n_iter_ == 4
    assert stops.told[-2:] == [("end", "fit 0"), ("teardown", "fit")]
    # the weights of the epoch after which it was asked to
    keeper = Keeper()
    quiet_fit(clone(clusterer).set_callbacks(keeper), X)
    there = keeper.fitted[3][3]
    assert ended.score(X) == pytest.approx(there.score(X), abs=1e-5)
    # and a continued fit does not go on with what was left out
    ended.set_params(warm_start=True).set_callbacks()
    with pytest.warns(ConvergenceWarning, match="No epoch was run"):
        ended.fit(X)


@with_callbacks
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_no_more_trials_are_made_after_one_that_a_callback_ends(clusterer, X, n_jobs):
    keeper = Recorder(lambda path: path[-1] == "trial 1")
    one = clone(clusterer).set_params(n_init=4, n_jobs=n_jobs, max_iter=8)
    with parallel_config(backend="threading"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        one.set_callbacks(keeper).fit(X)
    assert not [warning for warning in caught if "joblib" in warning.filename]
    two = quiet_fit(clone(clusterer).set_params(n_init=2, max_iter=8), X)
    np.testing.assert_array_equal(one.cluster_centers_, two.cluster_centers_)


@with_callbacks
def test_trials_end_one_by_one_or_all(clusterer, X):
    def n_tasks(stops):
        recorder = Recorder(stops)
        quiet_fit(clone(clusterer).set_params(n_init=3).set_callbacks(recorder), X)
        return [
            sum(what == "end" and path[-1].startswith(name) for what, *path in recorder.told)
            for name in ("trial", "training", "epoch")
        ]

    assert n_tasks(lambda path: False) == [3, 1, 3 * 2 + 8]
    # one that ended at a callback's wish goes no further
    assert n_tasks(lambda path: path[-1] == "epoch 0") == [3, 0, 3]
    # no more trials: the best of those that were made goes on
    assert n_tasks(lambda path: path[-1] == "trial 0") == [1, 1, 2 + 8]
    assert n_tasks(lambda path: True) == [1, 0, 1]


@with_callbacks
@pytest.mark.parametrize("where", ["setup", "begin", "end", "end of all"])
def test_an_error_of_a_callback_leaves_all_as_it_was(clusterer, X, where):
    class Failing(Recorder):
        def setup(self, estimator, context):
            super().setup(estimator, context)
            assert where != "setup", "failed"

        def on_fit_task_begin(self, estimator, context):
            assert where != "begin" or context.task_id < 1, "failed"

        def on_fit_task_end(self, estimator, context):
            assert where != "end" or context.task_id < 1, "failed"
            assert where != "end of all" or context.parent is not None, "failed"

    failing = Failing()
    fitted = clone(clusterer)
    quiet_fit(fitted, X)
    before = dict(vars(fitted))
    with pytest.raises(AssertionError, match="failed"):
        quiet_fit(fitted.set_callbacks(failing), X)
    assert failing.told == [("setup", "fit"), ("teardown", "fit")]
    assert vars(fitted) == before | {"_skl_callbacks": [failing]}
    new = clone(clusterer).set_callbacks(Failing())
    with pytest.raises(AssertionError):
        quiet_fit(new, X)
    with pytest.raises(NotFittedError):
        new.predict(X)


@with_callbacks
def test_ctrl_c_in_a_callback_keeps_the_best_model_and_ends_the_callbacks(clusterer, X):
    def interrupt(path):
        if path[-1] == "epoch 5":
            raise KeyboardInterrupt

    interrupted = Recorder(interrupt)
    fitted = clone(clusterer).set_callbacks(interrupted)
    with pytest.raises(KeyboardInterrupt, match="after 6 epochs"):
        quiet_fit(fitted, X)
    assert fitted.n_iter_ == 6
    assert fitted.predict(X).shape == (60,)
    assert interrupted.told[-1] == ("teardown", "fit")


# scikit-learn's callbacks


@with_callbacks
def test_a_monitor_scores_each_epoch_alone_in_a_pipeline_and_in_a_search(clusterer, X):
    from sklearn.callback import ScoringMonitor

    alone = ScoringMonitor(scoring="adjusted_rand_score")
    quiet_fit(clone(clusterer).set_callbacks(alone), X, TRUTH)
    rows = alone.get_logs().data
    assert [row["task_name"] for row in rows] == ["fit", *["epoch"] * 10]
    assert len({row["adjusted_rand_score"] for row in rows}) > 1

    inside = ScoringMonitor(scoring="adjusted_rand_score")
    pipeline = make_pipeline(StandardScaler(), clone(clusterer).set_params(max_iter=3))
    pipeline[-1].set_callbacks(inside)
    quiet_fit(pipeline, X, TRUTH)
    assert len(inside.get_logs().data) == 4
    search = GridSearchCV(pipeline, {"gmvaeclustering__n_clusters": [2, 3]}, cv=2)
    quiet_fit(search, X, TRUTH)
    logs = inside.get_logs()
    assert logs.estimator_name == "GridSearchCV"
    assert len(logs.data) == (2 * 2 + 1) * 4


@with_callbacks
def test_progress_bars_are_drawn_for_the_fit_its_trials_and_the_search_around(
    clusterer, X, capsys
):
    pytest.importorskip("rich")
    from sklearn.callback import ProgressBar

    quiet_fit(clone(clusterer).set_params(n_init=2).set_callbacks(ProgressBar()), X)
    printed = capsys.readouterr().out
    for task in ("fit", "trial #0", "trial #1", "training #2"):
        assert f"GMVAEClustering - {task}" in printed
    pipeline = make_pipeline(StandardScaler(), clone(clusterer).set_params(max_iter=2))
    quiet_fit(pipeline.set_callbacks(ProgressBar()), X)
    assert "fit-final-estimator | GMVAEClustering - fit #1" in capsys.readouterr().out
    search = GridSearchCV(pipeline.set_callbacks(), {"gmvaeclustering__n_clusters": [2, 3]}, cv=2)
    quiet_fit(search.set_callbacks(ProgressBar(max_propagation_depth=None)), X)
    assert capsys.readouterr().out.count("GMVAEClustering - fit #1") == 5


# our own


@with_callbacks
def test_a_label_monitor_logs_the_share_of_rows_that_changed(clusterer, X):
    monitor, keeper = LabelMonitor(), Keeper()
    quiet_fit(clone(clusterer).set_callbacks(monitor, keeper), X)
    labels = [copy.predict(X) for name, *_, copy in keeper.fitted if name == "epoch"]
    expected = [float(np.mean(a != b)) for a, b in pairwise(labels)]
    logs = monitor.get_logs()
    assert [row["changed"] for row in logs.data] == expected
    assert [row["task_id"] for row in logs.data] == list(range(1, 10))
    assert max(expected) > 0
    # another fit begins anew
    quiet_fit(clone(clusterer).set_callbacks(monitor), X)
    assert len(monitor.get_logs().data) == 9
    assert len(monitor.get_logs(select="all")) == 2
    assert len(pickle.loads(pickle.dumps(monitor)).get_logs().data) == 9


@with_callbacks
def test_searches_in_threads_do_not_mix_their_labels(clusterer, X):
    def logged(n_jobs):
        monitor = LabelMonitor()
        search = GridSearchCV(
            clone(clusterer).set_params(max_iter=3).set_callbacks(monitor),
            {"n_clusters": [2, 3]}, cv=2, n_jobs=n_jobs, refit=False,
        )
        with parallel_config(backend="threading"):
            quiet_fit(search, X)
        return [(row["task_id_path"], row["changed"]) for row in monitor.get_logs().data]

    alone = logged(1)
    assert logged(2) == alone
    assert len(alone) == 4 * 2


# early stopping


@pytest.fixture(scope="module")
def stopped(clusterer, X):
    return quiet_fit(clone(clusterer).set_params(early_stopping=True, max_iter=30), X)


def test_the_weights_of_the_best_epoch_are_kept_and_all_rows_have_labels(stopped, clusterer, X):
    scores = stopped.validation_scores_
    assert scores.shape == (30,) == (stopped.n_iter_,)
    assert np.isfinite(scores).all()
    assert stopped.labels_.shape == stopped.init_labels_.shape == (60,)
    assert stopped.cluster_counts_.sum() == 60
    assert np.array_equal(stopped.labels_, stopped.predict(X))
    assert clusterer.validation_scores_ is None
    loaded = pickle.loads(pickle.dumps(stopped))
    assert np.array_equal(loaded.validation_scores_, scores)


@with_callbacks
def test_the_scores_are_bounds_of_rows_that_no_step_sees(clusterer, X):
    X_val = X[::4] + 0.01
    keeper = Keeper()
    parameters = {"consistency": 0.0, "learning_rate_init": 1e-2}
    found = clone(clusterer).set_params(**parameters)
    found.set_callbacks(EarlyStopping(X_val=X_val), keeper)
    quiet_fit(found, X)
    scores = found.validation_scores_
    bounds = [copy.score(X_val) for *_, copy in keeper.fitted]
    assert np.corrcoef(scores, bounds[:-1])[0, 1] > 0.98
    np.testing.assert_allclose(scores, bounds[:-1], atol=1.0)
    # rows to validate by that are not of X take part in nothing else
    without = quiet_fit(clone(clusterer).set_params(**parameters), X)
    assert [r["loss"] for r in found._records] == [r["loss"] for r in without._records]
    best = keeper.fitted[int(scores.argmax())][3]
    assert found.score(X) == pytest.approx(best.score(X), abs=1e-5)
    # and those that are of X are no part of the batches
    held_out = quiet_fit(clone(clusterer).set_params(early_stopping=True, batch_size=54), X)
    assert held_out._state.n_steps == held_out.n_iter_


@with_callbacks
def test_a_fit_ends_by_the_class_as_by_the_parameters(clusterer, X):
    long = clone(clusterer).set_params(max_iter=100, batch_size=16, tol=0.2)
    rule = {"validation_fraction": 0.25}
    by_parameters = quiet_fit(
        clone(long).set_params(early_stopping=True, n_iter_no_change=3, **rule), X
    )
    by_callback = quiet_fit(clone(long).set_callbacks(EarlyStopping(**rule, patience=3)), X)
    assert 50 / 3 < by_parameters.n_iter_ < 100  # epochs of three batches
    assert same_weights(by_parameters, by_callback)
    assert np.array_equal(by_parameters.validation_scores_, by_callback.validation_scores_)


def test_a_fit_that_ended_early_does_not_warn_that_it_should_be_longer(clusterer, X):
    ended = clone(clusterer).set_params(
        max_iter=60, early_stopping=True, n_iter_no_change=3, tol=0.5, batch_size=16
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ClusteringWarning)
        warnings.simplefilter("error", ConvergenceWarning)
        ended.fit(X)
    assert ended.n_iter_ < 60


@pytest.mark.parametrize("n_init", [1, 3])
def test_early_stopping_is_determined_by_the_seed(clusterer, X, n_init):
    parameters = {"early_stopping": True, "n_init": n_init}
    one, other, third = (
        quiet_fit(clone(clusterer).set_params(**parameters, random_state=seed), X)
        for seed in (0, 0, 1)
    )
    assert same_weights(one, other)
    assert not np.array_equal(one.validation_scores_, third.validation_scores_)
    assert one.validation_scores_.shape == (10,)


def test_a_continued_fit_holds_out_the_same_rows_and_is_judged_from_its_beginning(clusterer, X):
    continued = clone(clusterer).set_params(warm_start=True)
    quiet_fit(continued, X)
    before = continued.module_.state_dict()
    quiet_fit(continued.set_params(early_stopping=True, max_iter=14), X)
    scores = continued.validation_scores_
    assert np.array_equal(np.isnan(scores), np.arange(14) < 10)
    assert before.keys() == continued.module_.state_dict().keys()
    quiet_fit(continued.set_params(max_iter=16), X)
    assert np.array_equal(continued.validation_scores_[:14], scores, equal_nan=True)


@with_callbacks
def test_rows_to_validate_by_are_checked_as_x_is(clusterer, X):
    pandas = pytest.importorskip("pandas")
    wrong = clone(clusterer).set_callbacks(EarlyStopping(X_val=X[:, :3]))
    with pytest.raises(ValueError, match="3 features") as caught:
        quiet_fit(wrong, X)
    assert caught.value.__notes__ == ["(It is about X_val of EarlyStopping.)"]
    negative = clone(clusterer).set_params(likelihood="bernoulli")
    unit = (X - X.min()) / np.ptp(X)
    with pytest.raises(ValueError, match=r"likelihood='bernoulli' needs"):
        quiet_fit(negative.set_callbacks(EarlyStopping(X_val=-unit)), unit)
    frame = pandas.DataFrame(X, columns=list("abcd"))
    frame["kind"] = np.where(X[:, 0] > 0, "high", "low")
    several = GMVAEClustering(3, max_iter=3, random_state=0)
    several.set_callbacks(EarlyStopping(X_val=frame[::3]))
    assert quiet_fit(several, frame).validation_scores_.shape == (3,)
    gaps = np.where(np.arange(4) == 1, np.nan, X[::3])
    quiet_fit(clone(clusterer).set_callbacks(EarlyStopping(X_val=gaps)), X)


@pytest.mark.parametrize(("parameters", "kind"), [
    ({"validation_fraction": 0.0}, ValueError), ({"validation_fraction": 1.0}, ValueError),
    ({"validation_fraction": "some"}, TypeError), ({"patience": 0}, ValueError),
    ({"patience": 1.5}, TypeError), ({"patience": True}, TypeError),
])
def test_a_wrong_rule_is_refused(parameters, kind):
    (name,) = parameters
    with pytest.raises(kind, match=name):
        EarlyStopping(**parameters)


@pytest.mark.parametrize("value", [np.nan, np.float32("nan"), np.inf, -np.inf])
@pytest.mark.parametrize(
    ("name", "remedy"), [("validation_fraction", r"such as 0\.1"), ("patience", "such as 20")]
)
def test_a_rule_of_numbers_that_are_not_finite_is_refused_with_a_remedy(name, remedy, value):
    with pytest.raises(ValueError, match=f"{name}={value} must be finite.*{remedy}"):
        EarlyStopping(**{name: value})


def test_of_a_chunk_no_rows_are_held_out(clusterer, X):
    plain = clone(clusterer).partial_fit(X)
    found = clone(clusterer).set_params(early_stopping=True).partial_fit(X)
    assert same_weights(found, plain)
    assert found.validation_scores_ is None


def test_too_few_rows_are_left(clusterer, X):
    few = clone(clusterer).set_params(early_stopping=True, validation_fraction=0.8, n_clusters=2)
    with pytest.raises(ValueError, match=r"validation_fraction=0.8 leaves 1 of 5 distinct rows"):
        few.fit(X[:5])


@with_callbacks
def test_there_is_one_rule(clusterer):
    both = clone(clusterer).set_params(early_stopping=True).set_callbacks(EarlyStopping())
    with pytest.raises(ValueError, match=r"early_stopping=True and the callbacks \[EarlyStop"):
        early_stopping_of(both)
    with pytest.raises(ValueError, match="more than one rule"):
        early_stopping_of(clone(clusterer).set_callbacks(EarlyStopping(), EarlyStopping(0.2)))
    assert early_stopping_of(clusterer) is None
    rule = EarlyStopping(0.2, patience=3)
    assert early_stopping_of(clone(clusterer).set_callbacks(rule)) is rule
    assert repr(rule) == "EarlyStopping(0.2, patience=3)"
    assert repr(EarlyStopping(X_val=[[1.0]])) == "EarlyStopping(X_val=<list>, patience=20)"


@with_callbacks
def test_a_rule_that_nobody_would_read_is_refused(clusterer, X):
    pipeline = make_pipeline(StandardScaler(), clone(clusterer))
    with pytest.raises(TypeError, match=r"pipeline\[-1\].set_callbacks"):
        pipeline.set_callbacks(EarlyStopping()).fit(X)
    pipeline.set_callbacks()[-1].set_callbacks(EarlyStopping())
    assert quiet_fit(pipeline, X)[-1].validation_scores_ is not None


# scikit-learn before 1.9

OLDER = """
import sys, warnings
import skgmvae  # and with it all of scikit-learn that there is need of
for name in [name for name in sys.modules if name.split(".")[0] == "skgmvae"]:
    del sys.modules[name]
present = sys.modules.get("sklearn.callback")
sys.modules["sklearn.callback"] = None  # as if there were none
from skgmvae import GMVAEClustering
from skgmvae.callbacks import EarlyStopping, LabelMonitor
if present is not None:
    sys.modules["sklearn.callback"] = present
warnings.simplefilter("ignore")
X = [[0.0, 1.0], [0.1, 1.0], [5.0, 2.0], [5.1, 2.2], [0.2, 0.9], [5.0, 2.1]] * 4
clusterer = GMVAEClustering(2, max_iter=2, device="cpu", early_stopping=True).fit(X)
assert len(clusterer.validation_scores_) == 2
EarlyStopping()
for unusable in (lambda: clusterer.set_callbacks(EarlyStopping()), LabelMonitor):
    try:
        unusable()
    except NotImplementedError as error:
        assert "need scikit-learn 1.9 or newer, and this is" in str(error)
    else:
        raise AssertionError
print("inert")
"""


def test_without_callbacks_in_scikit_learn_all_else_works():
    assert run_python("-c", OLDER) == "inert\n"
