"""A fit that is killed goes on from its file as if nothing had happened."""

import copy
import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_blobs

from helpers import QUIET, run_python
from skgmvae import GMVAEClustering, files, load
from skgmvae._fit import settings
from skgmvae._fit.checkpoint import Checkpoint
from skgmvae._fit.identity import difference, in_words
from skgmvae._stored import to_state
from skgmvae._training import Step
from skgmvae.exceptions import CheckpointWarning, InvalidModelFile, ResumedFitWarning
from skgmvae.networks import dense_networks
from skgmvae.packing import digest, pack, unpack
from skgmvae.sources import LazyRows

SMALL = {
    "n_clusters": 3, "hidden_layer_sizes": (8,), "latent_dim": 2, "style_dim": 2, "max_iter": 3,
    "batch_size": 30, "device": "cpu", "random_state": 0,
}
X = make_blobs(90, 6, centers=3, random_state=0)[0]
HOLES = np.where(np.random.RandomState(0).random_sample(X.shape) < 0.1, np.nan, X)

pytestmark = [
    *QUIET,
    pytest.mark.filterwarnings("ignore::skgmvae.exceptions.ResumedFitWarning"),
]


class Killed(BaseException):
    """The process is no more."""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.checkpoint"


def new(path=None, **parameters):
    return GMVAEClustering(
        **(SMALL | {"checkpoint": path, "checkpoint_every": 0} | parameters)
    )


def content(clusterer):
    """Return a digest of all that a fit has left."""
    return digest(pack(to_state(dict(vars(clusterer)))), {})


def killed_after(n_writes, fit):
    """Whether a fit was killed after it had written so many times."""
    write, done = Checkpoint.write, []

    def killing(self, training):
        write(self, training)
        done.append(1)
        if len(done) == n_writes:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "write", killing)
        try:
            fit()
        except Killed:
            return True
    return False


@pytest.fixture
def n_steps(monkeypatch):
    """Count the steps that are taken."""
    taken, call = [], Step.__call__

    def counting(self, *arguments):
        taken.append(1)
        return call(self, *arguments)

    monkeypatch.setattr(Step, "__call__", counting)
    return taken


