"""The families of p(y|x): densities against torch and scipy, units, checks and draws."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Categorical, Independent, Normal, StudentT

from skgmvae._model import DiagonalNormal
from skgmvae._rows import FARTHEST, Units
from skgmvae.likelihoods import (
    LIKELIHOODS,
    BernoulliLikelihood,
    GaussianLikelihood,
    Likelihood,
    MixedLikelihood,
    NegativeBinomialLikelihood,
    PoissonLikelihood,
    StudentTLikelihood,
)

CPU = torch.device("cpu")
GAUSSIAN, BERNOULLI = LIKELIHOODS["gaussian"], LIKELIHOODS["bernoulli"]
STUDENT_T = LIKELIHOODS["student_t"]
EACH = pytest.mark.parametrize("family", LIKELIHOODS.values(), ids=LIKELIHOODS)
SHAPES = pytest.mark.parametrize("data_shape", [(3,), (2, 3, 4)])


def rng(seed=0):
    return np.random.default_rng(seed)


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def parameters_of(family, n_rows, *data_shape, dtype=torch.float64):
    return torch.tensor(rng().normal(size=(n_rows, family.n_parameters, *data_shape))).to(dtype)


def seen(units, X):
    return units.to_model(X, torch.float64, CPU)


@EACH
def test_a_family_keeps_to_the_protocol(family):
    assert isinstance(family, Likelihood)
    head = family.head(6, (2, 4))
    parameters = head(torch.zeros(5, 6))
    assert parameters.shape == (5, family.n_parameters, 2, 4)
    p_y = family.distribution(parameters)
    assert p_y.batch_shape == (5,)
    assert p_y.event_shape == p_y.mean.shape[1:] == (2, 4)
    assert p_y.log_prob(torch.zeros(5, 2, 4)).shape == (5,)
    assert family.draw(p_y, source()).shape == (5, 2, 4)


@EACH
def test_a_family_compares_and_travels(family):
    copy = pickle.loads(pickle.dumps(family))
    assert copy == family == type(family)()
    assert hash(copy) == hash(family)


def test_families_are_different():
    assert GaussianLikelihood() != BernoulliLikelihood()
    assert {name: type(family) for name, family in LIKELIHOODS.items()} == {
        "gaussian": GaussianLikelihood, "student_t": StudentTLikelihood,
        "bernoulli": BernoulliLikelihood,
        "poisson": PoissonLikelihood, "negative_binomial": NegativeBinomialLikelihood,
    }
    assert PoissonLikelihood() != NegativeBinomialLikelihood()


# Densities.

@SHAPES
def test_the_gaussian_is_torchs_and_scipys(data_shape):
    y, mean, raw = rng(2).normal(size=(3, 5, *data_shape))
    found = GAUSSIAN.distribution(torch.tensor(np.stack([mean, raw], 1)))
    deviation = DiagonalNormal(torch.zeros(()), torch.tensor(raw)).stddev
    expected = Independent(Normal(torch.tensor(mean), deviation), len(data_shape))
    y = torch.tensor(y)
    assert torch.allclose(found.log_prob(y), expected.log_prob(y), rtol=1e-12)
    by_scipy = scipy.stats.norm.logpdf(y, mean, deviation).reshape(5, -1).sum(1)
    np.testing.assert_allclose(found.log_prob(y), by_scipy, rtol=1e-10)
    assert torch.equal(found.mean, expected.mean)
    assert torch.equal(found.stddev, deviation)


@SHAPES
def test_students_t_is_torchs_and_scipys(data_shape):
    y, location, raw, tail = rng(2).normal(size=(4, 5, *data_shape))
    found = STUDENT_T.distribution(torch.tensor(np.stack([location, raw, tail], 1)))
    df = found.base_dist.df
    scale = DiagonalNormal(torch.zeros(()), torch.tensor(raw)).stddev
    expected = Independent(StudentT(df, torch.tensor(location), scale), len(data_shape))
    y = torch.tensor(10 * y)
    assert torch.allclose(found.log_prob(y), expected.log_prob(y), rtol=1e-10)
    by_scipy = scipy.stats.t.logpdf(y, df, location, scale).reshape(5, -1).sum(1)
    np.testing.assert_allclose(found.log_prob(y), by_scipy, rtol=1e-9)
    assert torch.equal(found.mean, expected.mean)


def test_degrees_of_freedom_begin_at_11_and_have_limits():
    tail = torch.tensor([0.0, -1e9, 1e9]).expand(2, 3)
    df = STUDENT_T.distribution(torch.stack([tail, tail, tail], 1)).base_dist.df[0]
    np.testing.assert_allclose(df, [11.0, 1 + 10 * np.exp(-5), 1 + 10 * np.exp(5)], rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_with_many_degrees_of_freedom_it_is_the_gaussian(dtype):
    values = torch.randn(4, 2, 3, generator=source(), dtype=dtype)
    y = torch.randn(4, 3, generator=source(1), dtype=dtype)
    many = torch.cat([values, torch.full_like(values[:, :1], 10.0)], 1)
    found = STUDENT_T.distribution(many).log_prob(y)
    torch.testing.assert_close(found, GAUSSIAN.distribution(values).log_prob(y), atol=0.05, rtol=0)


def test_a_far_value_has_a_finite_density_and_gradient():
    parameters = torch.tensor([[0.0, -8.0, tail] for tail in (-9.0, 0.0, 9.0)])[:, :, None]
    parameters.requires_grad_()
    log_p = STUDENT_T.distribution(parameters).log_prob(torch.full((3, 1), FARTHEST))
    log_p.sum().backward()
    assert torch.isfinite(log_p).all()
    assert torch.isfinite(parameters.grad).all()


@SHAPES
def test_the_bernoulli_is_torchs(data_shape):
    logits = parameters_of(BERNOULLI, 5, *data_shape)
    found = BERNOULLI.distribution(logits)
    expected = Independent(Bernoulli(logits=logits[:, 0]), len(data_shape))
    y = torch.bernoulli(torch.full((5, *data_shape), 0.5), generator=source()).double()
    assert torch.allclose(found.log_prob(y), expected.log_prob(y), rtol=1e-12)
    assert torch.equal(found.mean, expected.mean)


@given(st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_the_bernoulli_log_density_is_minus_the_cross_entropy_of_fractions_too(values):
    y = np.reshape(values, (2, 3))
    logits = rng(1).normal(scale=5, size=(2, 3))
    p = scipy.special.expit(logits)
    expected = (scipy.special.xlogy(y, p) + scipy.special.xlogy(1 - y, 1 - p)).sum(1)
    distribution = BERNOULLI.distribution(torch.tensor(logits)[:, None])
    np.testing.assert_allclose(distribution.log_prob(torch.tensor(y)), expected, rtol=1e-9)
    np.testing.assert_allclose(distribution.mean, p, rtol=1e-12)


def test_a_bernoulli_with_extreme_logits_is_finite():
    distribution = BERNOULLI.distribution(torch.tensor([[[1e4, -1e4]]]))
    np.testing.assert_allclose(distribution.log_prob(torch.tensor([[0.0, 0.0]])), [-1e4])


# Draws.

@pytest.mark.parametrize("family", [GAUSSIAN, BERNOULLI])
def test_draws_have_the_mean_and_the_variance_of_the_distribution(family):
    parameters = parameters_of(family, 3, 4)
    p_y = family.distribution(parameters.repeat(4000, 1, 1))
    drawn = family.draw(p_y, source()).unflatten(0, (4000, 3))
    one = family.distribution(parameters)
    error = one.stddev / 4000**0.5
    assert ((drawn.mean(0) - one.mean).abs() < 4.5 * error).all()
    np.testing.assert_allclose(drawn.var(0), one.variance, rtol=0.12)
    if family is BERNOULLI:
        assert set(drawn.unique().tolist()) == {0.0, 1.0}
    else:
        assert len(drawn.unique()) > 40_000


def test_draws_of_students_t_are_scipys():
    parameters = torch.tensor([[[0.5], [1.0], [-0.5]]], dtype=torch.float64)
    p_y = STUDENT_T.distribution(parameters.expand(4000, -1, -1))
    values = p_y.base_dist
    expected = scipy.stats.t(float(values.df[0]), 0.5, float(values.normal.scale[0]))
    drawn = STUDENT_T.draw(p_y, source())[:, 0]
    assert scipy.stats.kstest(drawn.numpy(), expected.cdf).pvalue > 0.01


@EACH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_come_from_the_generator_alone(family, dtype, untouched_global_state):
    p_y = family.distribution(parameters_of(family, 9, 4, dtype=dtype))
    drawn = family.draw(p_y, source(1))
    assert drawn.dtype == dtype
    assert torch.equal(drawn, family.draw(p_y, source(1)))
    assert not torch.equal(drawn, family.draw(p_y, source(2)))


@EACH
def test_draws_are_the_same_on_every_device(family, device):
    parameters = parameters_of(family, 9, 4, dtype=torch.float32)
    here = family.draw(family.distribution(parameters), source())
    there = family.draw(family.distribution(parameters.to(device)), source())
    assert there.device == torch.device(device)
    torch.testing.assert_close(there.cpu(), here, rtol=1e-5, atol=1e-6)


def test_gaussian_noise_is_drawn_in_one_precision():
    parameters = parameters_of(GAUSSIAN, 9, 4)
    one = GAUSSIAN.draw(GAUSSIAN.distribution(parameters), source())
    other = GAUSSIAN.draw(GAUSSIAN.distribution(parameters.float()), source())
    assert torch.allclose(one.float(), other, rtol=1e-5, atol=1e-6)


# Units.

def test_gaussian_units_are_standardized():
    X = rng().standard_normal((30, 4)) * [1, 10, 100, 1] + 7
    for image_shape in (None, (2, 2)):
        found, expected = GAUSSIAN.units(X, image_shape), Units.standardizing(X, image_shape)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_bernoulli_values_stay_and_bytes_are_fractions_of_255():
    values = rng().random((6, 4))
    bytes_ = rng().integers(0, 256, (6, 4), dtype=np.uint8)
    of_values, of_bytes = BERNOULLI.units(values, None), BERNOULLI.units(bytes_, (2, 2))
    assert of_bytes.image_shape == (2, 2)
    y = seen(of_bytes, bytes_)
    np.testing.assert_allclose(y.flatten(1), bytes_.astype(float) / 255, rtol=1e-12)
    np.testing.assert_array_equal(seen(of_values, values), values)
    np.testing.assert_allclose(of_bytes.to_data(y, np.dtype(np.float64)), bytes_, rtol=1e-12)
    np.testing.assert_allclose(seen(of_bytes, bytes_.astype(float)), y)


def test_fractions_may_be_meant_for_bytes():
    bytes_ = rng().integers(0, 256, (6, 4), dtype=np.uint8)
    units = BERNOULLI.units(bytes_, None)
    found = BERNOULLI.conversion_warning(bytes_ / 255, units)
    assert "fitted to bytes, from 0 to 255: pass X * 255" in found
    for values in (np.zeros((1, 4)), np.array([[0.0, 1.0]]), bytes_.astype(float), bytes_ / 2):
        assert not BERNOULLI.conversion_warning(values, units)
    assert not BERNOULLI.conversion_warning(bytes_ / 255, BERNOULLI.units(bytes_ / 255, None))
    assert not GAUSSIAN.conversion_warning(bytes_ / 255, units)


def test_the_unit_of_a_row_is_that_of_the_fit_whatever_rows_are_beside_it():
    zeros_and_ones, grays = rng().integers(0, 2, (1, 4), np.uint8), np.full((1, 4), 200, np.uint8)
    both = np.concatenate([zeros_and_ones, grays])
    units = BERNOULLI.units(both, None)
    together = seen(units, both)
    assert torch.equal(together[:1], seen(units, zeros_and_ones))
    assert float(together.max()) == pytest.approx(200 / 255)
    of_ones = BERNOULLI.units(zeros_and_ones, None)
    np.testing.assert_array_equal(seen(of_ones, zeros_and_ones), zeros_and_ones)
    with pytest.raises(ValueError, match="between 0 and 1"):
        BERNOULLI.check(grays, of_ones)


def test_a_gaussian_density_changes_by_the_volume_of_a_unit():
    X = rng().standard_normal((30, 3)) * [1, 10, 100]
    units = GAUSSIAN.units(X, None)
    at = seen(units, np.stack([0 * X[0], *np.eye(3)])).numpy()
    jacobian = np.linalg.det((at[1:] - at[0]).T)
    log_density = rng(1).normal(size=5)
    np.testing.assert_allclose(
        GAUSSIAN.log_density_in_data(log_density, units), log_density + np.log(jacobian)
    )


def test_a_gaussian_density_in_the_units_of_the_data_integrates_to_1():
    X = 5 + 20 * rng().standard_normal((30, 1))
    units = GAUSSIAN.units(X, None)
    p_y = GAUSSIAN.distribution(torch.tensor([[[0.3], [0.1]]], dtype=torch.float64))
    grid = np.linspace(-300, 300, 20_001)
    log_density = p_y.log_prob(seen(units, grid[:, None])).numpy()
    density = np.exp(GAUSSIAN.log_density_in_data(log_density, units))
    assert density.sum() * (grid[1] - grid[0]) == pytest.approx(1, rel=1e-6)


def test_students_t_has_the_units_of_the_gaussian():
    X = rng().standard_t(2, (30, 3)) * [1, 10, 100]
    units = STUDENT_T.units(X, None)
    for one, other in zip(units, GAUSSIAN.units(X, None), strict=True):
        np.testing.assert_array_equal(one, other)
    STUDENT_T.check(1e9 * X, units)
    log_density, observed = rng(1).normal(size=5), rng(2).random((5, 3)) < 0.5
    for values in (None, observed):
        np.testing.assert_array_equal(
            STUDENT_T.log_density_in_data(log_density, units, values),
            GAUSSIAN.log_density_in_data(log_density, units, values),
        )


def test_a_bernoulli_log_probability_has_no_unit():
    X = rng().integers(0, 256, (20, 3)).astype(np.uint8)
    log_density = rng(1).normal(size=5)
    found = BERNOULLI.log_density_in_data(log_density, BERNOULLI.units(X, None))
    np.testing.assert_array_equal(found, log_density)


@pytest.mark.parametrize("scale", ["auto", "range", "std", None])
def test_the_scale_is_for_the_gaussian_likelihood_only(scale):
    X = rng().random((30, 4)) * [0.1, 0.2, 0.3, 1]
    expected = Units.standardizing(X, None, scale).scale
    np.testing.assert_array_equal(GAUSSIAN.units(X, None, scale).scale, expected)
    np.testing.assert_array_equal(BERNOULLI.units(X, None, scale).scale, 1)


def test_no_value_between_0_and_1_is_far_up_to_rounding():
    X = np.array([[0.0, 1 + 1e-15], [-1e-15, 0.5]])
    assert BERNOULLI.units(X, None).far_from_others(X)[0] == 0


# Checks.

@pytest.mark.parametrize(("low", "high"), [(-0.5, 1.0), (0.0, 3.5)])
def test_values_that_are_no_probabilities_are_refused_with_advice(low, high):
    X = np.array([[low, 0.5], [0.5, high]])
    message = (
        rf"likelihood='bernoulli' needs values between 0 and 1, but X has values between {low:g} "
        rf"and {high:g}\. Scale X, .*MinMaxScaler.*uint8.*likelihood='gaussian'"
    )
    with pytest.raises(ValueError, match=message):
        BERNOULLI.check(X, BERNOULLI.units(X, None))


def test_what_is_a_probability_depends_on_the_training_data():
    bytes_ = np.array([[0, 255]], dtype=np.uint8)
    of_bytes = BERNOULLI.units(bytes_, None)
    BERNOULLI.check(bytes_, of_bytes)
    BERNOULLI.check(np.array([[0.0, 255.0]]), of_bytes)
    with pytest.raises(ValueError, match="between 0 and 255"):
        BERNOULLI.check(np.array([[0.0, 256.0]]), of_bytes)
    of_values = BERNOULLI.units(np.array([[0.0, 1.0]]), None)
    with pytest.raises(ValueError, match=r"between 0 and 1,.* fitted to .* pass X / 255"):
        BERNOULLI.check(bytes_, of_values)
    with pytest.raises(ValueError, match="between 0 and 1"):
        BERNOULLI.check(bytes_.astype(float), of_values)


def test_a_gaussian_takes_all_finite_values():
    X = np.array([[-1e9, 1e9], [0.0, 1.0]])
    GAUSSIAN.check(1e200 * X, GAUSSIAN.units(X, None))


def test_bernoulli_takes_what_minmaxscaler_makes():
    family = LIKELIHOODS["bernoulli"]
    X = np.array([[0.0, 1 + 1e-15], [-1e-15, 0.5]])
    units = family.units(X, None)
    family.check(X, units)
    with pytest.raises(ValueError, match="needs values between 0 and 1"):
        family.check(X + 0.01, units)


# Numbers and categories

GROUPS = ((1, 2), (4, 5, 6))


def mixed(numbers=None, **changes):
    ends = {"low": (-0.4, -0.6, -0.2, -0.5, -0.3), "high": (0.6, 0.4, 0.8, 0.5, 0.7)}
    return MixedLikelihood(numbers or GaussianLikelihood(), GROUPS, **ends | changes)


def one_hot_rows(family, n_rows=7, seed=0):
    """Return rows of seven columns, and the category of each row and group."""
    random = torch.Generator().manual_seed(seed)
    y = torch.randn(n_rows, 7, generator=random)
    chosen, first = [], 0
    for group in GROUPS:
        category = torch.randint(len(group), (n_rows,), generator=random)
        for place, column in enumerate(group):
            high, low = family.high[first + place], family.low[first + place]
            y[:, column] = torch.where(category == place, high, low)
        chosen.append(category)
        first += len(group)
    return y, chosen


def test_the_mixed_density_is_torchs():
    family = mixed()
    y, chosen = one_hot_rows(family)
    parameters = torch.randn(7, 2, 7, generator=torch.Generator().manual_seed(1))
    numbers = GaussianLikelihood().distribution(parameters[:, :, [0, 3]]).log_prob(y[:, [0, 3]])
    categories = sum(
        Categorical(logits=parameters[:, 0, list(group)]).log_prob(category)
        for group, category in zip(GROUPS, chosen, strict=True)
    )
    torch.testing.assert_close(family.distribution(parameters).log_prob(y), numbers + categories)


def test_the_mixed_mean_has_the_probabilities_of_categories():
    family = mixed()
    parameters = torch.randn(7, 2, 7, generator=torch.Generator().manual_seed(1))
    mean = family.distribution(parameters).mean
    torch.testing.assert_close(mean[:, [0, 3]], parameters[:, 0, [0, 3]])
    p = torch.cat([parameters[:, 0, list(group)].softmax(1) for group in GROUPS], 1)
    low, high = torch.tensor(family.low), torch.tensor(family.high)
    torch.testing.assert_close(mean[:, [1, 2, 4, 5, 6]], low + (high - low) * p)


def test_extreme_logits_of_categories_are_finite():
    parameters = torch.zeros(2, 2, 7)
    parameters[0, 0, 1], parameters[1, 0, 4] = 1e4, -1e4
    parameters.requires_grad_()
    y, _ = one_hot_rows(mixed(), 2)
    log_p = mixed().distribution(parameters).log_prob(y)
    log_p.sum().backward()
    assert torch.isfinite(log_p).all()
    assert torch.isfinite(parameters.grad).all()


@pytest.mark.parametrize("numbers", LIKELIHOODS.values(), ids=LIKELIHOODS)
def test_mixed_draws_are_categories_with_their_probabilities(numbers):
    family = mixed(numbers)
    parameters = torch.randn(1, numbers.n_parameters, 7, generator=torch.Generator().manual_seed(1))
    p_y = family.distribution(parameters.expand(4000, -1, -1))
    y = family.draw(p_y, torch.Generator().manual_seed(0))
    first = 0
    for group in GROUPS:
        is_in = y[:, list(group)] > 0
        assert (is_in.sum(1) == 1).all()
        expected = parameters[0, 0, list(group)].softmax(0)
        torch.testing.assert_close(is_in.float().mean(0), expected, atol=0.03, rtol=0)
        first += len(group)
    errors = (y.mean(0) - p_y.mean[0]).abs()
    assert (errors < 0.08 * y.std(0).clamp(min=1.0)).all()


def test_a_mixed_family_compares_and_travels():
    assert pickle.loads(pickle.dumps(mixed())) == mixed()
    assert mixed() != mixed(BernoulliLikelihood())
    assert mixed() != mixed(low=(0.0,) * 5)


def test_categories_have_no_unit():
    units = Units.standardizing(np.random.default_rng(0).standard_normal((50, 7)) * 9.0, None)
    expected = -np.log(units.scale[[0, 3]]).sum()
    assert mixed().log_density_in_data(0.0, units) == pytest.approx(expected)
    observed = np.ones((1, 7))
    observed[0, 3] = 0
    found = mixed().log_density_in_data(np.zeros(1), units, observed)
    assert found == pytest.approx(-np.log(units.scale[0]))


def test_a_category_counts_wherever_its_column_is_centered():
    family = MixedLikelihood(GAUSSIAN, ((0, 1),), (-1.0, 0.0), (0.0, 1.0))
    p_y = family.distribution(torch.tensor([[[0.0, 2.0], [0.0, 0.0]]]).expand(2, 2, 2))
    rows = torch.tensor([[0.0, 0.0], [-1.0, 1.0]])  # of the first category, and of the second
    expected = torch.tensor([0.0, 2.0]).log_softmax(0)
    torch.testing.assert_close(p_y.log_prob(rows), expected)


def test_the_ends_of_columns_are_those_of_the_units():
    numbers = np.random.default_rng(0).standard_normal(60)
    X = np.column_stack([numbers, np.eye(3)[np.arange(60) % 3]])
    units = Units.standardizing(X, None)
    family = MixedLikelihood.of_columns(GaussianLikelihood(), [np.arange(1, 4)], units)
    standardized = (X - units.location) / units.scale
    np.testing.assert_allclose(family.low, standardized[:, 1:].min(0))
    np.testing.assert_allclose(family.high, standardized[:, 1:].max(0))


# Counts


def counts_of(n_rows, n_features=5, seed=0):
    return np.random.default_rng(seed).poisson(3.0, (n_rows, n_features)).astype(float)


def in_model(family, counts):
    return torch.tensor(np.log1p(counts) / family.scale)


COUNTS = [
    PoissonLikelihood(scale=0.7, log_total=2.0, log_total_spread=0.3),
    NegativeBinomialLikelihood(scale=0.7, log_total=2.0, log_total_spread=0.3),
]


def test_a_poisson_probability_is_scipys():
    family, counts = COUNTS[0], counts_of(6)
    logits = torch.randn(6, 1, 5, generator=source(), dtype=torch.float64)
    found = family.distribution(logits).log_prob(in_model(family, counts))
    mean = counts.sum(1, keepdims=True) * logits[:, 0].softmax(1).numpy()
    expected = scipy.stats.poisson(mean).logpmf(counts).sum(1)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_negative_binomial_probability_is_scipys():
    family, counts = COUNTS[1], counts_of(6)
    parameters = torch.randn(6, 2, 5, generator=source(), dtype=torch.float64)
    found = family.distribution(parameters).log_prob(in_model(family, counts))
    mean = counts.sum(1, keepdims=True) * parameters[:, 0].softmax(1).numpy()
    inverse = np.exp(-parameters[:, 1].numpy())
    expected = scipy.stats.nbinom(inverse, inverse / (inverse + mean)).logpmf(counts).sum(1)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("family", COUNTS, ids=lambda family: family.name)
def test_a_row_of_zeros_has_a_probability(family):
    parameters = torch.zeros(2, family.n_parameters, 4)
    assert torch.isfinite(family.distribution(parameters).log_prob(torch.zeros(2, 4))).all()
    assert torch.isfinite(family.read(torch.zeros(2, 4))).all()


@pytest.mark.parametrize("family", COUNTS, ids=lambda family: family.name)
def test_drawn_counts_have_their_expectations(family):
    family = replace(family, log_total_spread=0.0)
    parameters = torch.randn(1, family.n_parameters, 3, generator=source())
    p_y = family.distribution(parameters.expand(20_000, -1, -1))
    counts = torch.expm1(family.draw(p_y, source()) * family.scale)
    torch.testing.assert_close(counts, counts.round(), atol=1e-3, rtol=0)
    mean = np.exp(2.0) * parameters[0, 0].softmax(0)
    torch.testing.assert_close(counts.mean(0), mean, rtol=0.05, atol=0.05)
    dispersion = parameters[0, 1].exp() if family.n_parameters == 2 else 0.0
    torch.testing.assert_close(counts.var(0), mean + dispersion * mean**2, rtol=0.15, atol=0.05)
    torch.testing.assert_close(torch.expm1(p_y.mean[0] * family.scale), mean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", COUNTS, ids=lambda family: family.name)
def test_what_encoders_read_does_not_depend_on_the_total(family):
    counts = counts_of(4) + 1
    one, other = (family.read(in_model(family, factor * counts)) for factor in (1, 7))
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    total = torch.expm1(one * family.scale).sum(1)
    torch.testing.assert_close(total, torch.full_like(total, np.exp(2.0)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", COUNTS, ids=lambda family: family.name)
def test_reconstructions_have_the_totals_of_the_rows(family):
    counts = counts_of(6)
    parameters = torch.randn(6, family.n_parameters, 5, generator=source(), dtype=torch.float64)
    p_y = family.distribution(parameters)
    found = torch.expm1(family.reconstruction(p_y, in_model(family, counts)) * family.scale)
    np.testing.assert_allclose(found.sum(1), counts.sum(1))


@pytest.mark.parametrize("family", [NegativeBinomialLikelihood(), STUDENT_T, mixed(STUDENT_T)])
def test_dispersions_and_degrees_of_freedom_depend_on_the_feature_alone(family):
    head = family.head(7, (5,))
    parameters = head(torch.randn(3, 7, generator=source()))
    assert parameters.shape == (3, family.n_parameters, 5)
    torch.testing.assert_close(parameters[:, -1], torch.zeros(3, 5))
    with torch.no_grad():
        head.by_feature.copy_(torch.arange(5.0))
    parameters = head(torch.randn(3, 7, generator=source()))
    torch.testing.assert_close(parameters[:, -1], torch.arange(5.0).expand(3, 5))
    assert len(parameters[:, 0].unique()) == 15


def test_totals_are_read_off_the_data():
    X = counts_of(200, 30)
    X[3] = 0
    family = PoissonLikelihood()
    units = family.units(X, None)
    fitted = family.fitted_to(X, units)
    logs = np.log(np.maximum(X.sum(1), 1))
    assert fitted.log_total == pytest.approx(np.median(logs))
    assert fitted.log_total_spread == pytest.approx(logs.std())
    assert fitted.scale == units.scale[0]
    y = units.to_model(X, torch.float64, CPU)
    np.testing.assert_allclose(units.to_data(y, np.dtype(float)), X, atol=1e-9)
    assert y.var(0, correction=0).mean() == pytest.approx(1)


@pytest.mark.parametrize("family", COUNTS, ids=lambda family: family.name)
@pytest.mark.parametrize("value", [-1.0, 0.5])
def test_what_is_no_count_is_refused_with_a_remedy(family, value):
    X = counts_of(20)
    X[3, 2] = value
    with pytest.raises(ValueError, match=rf"'{family.name}' needs counts .* {value:g}.*raw counts"):
        family.units(X, None)
    if value > 0:
        units = family.units(counts_of(20), None)
        family.check(X, units)  # an expected count
        with pytest.raises(ValueError, match="needs counts"):
            family.check_training(X, units)


@pytest.mark.parametrize("family", COUNTS, ids=lambda family: family.name)
def test_counts_that_no_rate_can_train_are_refused_with_a_remedy(family):
    counts = np.array([[1.0, 2.0], [3.0, 1e13]])
    message = rf"likelihood='{family.name}' takes counts up to 1e\+12.*1e\+13.*logarithms"
    with pytest.raises(ValueError, match=message):
        family.units(counts, None)
    with pytest.raises(ValueError, match=message):
        family.check(counts, family.units(counts[:1], None))


def test_a_model_that_was_used_in_inference_mode_is_trained_with_afterwards():
    # tensors of that mode were kept, and another fit to such columns could not use them
    family = MixedLikelihood(GAUSSIAN, ((0, 1),), (-1.0, 0.0), (0.0, 3.0))
    with torch.inference_mode():
        assert family.distribution(torch.zeros(2, 2, 2)).mean.is_inference()
    parameters = torch.zeros(2, 2, 2, requires_grad=True)
    family.distribution(parameters).mean.sum().backward()
    assert parameters.grad is not None
