"""Decoding and sampling."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from skgmvae import GMVAEClustering, generation


@pytest.fixture(scope="module")
def byte_clusterer(fit):
    images = np.random.default_rng(0).integers(0, 256, (40, 12), dtype=np.uint8)
    return fit(images, likelihood="bernoulli", max_iter=2)


def with_random_state(clusterer, random_state):
    copy = pickle.loads(pickle.dumps(clusterer))
    return copy.set_params(random_state=random_state)


def test_decoding_what_was_encoded_is_reconstruction(clusterer, X):
    latent = clusterer.transform(X)
    np.testing.assert_allclose(
        clusterer.inverse_transform(latent), clusterer.reconstruct(X), rtol=1e-10
    )


def test_decoding_is_row_by_row_and_in_the_precision_given(clusterer, X):
    latent = clusterer.transform(X)
    whole = clusterer.inverse_transform(latent)
    assert whole.dtype == np.float64
    np.testing.assert_allclose(clusterer.inverse_transform(latent[5:8]), whole[5:8], rtol=1e-10)
    single = clusterer.inverse_transform(latent.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, whole, rtol=1e-3, atol=1e-3)


def test_latent_points_of_another_dimension_are_refused(clusterer, X):
    with pytest.raises(ValueError, match=r"X has 4 columns.*latent_dim=2.*transform"):
        clusterer.inverse_transform(X)


def test_sampling_and_decoding_need_a_fit():
    with pytest.raises(NotFittedError):
        GMVAEClustering().sample()
    with pytest.raises(NotFittedError):
        GMVAEClustering().inverse_transform([[0.0]])


def test_samples_have_the_shape_of_the_data(clusterer):
    rows, labels = clusterer.sample(7)
    assert rows.shape == (7, 4)
    assert labels.shape == (7,)
    assert labels.dtype.kind == "i"
    assert clusterer.sample()[0].shape == (1, 4)


def test_an_integer_random_state_gives_the_same_samples(clusterer, untouched_global_state):
    for one, other in zip(clusterer.sample(20), clusterer.sample(20), strict=True):
        np.testing.assert_array_equal(one, other)
    other = with_random_state(clusterer, 1)
    assert not np.array_equal(clusterer.sample(20)[0], other.sample(20)[0])


def test_many_samples_are_drawn_a_batch_at_a_time(clusterer, monkeypatch):
    labels = np.arange(50) % 3
    w = np.random.default_rng(0).standard_normal((50, 2))
    monkeypatch.setattr(generation, "INFERENCE_ROWS", 8)
    sizes = []
    decode = clusterer.module_.p_y
    monkeypatch.setattr(clusterer.module_, "p_y", lambda x: sizes.append(len(x)) or decode(x))
    rows, drawn = clusterer.sample(50, labels, w)
    assert sizes == [8] * 6 + [2]
    assert rows.shape == (50, 4)
    np.testing.assert_array_equal(drawn, labels)
    monkeypatch.undo()
    clean, _ = clusterer.sample(50, labels, w, observation_noise=False)
    monkeypatch.setattr(generation, "INFERENCE_ROWS", 8)
    in_batches, _ = clusterer.sample(50, labels, w, observation_noise=False)
    np.testing.assert_allclose(in_batches, clean, rtol=1e-5)


def test_a_random_state_object_gives_new_samples_each_time(clusterer):
    live = with_random_state(clusterer, np.random.RandomState(0))
    first, second = live.sample(20)[0], live.sample(20)[0]
    assert not np.array_equal(first, second)
    again = with_random_state(clusterer, np.random.RandomState(0))
    np.testing.assert_array_equal(again.sample(20)[0], first)


def test_sampling_leaves_no_trace(clusterer, X):
    before = pickle.dumps(clusterer.__getstate__())
    clusterer.sample(5)
    clusterer.inverse_transform(clusterer.transform(X))
    assert pickle.dumps(clusterer.__getstate__()) == before


def test_components_are_drawn_by_their_weights(clusterer):
    _, labels = clusterer.sample(4000)
    shares = np.bincount(labels, minlength=3) / 4000
    np.testing.assert_allclose(shares, clusterer.weights_, atol=0.04)


def test_a_component_may_be_chosen_for_all_rows_or_each(clusterer):
    assert clusterer.sample(5, cluster=2)[1].tolist() == [2] * 5
    assert clusterer.sample(3, cluster=[2, 0, 1])[1].tolist() == [2, 0, 1]
    assert clusterer.sample(3, np.array([2, 0, 1]))[1].tolist() == [2, 0, 1]


def test_samples_are_drawn_from_the_component_chosen(clusterer):
    with torch.no_grad():
        p_x = clusterer.module_.p_x(torch.zeros(1, 2))
        mean, deviation = p_x.mean[0], p_x.stddev[0]
        source = torch.Generator().manual_seed(0)
        for k in range(3):
            x = mean[k] + deviation[k] * torch.randn(4000, 2, generator=source)
            expected = clusterer.inverse_transform(x.numpy()).mean(0)
            rows, _ = clusterer.sample(4000, cluster=k, w=np.zeros(2), observation_noise=False)
            spread = rows.std(0) / np.sqrt(4000)
            assert (np.abs(rows.mean(0) - expected) < 7 * spread + 1e-3).all()


@pytest.mark.parametrize("cluster", [3, -1, [0, 0, 7]])
def test_a_component_that_does_not_exist_is_refused(clusterer, cluster):
    with pytest.raises(ValueError, match=r"cluster=.* whole numbers from 0 to 2"):
        clusterer.sample(3, cluster=cluster)


@pytest.mark.parametrize("cluster", [0.5, -0.5, [0.0, 1.5, 2.0]])
def test_a_component_that_is_no_whole_number_is_refused(clusterer, cluster):
    with pytest.raises(ValueError, match="cluster"):
        clusterer.sample(3, cluster=cluster)


def test_as_many_components_as_samples_are_needed(clusterer):
    with pytest.raises(ValueError, match="cluster"):
        clusterer.sample(3, cluster=[0, 1])


@pytest.mark.parametrize("n_samples", [0, -2])
def test_a_number_of_samples_that_is_not_positive_is_refused(clusterer, n_samples):
    with pytest.raises(ValueError, match=r"n_samples == .*, must be >= 1"):
        clusterer.sample(n_samples)


def test_a_style_for_all_rows_is_the_same_as_for_each(clusterer):
    style = [0.3, -1.0]
    shared, _ = clusterer.sample(4, 1, style)
    each, _ = clusterer.sample(4, 1, [style] * 4)
    np.testing.assert_array_equal(shared, each)
    other, _ = clusterer.sample(4, 1, [[-3.0, 3.0]] * 4)
    assert not np.array_equal(shared, other)


def test_the_style_moves_each_row_by_itself(clusterer):
    styles = np.zeros((4, 2))
    before, _ = clusterer.sample(4, 1, styles, observation_noise=False)
    styles[2] = [5.0, -5.0]
    after, _ = clusterer.sample(4, 1, styles, observation_noise=False)
    same = np.isclose(before, after, rtol=1e-5).all(1)
    assert same.tolist() == [True, True, False, True]


@pytest.mark.parametrize("w", [[0.0], [0.0] * 3, np.zeros((2, 2)), 0.0, np.zeros((1, 2))])
def test_a_style_of_another_shape_is_refused(clusterer, w):
    with pytest.raises(ValueError, match=r"w has shape .* must be \(2,\) or \(3, 2\)"):
        clusterer.sample(3, w=w)


def test_observation_noise_is_that_of_p_y(clusterer, monkeypatch):
    decoded = []
    p_y = clusterer.module_.p_y
    monkeypatch.setattr(clusterer.module_, "p_y", lambda x: decoded.append(p_y(x)) or decoded[-1])
    noisy, _ = clusterer.sample(3000, cluster=0)
    clean, _ = clusterer.sample(3000, cluster=0, observation_noise=False)
    half = len(decoded) // 2  # a batch each
    means = [torch.cat([p.mean for p in part]) for part in (decoded[:half], decoded[half:])]
    assert torch.equal(*means)  # what is drawn before the noise is equal
    deviation = torch.cat([p.stddev for p in decoded[:half]]).numpy()
    noise = (noisy - clean) / (deviation * clusterer._space.scale)
    np.testing.assert_allclose(noise.mean(0), 0, atol=5 / np.sqrt(3000))
    np.testing.assert_allclose(noise.std(0), 1, atol=0.06)
    assert np.abs(np.corrcoef(noise.T) - np.eye(4)).max() < 0.1


def test_bernoulli_draws_are_black_and_white_and_means_are_grey(byte_clusterer):
    drawn, _ = byte_clusterer.sample(50)
    grey, _ = byte_clusterer.sample(50, observation_noise=False)
    assert set(np.unique(drawn)) == {0.0, 255.0}
    assert 0 < grey.min() < grey.max() < 255
    assert len(np.unique(grey)) > 100


def test_samples_are_in_the_units_of_the_data(fit, X):
    rows, _ = fit(1e3 + 1e-3 * X).sample(100)
    assert np.abs(rows - 1e3).max() < 0.1
    assert rows.std() < 0.05


def test_an_empty_component_is_sampled_only_when_asked_for(fit, X):
    clusterer = fit(X, max_iter=1)
    copy = pickle.loads(pickle.dumps(clusterer))
    copy.weights_ = np.array([1.0, 0.0, 0.0])
    assert set(copy.sample(50)[1]) == {0}
    assert copy.sample(1, cluster=2)[1].tolist() == [2]
