"""Tables with columns that are categories go straight into `fit`, and come out as they were."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV

from helpers import SHORT, quiet_fit
from skgmvae import GMVAEClustering, load
from skgmvae.exceptions import FarRowsWarning, OneColumnWarning, UnknownCategoryWarning
from skgmvae.fitted import Fitted
from skgmvae.plotting import (
    ClusterProfileDisplay,
    ClusterSamplesDisplay,
    ExemplarsDisplay,
    LatentSpaceDisplay,
)

METHODS = (
    "predict", "predict_proba", "predict_log_proba", "decision_function", "transform",
    "score_samples", "score",
)


def customers(n_samples=400, seed=0):
    """Return a table of three groups, with gaps, and the groups."""
    random = np.random.default_rng(seed)
    y = random.integers(3, size=n_samples)
    color = np.where(random.random(n_samples) < 0.8, y, random.integers(3, size=n_samples))
    is_large = random.random(n_samples) < np.array([0.1, 0.5, 0.9])[y]
    table = pd.DataFrame({
        "age": random.normal(np.array([30, 50, 70])[y], 4),
        "color": np.array(["red", "green", "blue"], object)[color],
        "member": random.random(n_samples) < 0.5,
        "size": pd.Categorical(np.where(is_large, "L", "S")),
        "income": random.normal(np.array([1000, 3000, 2000])[y], 300),
    })
    table.loc[3, "color"], table.loc[4, "income"], table.loc[5, "size"] = None, np.nan, np.nan
    return table, y


@pytest.fixture(scope="module")
def fitted():
    X, y = customers()
    return quiet_fit(GMVAEClustering(3, max_iter=250, random_state=0), X), X, y


def test_groups_are_found(fitted):
    model, X, y = fitted
    assert adjusted_rand_score(y, model.labels_) > 0.95
    np.testing.assert_array_equal(model.predict(X), model.labels_)
    assert model.n_features_in_ == 5
    assert list(model.feature_names_in_) == list(X.columns)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_the_table(fitted, method):
    model, X, _ = fitted
    assert np.isfinite(getattr(model, method)(X)).all()


def test_rows_come_out_in_the_form_of_the_table(fitted):
    model, X, _ = fitted
    latent = model.transform(X)
    for rows in (
        model.reconstruct(X), model.inverse_transform(latent), model.sample(50)[0],
        model.cluster_centers_,
    ):
        assert list(rows.columns) == list(X.columns)
        assert set(rows["color"]) <= {"red", "green", "blue"}
        assert set(rows["size"]) <= {"S", "L"}
        assert set(rows["member"]) <= {True, False}
        assert np.isfinite(rows[["age", "income"]].to_numpy()).all()
    np.testing.assert_array_equal(model.predict(model.cluster_centers_), np.arange(3))


def test_rows_keep_their_index(fitted):
    model, X, _ = fitted
    some = X.sample(50, random_state=0)
    assert model.reconstruct(some).index.equals(some.index)
    latent = pd.DataFrame(model.transform(some), some.index)
    pd.testing.assert_frame_equal(
        model.inverse_transform(latent), model.reconstruct(X).loc[some.index]
    )


def test_categories_are_reconstructed_and_imputed(fitted):
    model, X, y = fitted
    found = model.reconstruct(X)
    assert (found["size"] == X["size"])[np.isin(y, [0, 2])].mean() > 0.8
    typical = np.array(["red", "green", "blue"], object)
    hidden = X.assign(color=None)
    assert (model.reconstruct(hidden)["color"].to_numpy() == typical[y]).mean() > 0.9


def test_samples_have_the_shares_of_the_categories(fitted):
    model, X, _ = fitted
    rows, _ = model.sample(3000)
    for name in ("color", "size", "member"):
        expected, found = (table[name].value_counts(normalize=True) for table in (X, rows))
        assert (expected - found).abs().max() < 0.1, name


@pytest.mark.filterwarnings("ignore::skgmvae.exceptions.UnknownCategoryWarning")
def test_what_was_no_category_is_missing(fitted):
    model, X, _ = fitted
    np.testing.assert_array_equal(
        model.predict_proba(X.assign(color="pink")), model.predict_proba(X.assign(color=None))
    )


@pytest.mark.parametrize("method", [*METHODS, "reconstruct", "elbo"])
def test_unknown_categories_are_warned_of_once_a_call(fitted, method):
    model, X, _ = fitted
    renamed = X.assign(color=X["color"].str.upper(), size=["XL", *X["size"][1:]])
    with pytest.warns(UnknownCategoryWarning) as told:
        getattr(model, method)(renamed)
    (warning,) = told
    assert warning.filename == __file__
    colors = ", ".join(map(repr, dict.fromkeys(renamed["color"].dropna())))
    assert (
        f"column 'color' has {colors} in 399 of 400 rows; column 'size' has 'XL' in 1 of 400 rows."
    ) in str(warning.message)
    with warnings.catch_warnings(action="error"):
        getattr(model, method)(X.assign(color=None))


def test_a_chunk_with_a_category_that_was_not_announced_is_warned_of():
    X, _ = customers()
    model = quiet_fit(GMVAEClustering(3, **SHORT), X)
    many = X.assign(color=[f"c{number}" for number in range(len(X))])
    with pytest.warns(UnknownCategoryWarning, match=r"has 'c0', 'c1', 'c2', \.\.\. in 400 of 400"):
        model.partial_fit(many)


def test_the_order_and_the_dtype_of_columns_count_for_nothing_but_their_names(fitted):
    model, X, _ = fitted
    as_category = X.astype({"color": "category"})
    np.testing.assert_array_equal(model.predict_proba(as_category), model.predict_proba(X))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X[X.columns[::-1]])


def test_a_table_in_single_precision_is_answered_in_it():
    X, _ = customers()
    X = X.astype(dict.fromkeys(X.select_dtypes("number").columns, np.float32))
    model = quiet_fit(GMVAEClustering(3, **SHORT), X)
    for method in ("predict_proba", "transform", "score_samples"):
        assert getattr(model, method)(X).dtype == np.float32, method


def test_an_array_with_indices_is_the_same_as_the_table():
    X, _ = customers()
    one = quiet_fit(GMVAEClustering(3, **SHORT), X)
    other = quiet_fit(
        GMVAEClustering(3, categorical_features=[1, 2, 3], **SHORT),
        X.astype(object).where(X.notna(), None).to_numpy(),
    )
    np.testing.assert_array_equal(one.labels_, other.labels_)
    assert other.sample(5)[0].shape == (5, 5)


def test_numbers_may_be_categories():
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 400)
    X = np.where(random.random((400, 8)) < 0.75, y[:, None], random.integers(0, 3, (400, 8)))
    model = quiet_fit(GMVAEClustering(2, categorical_features=[True] * 8, **SHORT), X)
    assert adjusted_rand_score(y, model.init_labels_) > 0.9
    assert set(np.unique(model.sample(50)[0])) <= {0, 1, 2}


def test_the_log_probability_of_categories_sums_to_one():
    random = np.random.default_rng(0)
    X = pd.DataFrame({
        "a": random.choice(["x", "y"], 300), "b": random.choice(["u", "v", "w"], 300),
    })
    model = quiet_fit(GMVAEClustering(2, random_state=0, max_iter=60), X)
    cells = pd.DataFrame([(a, b) for a in "xy" for b in "uvw"], columns=["a", "b"])
    total = np.exp(model.score_samples(cells, n_draws=400)).sum()
    assert total == pytest.approx(1, abs=0.05)
    shares = np.array([((cell == X).all(axis=1)).mean() for _, cell in cells.iterrows()])
    assert np.abs(np.exp(model.score_samples(cells, n_draws=400)) - shares).max() < 0.08


@pytest.mark.parametrize("settings", [
    {"likelihood": "bernoulli"}, {"consistency": 0}, {"init": "random"}, {"n_mc_samples": 2},
    {"n_init": 2, "n_jobs": 2},
])
def test_settings(settings):
    X, _ = customers()
    X = X.assign(age=X["age"] / 100, income=X["income"].clip(0, 5000) / 5000)
    model = quiet_fit(GMVAEClustering(3, **SHORT | settings), X)
    assert np.isfinite(model.score_samples(X)).all()
    assert set(model.sample(20)[0]["color"]) <= {"red", "green", "blue"}


def test_streams_take_tables_too():
    X, _ = customers()
    model = GMVAEClustering(3, **SHORT)
    with warnings.catch_warnings(action="ignore"):
        for chunk in np.split(np.arange(len(X)), 4):
            model.partial_fit(X.iloc[chunk])
    assert np.isfinite(model.score_samples(X)).all()
    assert list(model.cluster_centers_.columns) == list(X.columns)


def test_a_model_travels_and_goes_on(fitted):
    model, X, _ = fitted
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    pd.testing.assert_frame_equal(loaded.cluster_centers_, model.cluster_centers_)
    continued = quiet_fit(clone(model).set_params(max_iter=1, warm_start=True), X)
    assert quiet_fit(continued.set_params(max_iter=2), X).n_iter_ == 2
    refitted = quiet_fit(clone(model).set_params(**SHORT), X[["age", "income"]])
    assert refitted.sample(2)[0].shape == (2, 2)  # an array again


def test_searches_and_pipelines():
    X, _ = customers()
    search = GridSearchCV(GMVAEClustering(3, **SHORT), {"latent_dim": [2, 3]}, cv=2)
    assert np.isfinite(quiet_fit(search, X).cv_results_["mean_test_score"]).all()


def test_displays_of_a_table(fitted):
    model, X, _ = fitted
    LatentSpaceDisplay.from_estimator(model, X)
    ClusterSamplesDisplay.from_estimator(model)
    ExemplarsDisplay.from_estimator(model, X)
    profile = ClusterProfileDisplay.from_estimator(model, X)
    assert list(profile.feature_names[1:4]) == ["color=blue", "color=green", "color=red"]
    assert np.isfinite(profile.deviations).all()


def test_a_table_of_polars_is_fitted_as_that_of_pandas():
    polars = pytest.importorskip("polars")
    X, _ = customers()
    other = polars.DataFrame({
        name: X[name].astype(object).where(X[name].notna(), None).tolist() for name in X
    })
    of_pandas = quiet_fit(GMVAEClustering(3, **SHORT), X)
    for which in ("from_dtype", ["color", "member", "size"]):
        model = quiet_fit(GMVAEClustering(3, categorical_features=which, **SHORT), other)
        np.testing.assert_array_equal(model.labels_, of_pandas.labels_)
        for rows in (X, other):
            np.testing.assert_array_equal(model.predict_proba(rows), of_pandas.predict_proba(X))
        np.testing.assert_array_equal(model.sample(9)[0], of_pandas.sample(9)[0].to_numpy())
        named = ClusterProfileDisplay.from_estimator(model, other).feature_names
        np.testing.assert_array_equal(
            named, ClusterProfileDisplay.from_estimator(of_pandas, X).feature_names
        )
        assert "color=red" in model.to_markdown()
        assert model.partial_fit(other).n_iter_ == of_pandas.n_iter_ + 1


# What is wrong is said


def test_without_categorical_features_strings_are_refused_with_a_remedy():
    X, _ = customers()
    with pytest.raises(ValueError, match=r"(is text|type str).*categorical_features"):
        GMVAEClustering(3, categorical_features=None).fit(X)
    with pytest.raises(ValueError, match=r"(is text|type str).*categorical_features"):
        GMVAEClustering(3, categorical_features=["size"]).fit(X)


def test_images_have_no_categories():
    X, _ = customers()
    with pytest.raises(ValueError, match="image_shape"):
        GMVAEClustering(3, image_shape=(5, 1)).fit(X)


def test_a_table_of_other_columns_is_refused(fitted):
    model, X, _ = fitted
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X.drop(columns="age"))
    with pytest.raises(ValueError, match="4 features, but GMVAEClustering is expecting 5"):
        model.predict(X.to_numpy()[:, :4])


def test_annotated_data_are_refused_with_a_remedy():
    class AnnData:
        X, obsm, shape = np.ones((5, 3)), {}, (5, 3)

    with pytest.raises(TypeError, match=r"adata\.X or adata\.obsm"):
        GMVAEClustering(2).fit(AnnData())


def test_a_continued_fit_keeps_its_categories_and_its_likelihood():
    X, _ = customers()
    X = X[["color", "size"]]
    model = quiet_fit(GMVAEClustering(2, warm_start=True, **SHORT), X)
    with pytest.raises(ValueError, match="categorical_features"):
        clone(model).set_params(warm_start=True).fit(X).set_params(categorical_features=[0]).fit(X)
    with pytest.raises(ValueError, match="likelihood"):
        model.set_params(likelihood="bernoulli", max_iter=5).fit(X)


def test_streams_have_the_categories_that_the_dtype_declares():
    X = pd.DataFrame({
        "c": pd.Categorical(["a", "b"] * 20, categories=["a", "b", "c"]), "v": np.arange(40.0),
    })
    model = GMVAEClustering(2, **SHORT)
    with warnings.catch_warnings(action="ignore"):
        model.partial_fit(X).partial_fit(X.assign(c=pd.Categorical(["c"] * 40)))
    assert not np.array_equal(
        model.predict_proba(X.assign(c="c")), model.predict_proba(X.assign(c=None))
    )


def test_a_stream_may_begin_with_one_category():
    random = np.random.default_rng(0)
    first = np.zeros(100, int), *random.integers(2, size=(20, 100))
    model = GMVAEClustering(2, **SHORT)
    with warnings.catch_warnings(action="ignore"):
        for codes in first:
            model.partial_fit(pd.DataFrame({
                "c": pd.Categorical.from_codes(codes, ["a", "b"]), "v": random.normal(size=100),
            }))
    share = (model.sample(1000)[0]["c"] == "a").mean()
    assert 0.2 < share < 0.8


def as_polars(X):
    polars = pytest.importorskip("polars")
    return polars.DataFrame({name: X[name].tolist() for name in X})


def as_array(X):
    return X.to_numpy()


@pytest.mark.parametrize(("given", "name"), [
    (pd.DataFrame, "'income'"), (as_polars, "'income'"), (as_array, "2"),
])
@pytest.mark.parametrize("categories", [[1], None])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_columns_are_named_as_the_table_has_them(given, name, categories, method):
    X = customers()[0][["age", "income"]].fillna(0)
    X.insert(1, "kind", np.arange(len(X)) % 2)
    function = getattr(GMVAEClustering(2, **SHORT, categorical_features=categories), method)
    with pytest.raises(ValueError, match=f"Column {name} of X has no values.*drop it"):
        function(given(X.assign(income=np.nan)))
    with pytest.raises(ValueError, match=f"Columns ('age'|0), {name} of X have no .*drop them"):
        function(given(X.assign(income=np.nan, age=np.nan)))
    with pytest.warns(FarRowsWarning, match=f"in column {name} of X"):
        function(given(X.assign(income=[1e12, *X["income"][1:]])))


@pytest.mark.filterwarnings("ignore::skgmvae.exceptions.InitialPartitionWarning")
def test_the_category_that_the_clusters_are_is_named():
    with pytest.warns(OneColumnWarning, match="the 2 values of column 'e' of X"):
        GMVAEClustering(2, random_state=0).fit(small_table())
    with pytest.warns(OneColumnWarning, match="the 2 values of column 'f' of X"):
        GMVAEClustering(2, random_state=0).fit(
            small_table().assign(e="u", f=lambda X: X["a"].rank() > 30)
        )


def test_no_rows_are_refused(fitted):
    model, X, _ = fitted
    for rows in (X.head(0), X[["color"]].head(0)):
        with pytest.raises(ValueError, match=r"0 sample|feature names"):
            model.predict(rows)


def small_table():
    X = np.random.default_rng(0).standard_normal((60, 4)) + np.repeat([[0], [6]], 30, axis=0)
    return pd.DataFrame(X, columns=list("abcd")).assign(e=np.where(X[:, 0] > 3, "u", "v"))


def test_a_chunk_may_lack_all_values_of_a_category():
    table = small_table()
    clusterer = GMVAEClustering(2, **SHORT).fit(table)
    assert clusterer.partial_fit(table[:9].assign(e=None)).n_iter_ == 4


def test_a_chunk_with_columns_in_another_order_is_refused_by_its_names():
    clusterer = GMVAEClustering(2, **SHORT).fit(small_table())
    with pytest.raises(ValueError, match="feature names should match"):
        clusterer.partial_fit(small_table()[["e", "a", "b", "c", "d"]])


def test_a_category_may_be_named_twice():
    clusterer = GMVAEClustering(2, **SHORT, categorical_features=["e", "e"]).fit(small_table())
    assert clusterer.partial_fit(small_table()).n_iter_ == 4


def test_a_column_alone_is_no_chunk():
    clusterer = GMVAEClustering(2, **SHORT).fit(small_table())
    with pytest.raises(ValueError, match="X is a Series, not a table"):
        clusterer.partial_fit(small_table()["a"])
    with pytest.raises(ValueError, match="features"):
        clusterer.partial_fit(small_table()["a"].tolist())


def test_a_value_that_cannot_be_a_category_is_refused_in_words():
    table = small_table()
    clusterer = GMVAEClustering(2, **SHORT).fit(table)
    with pytest.raises(TypeError, match="Column 'e' of X holds values that cannot be categories"):
        clusterer.predict(table.assign(e=[["u"]] * len(table)))


def test_numbers_of_numpy_in_an_array_of_objects_are_saved(tmp_path):
    table = [[c, x] for c, x in zip(np.arange(40) % 3, np.linspace(0, 1, 40), strict=True)]
    clusterer = GMVAEClustering(2, categorical_features=[0], **SHORT).fit(table)
    clusterer.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict(table), clusterer.labels_)


def test_numbers_that_floats_do_not_hold_stay_categories_of_an_array():
    names = np.array([2**60 + 1, 2**61 + 3, 2**62 + 7])[np.arange(60) % 3]
    X = np.column_stack([names, np.arange(60) % 7])
    model = quiet_fit(GMVAEClustering(2, categorical_features=[0], **SHORT), X)
    for found in (model.reconstruct(X), model.cluster_centers_, model.sample(9)[0]):
        assert set(found[:, 0]) <= set(names.tolist())
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.cluster_centers_, model.cluster_centers_)
    # in single precision 20240101 is no number
    X[:, 0] = 20240101 + np.arange(60) % 3
    model = quiet_fit(GMVAEClustering(2, categorical_features=[0], **SHORT), X)
    found = model.inverse_transform(model.transform(X).astype(np.float32))
    assert found.dtype == np.float64
    assert set(found[:, 0]) <= set(X[:, 0])


def test_tuples_may_be_categories():
    X = pd.DataFrame({"v": np.arange(40.0) % 7})
    X["c"] = pd.Series([(number % 3, "x") for number in range(40)]).astype("category")
    model = quiet_fit(GMVAEClustering(2, **SHORT), X)
    assert set(model.reconstruct(X)["c"]) <= {(0, "x"), (1, "x"), (2, "x")}


def test_rows_of_weight_0_define_no_category():
    X, _ = customers()
    rare = X.assign(color=["rare", *X["color"][1:]])
    weights = np.append(0.0, np.ones(len(X) - 1))
    model = GMVAEClustering(3, **SHORT)
    with pytest.warns(UnknownCategoryWarning, match="'rare' in 1 of 400 rows"):
        model.fit(rare, sample_weight=weights)
    other = quiet_fit(GMVAEClustering(3, **SHORT), X[1:])
    assert model._columns.categories == other._columns.categories
    assert model.lower_bound_ == other.lower_bound_


def test_what_is_set_for_the_next_fit_changes_no_prediction():
    X, _ = customers()
    model = quiet_fit(GMVAEClustering(3, **SHORT), X)
    expected = model.predict(X)
    np.testing.assert_array_equal(model.set_params(image_shape=(1, 5)).predict(X), expected)
    numbers = np.random.default_rng(0).standard_normal((40, 4))
    model = quiet_fit(GMVAEClustering(3, **SHORT), numbers).set_params(categorical_features=[0])
    np.testing.assert_array_equal(model.predict(csr_array(numbers)), model.predict(numbers))
    with pytest.raises(ValueError, match="is for tables in memory, but X is sparse"):
        model.set_params(warm_start=True).fit(csr_array(numbers))


@pytest.mark.parametrize("method", ["reconstruct", "inverse_transform", "sample"])
def test_rows_are_decoded_as_the_model_has_them_that_made_them(method, monkeypatch):
    before = pd.DataFrame({"a": np.arange(12.0), "kind": ["u", "v", "w"] * 4})
    after = pd.DataFrame({"b": np.arange(12.0), "sort": ["x", "y"] * 6, "c": np.arange(12.0) ** 2})
    clusterer = quiet_fit(GMVAEClustering(**SHORT), before)
    argument = {
        "reconstruct": before, "inverse_transform": clusterer.transform(before), "sample": 3,
    }[method]
    name = {"reconstruct": "reconstructed", "inverse_transform": "decoded"}.get(method, method)
    function = getattr(Fitted, name)

    def meanwhile(*args, **keywords):
        monkeypatch.setattr(Fitted, name, function)
        quiet_fit(clusterer, after)  # as another thread may
        return function(*args, **keywords)

    monkeypatch.setattr(Fitted, name, meanwhile)
    found = getattr(clusterer, method)(argument)
    rows = found[0] if method == "sample" else found
    assert list(rows.columns) == ["a", "kind"]
    assert list(clusterer.sample(2)[0].columns) == ["b", "sort", "c"]