def after_each_write(path, fit):
    """Return what lay in the folder after each write of a fit, by name, and its result."""
    write, found = Checkpoint.write, []

    def copying(self, training):
        write(self, training)
        found.append({file.name: file.read_bytes() for file in path.parent.iterdir()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "write", copying)
        return found, fit()


@pytest.mark.parametrize(("parameters", "rows", "weights", "every"), [
    ({}, X, None, 1),
    ({"n_init": 2, "max_iter": 4}, X, None, 4),
    ({"init": "random", "consistency": 0, "n_mc_samples": 2}, X, None, 4),
    ({"early_stopping": True, "n_iter_no_change": 2, "max_iter": 40, "tol": 1.0}, X, None, 4),
    ({"learning_rate_init": 1e7}, X, None, 4),
    ({"perturbation_radius": 0.1, "likelihood": "student_t"}, HOLES, None, 4),
    ({}, X, np.arange(90.0) % 3, 4),
    ({}, LazyRows(X), None, 4),
], ids=["defaults", "n_init", "paper", "early_stopping", "retries", "missing", "weights", "source"])
def test_a_fit_goes_on_from_any_step_as_if_it_had_not_been_killed(
    path, monkeypatch, parameters, rows, weights, every
):
    # epochs are judged from the second on, not after hundreds of steps
    monkeypatch.setattr(settings, "HELD_OUT", settings.HELD_OUT._replace(n_first_steps=3))

    def fit(path=None):
        return new(path, **parameters).fit(rows, sample_weight=weights)

    whole = fit()
    assert whole.n_iter_ < 10
    written, watched = after_each_write(path, lambda: fit(path))
    assert content(watched) == content(whole)
    assert len(written) > 9
    for then in written[::every]:
        for file in path.parent.iterdir():
            file.unlink()
        for name, data in then.items():
            (path.parent / name).write_bytes(data)
        assert content(fit(path)) == content(whole)


def test_a_continued_fit_goes_on_too(path):
    first = new(warm_start=True).fit(X)
    before = pack(to_state(dict(vars(first))))
    whole = content(first.set_params(max_iter=6).fit(X))

    def again():
        clusterer = new(warm_start=True).fit(X)
        assert digest(pack(to_state(dict(vars(clusterer)))), {}) == digest(before, {})
        return clusterer.set_params(max_iter=6, checkpoint=path)

    clusterer = again()
    assert killed_after(4, lambda: clusterer.fit(X))
    assert content(again().fit(X)) == whole
    with pytest.raises(ValueError, match=r"is trained on was of digest .* and is None"):
        new(path, max_iter=6).fit(X)


def test_it_is_said_and_no_step_is_taken_twice(path, n_steps):
    assert killed_after(5, lambda: new(path).fit(X))
    assert len(n_steps) == 5
    with pytest.warns(ResumedFitWarning, match=r"fit.checkpoint.*after 1 epochs\. Remove") as said:
        clusterer = new(path).fit(X)
    assert [one.filename for one in said if one.category is ResumedFitWarning] == [__file__]
    assert len(n_steps) == 9
    assert clusterer.n_iter_ == 3
    with pytest.warns(ResumedFitWarning, match="after 3 epochs"):
        again = new(path).fit(X)
    assert len(n_steps) == 9
    assert content(again) == content(clusterer)


def test_trials_that_are_done_are_not_done_again(path, n_steps):
    parameters = {"n_init": 3, "max_iter": 6}  # trials of an epoch
    assert killed_after(7, lambda: new(path, **parameters).fit(X))
    assert len(n_steps) == 5
    with pytest.warns(ResumedFitWarning, match="after 0 epochs of trial 2"):
        new(path, **parameters).fit(X)
    assert len(n_steps) == 3 * 3 + 3 * 5


def test_trials_of_other_processes_are_kept(path, n_steps):
    parameters = {"n_init": 2, "max_iter": 6, "n_jobs": 2}
    whole = content(new(**parameters).fit(X))
    n_steps.clear()
    assert killed_after(2, lambda: new(path, **parameters).fit(X))
    assert content(new(path, **parameters).fit(X)) == whole
    assert len(n_steps) == 15


def test_nothing_is_written_before_it_is_time(path):
    new(path, checkpoint_every=1000).fit(X)
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name]  # at the end
    path.unlink()
    assert killed_after(1, lambda: new(path, checkpoint_every=1000).fit(X))


def test_other_rows_in_the_same_order_or_the_same_in_another(path):
    whole = new(path).fit(X)
    order = np.random.RandomState(0).permutation(90)
    with pytest.warns(ResumedFitWarning):
        np.testing.assert_array_equal(new(path).fit(X[order]).labels_, whole.labels_[order])
    other = X.copy()
    other[17, 3] += 1e-9
    with pytest.raises(ValueError, match=r"X, with sample_weight, was 90 rows of 6 features \("):
        new(path).fit(other)
    with pytest.raises(ValueError, match="X, with sample_weight, was 90"):
        new(path).fit(X, sample_weight=np.arange(90) + 0.5)


@pytest.mark.parametrize(("changed", "message"), [
    ({"n_clusters": 4}, "n_clusters was 3 and is 4"),
    ({"max_iter": 4, "tol": 0.5}, "max_iter was 3 and is 4; tol was 0.01 and is 0.5"),
    ({"random_state": 1}, "the seed of random_state was"),
    ({"hidden_layer_sizes": (9,)}, r"hidden_layer_sizes was \(8\) and is \(9\)"),
    ({"perturbation": lambda y, generator: y}, "perturbation was 'adversarial' and is .*lambda"),
    ({"early_stopping": True}, "early stopping was None and is validation_fraction=0.1"),
])
def test_another_fit_is_refused_and_says_what_differs(path, changed, message):
    new(path).fit(X)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message) as caught:
        new(path, **changed).fit(X)
    assert "Remove the file to begin anew, or pass another path." in str(caught.value)
    assert path.read_bytes() == before
    path.unlink()
    new(path, **changed).fit(X)


def test_what_does_not_change_a_fit_may_differ(path):
    new(path).fit(X)
    with pytest.warns(ResumedFitWarning):
        new(str(path), hidden_layer_sizes=[8], verbose=0, n_jobs=2, checkpoint_every=9).fit(X)


def test_without_a_random_state_the_seed_is_that_of_the_file(path):
    assert killed_after(4, lambda: new(path, random_state=None).fit(X))
    clusterer = new(path, random_state=None).fit(X)
    seed = clusterer._state.seed
    assert content(new(random_state=None).fit(X)) != content(clusterer)
    path.unlink()
    assert new(path, random_state=None).fit(X)._state.seed != seed


def test_if_the_newest_is_damaged_the_one_before_is_taken(path, n_steps):
    whole = content(new().fit(X))
    assert killed_after(5, lambda: new(path).fit(X))
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    n_steps.clear()
    assert killed_after(1, lambda: new(path).fit(X))
    n_steps.clear()
    assert content(new(path).fit(X)) == whole
    n_steps.append(1)
    assert len(n_steps) == 5  # of nine, the four before are in the other file
    previous = path.parent / (path.name + ".previous")
    for file in (path, previous):
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InvalidModelFile, match=r"holds no fit that can go on: .*length.* Remove"):
        new(path).fit(X)
    path.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResumedFitWarning)
        new(path).fit(X)  # what was kept of before is of no effect


def test_a_file_of_a_model_is_not_overwritten(path):
    new().fit(X).save(path)
    before = path.read_bytes()
    with pytest.raises(InvalidModelFile, match="it is no checkpoint"):
        new(path).fit(X)
    assert path.read_bytes() == before
    path.unlink()
    new(path).fit(X)
    with pytest.raises(InvalidModelFile):
        load(path)


WIDTHS = [8]


def networks(*arguments):
    return dense_networks(*arguments, hidden_layer_sizes=WIDTHS)


def test_networks_may_call_what_has_changed(path, monkeypatch):
    new(path, networks=networks).fit(X)
    monkeypatch.setattr(sys.modules[__name__], "WIDTHS", [9])
    with pytest.raises(ValueError, match="of other networks, by the shapes"):
        new(path, networks=networks).fit(X)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("n_before", [1, 5])
def test_ctrl_c_and_sigterm_write_before_they_end_a_fit(path, monkeypatch, number, n_before):
    whole = content(new().fit(X))
    call, taken = Step.__call__, []

    def interrupted(self, *arguments):
        taken.append(1)
        if len(taken) == n_before:
            os.kill(os.getpid(), number)
        return call(self, *arguments)

    clusterer = new(path, checkpoint_every=1000)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # as it is at a terminal
    with monkeypatch.context() as patch:
        patch.setattr(Step, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            clusterer.fit(X)
    signal.signal(signal.SIGINT, before)
    assert len(taken) == n_before  # the step under way is done
    assert hasattr(clusterer, "labels_") == (n_before == 5)
    with pytest.warns(ResumedFitWarning):
        clusterer.fit(X)
    assert content(clusterer) == whole


def test_a_disk_that_fails_is_said_once_and_the_fit_is_done(path, monkeypatch):
    whole = content(new().fit(X))

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        patch.setattr(files, "_replace", full)
        clusterer = new(path).fit(X)
    said = [str(each.message) for each in caught if each.category is CheckpointWarning]
    assert len(said) == 1
    assert "No space left on device" in said[0]
    assert content(clusterer) == whole
    assert not path.exists()


@pytest.mark.filterwarnings("ignore::skgmvae.exceptions.CheckpointWarning")
def test_whichever_call_of_the_system_fails_the_fit_is_done_and_the_file_is_whole(path, faults):
    parameters = {"max_iter": 1, "init": "random", "perturbation_radius": 0.1}  # four writes
    whole = content(new(**parameters).fit(X))
    for n in range(1, 100):
        for file in path.parent.iterdir():
            file.unlink()
        with pytest.MonkeyPatch.context() as patch:
            fault = faults(patch, n, OSError(5, "Input/output error"))
            try:
                clusterer = new(path, **parameters).fit(X)
            except OSError:
                assert n <= 2  # whether there is a file is not known: nothing is overwritten
                continue
        if not fault.fired:
            break
        assert content(clusterer) == whole
        found = Checkpoint(str(path))._read()  # no error: what is there is whole
        assert found.run == "training"
    assert n > 40


def test_a_folder_that_is_removed_while_the_fit_runs(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()

    def removing(y, source):
        if folder.exists():
            shutil.rmtree(folder)
        return y

    with pytest.warns(CheckpointWarning, match="no such folder, make it first"):
        clusterer = new(folder / "file", perturbation=removing).fit(X)
    assert clusterer.n_iter_ == 3


def test_a_folder_that_is_not_there_is_said_before_any_work(tmp_path, n_steps):
    with pytest.raises(ValueError, match=r"checkpoint=.*folder that is not there"):
        new(tmp_path / "missing" / "file").fit(X)
    for folder in (tmp_path, ""):
        with pytest.raises(ValueError, match=r"checkpoint=.* is a folder: name a file in it"):
            new(folder).fit(X)
    assert not n_steps


def test_the_path_is_not_in_files_of_models(path, tmp_path):
    clusterer = new(path, checkpoint_every=7).fit(X)
    clusterer.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.checkpoint is None
    assert again.checkpoint_every == 7
    assert str(path).encode() not in (tmp_path / "model").read_bytes()


def test_callbacks_are_told_of_each_epoch_once(path):
    pytest.importorskip("sklearn.callback")
    told = []

    class Listener:
        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, *arguments, **named):
            pass

        def on_fit_task_end(self, estimator, context, **named):
            told.append(context.task_name)

        def teardown(self, estimator, context):
            pass

    assert killed_after(5, lambda: new(path).set_callbacks(Listener()).fit(X))
    new(path).set_callbacks(Listener()).fit(X)
    assert told.count("epoch") == 3


def moved(y, source, by=0.0):
    return y + by


class Moving:
    def __init__(self, by):
        self.by = by

    def __call__(self, y, source):
        return y + self.by


@dataclass(slots=True)
class MovingBySlot:
    by: float

    def __call__(self, y, source):
        return y + self.by


def by(amount):
    return lambda y, source: y + amount


def by_one_of(amounts):
    return lambda y, source: y + max(amounts)


@pytest.mark.parametrize(("one", "other"), [
    (partial(moved, by=0.0), partial(moved, by=0.1)), (Moving(0.0), Moving(0.1)),
    (Moving(0.0).__call__, Moving(0.1).__call__), (by(0.0), by(0.1)),
    (lambda y, source: y, lambda y, source: y + 1.0), (moved, Moving(0.0)),
    (MovingBySlot(0.0), MovingBySlot(0.1)), (by_one_of(frozenset({0.0})), by_one_of({0.1})),
], ids=["partial", "object", "method", "closure", "code", "kind", "slots", "frozenset"])
def test_callables_are_compared_by_their_code_and_attributes(path, one, other):
    new(path, perturbation=one).fit(X)
    with pytest.raises(ValueError, match="perturbation was"):
        new(path, perturbation=other).fit(X)
    with pytest.warns(ResumedFitWarning):
        new(path, perturbation=copy.copy(one)).fit(X)


def test_a_callable_has_the_same_words_in_a_process_with_another_order_of_sets():
    script = (
        "from skgmvae._fit.identity import in_words\n"
        "print(in_words(lambda y, source: y * (str(y.dtype) in {'float32', 'float64', 'half'})))"
    )
    # with these two a set of these three has other orders
    words = {run_python("-c", script, PYTHONHASHSEED=seed) for seed in ("0", "1")}
    assert len(words) == 1


def test_what_differs_is_shown_where_texts_are_long():
    before = ", ".join(map(str, range(200)))
    now = before.replace("150", "777")
    shown = difference(before, now)
    assert "150" in shown
    assert "777" in shown
    assert len(shown) < 300


@pytest.mark.parametrize("change", [
    lambda state: state.update(identity=[1]), lambda state: state.update(seed="0"),
    lambda state: state.update(trials={}), lambda state: state.pop("run"),
    lambda state: state["training"].update(learning_rate="fast"),
    lambda state: state["training"].update(best_loss=None),
    lambda state: state["training"].update(losses=np.zeros(0)),
    lambda state: state["training"].update(records=np.zeros((1, 3))),
    lambda state: state["training"].update(best_weights={}),
    lambda state: state["training"]["moments"].popitem(),
    lambda state: state["training"]["moments"].update(more=np.zeros(2)),
    lambda state: state["training"]["best_weights"].update(
        {name: value * np.nan for name, value in state["training"]["best_weights"].items()}
    ),
    lambda state: state["training"].pop("step_records"),
])
def test_a_file_with_the_right_digest_that_no_fit_has_written(path, change):
    assert killed_after(5, lambda: new(path).fit(X))
    with files.opened(path) as file:
        packed = file.read()
        made_by = file.versions
    state = unpack(packed)
    change(state)
    files.write(path, pack(state), made_by)
    (path.parent / (path.name + ".previous")).unlink()
    with pytest.raises(InvalidModelFile, match="holds no fit that can go on"):
        new(path).fit(X)


def test_trials_in_a_file_are_checked(path):
    parameters = {"n_init": 3, "max_iter": 6}
    assert killed_after(8, lambda: new(path, **parameters).fit(X))
    with files.opened(path) as file:
        packed = file.read()
        made_by = file.versions
    state = unpack(packed)
    assert [bool(trial["arrays"]) for trial in state["trials"]].count(True) == 1  # of the best
    del state["trials"][0]["records"]
    files.write(path, pack(state), made_by)
    with pytest.raises(InvalidModelFile, match="a trial is not described"):
        new(path, **parameters).fit(X)


def test_what_a_killed_process_left_unfinished_is_removed(path, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / f".{path.name}.0123456789abcdef.tmp").symlink_to(victim)
    (tmp_path / ".other.0123456789abcdef.tmp").write_text("of another file")
    (tmp_path / f".{path.name}.2.0123456789abcdef.tmp").write_text("of one more")
    new(path).fit(X)
    assert victim.read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == sorted(
        [".other.0123456789abcdef.tmp", f".{path.name}.2.0123456789abcdef.tmp", path.name,
         path.name + ".previous", "victim"]
    )


def test_a_relative_path_stays_where_it_was(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    def leaving(y, source):
        os.chdir(tmp_path / "elsewhere")
        return y

    new("fit", perturbation=leaving).fit(X)
    assert os.listdir(tmp_path / "elsewhere") == []
    assert (tmp_path / "fit").exists()


def test_after_ctrl_c_a_fit_goes_on_from_its_file_with_warm_start_too(path, monkeypatch):
    whole = content(new().fit(X))
    clusterer, call, taken = new(path, warm_start=True), Step.__call__, []

    def interrupted(self, *arguments):
        taken.append(1)
        if len(taken) == 5:
            raise KeyboardInterrupt
        return call(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Step, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            clusterer.fit(X)
    assert clusterer.n_iter_ == 1
    with pytest.warns(ResumedFitWarning):
        clusterer.fit(X)
    assert content(clusterer) == whole


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_a_worker_that_is_interrupted_leaves_the_fit_as_it_was_without(path):
    flag = path.parent / "sent"

    def interrupting(y, source):
        if multiprocessing.parent_process() is not None and not flag.exists():
            flag.touch()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.kill(os.getpid(), signal.SIGINT)
        return y

    clusterer = new(path, n_init=2, n_jobs=2, max_iter=6, perturbation=interrupting).fit(X)
    assert flag.exists()
    assert clusterer.n_iter_ == 6


def test_cards_and_pickles_do_not_name_the_place(path):
    clusterer = new(path).fit(X)
    assert str(path) not in clusterer.to_markdown()
    assert pickle.loads(pickle.dumps(clusterer)).checkpoint == str(path)
    assert b"pathlib" not in pickle.dumps(clusterer)


def test_an_index_of_pandas_has_the_same_words_after_it_has_been_used():
    names = pd.Index(["a", "b"])
    before = in_words(names)
    assert names.get_loc("b") == 1  # which leaves something behind on it
    assert in_words(names) == before == in_words(["a", "b"])
