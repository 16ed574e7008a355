"""Batches: functions of their keys alone, and all that a step reads."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from skgmvae._objective import Batches, PseudoLabelSchedule, RegularizerInputs
from skgmvae._objective.batches import ProbabilityTable
from skgmvae._rows import Rows, Units
from skgmvae._rows.sources import Residence

CPU = torch.device("cpu")
N_ROWS, N_CLUSTERS = 45, 4


def numbered(n_rows=N_ROWS, shape=(2,)):
    """Return rows that hold their own numbers, and noise beside it."""
    y = torch.randn(n_rows, *shape, generator=torch.Generator().manual_seed(0))
    y.flatten(1)[:, 0] = torch.arange(n_rows)
    return Rows(y)


def numbers(batch):
    return batch.y.flatten(1)[:, 0].long()


def inputs_of(**changes):
    weights = [9.0, 3.0, 1.0, 0.1]
    soft = np.random.default_rng(0).dirichlet(weights, N_ROWS).astype(np.float32)
    return RegularizerInputs(
        perturbation="adversarial", radius=np.linspace(0.1, 0.5, N_ROWS, dtype=np.float32),
        pseudo_labels=csr_array(soft),
        schedule=PseudoLabelSchedule(first=8.0, last=2.0, share=0.5),
    )._replace(**changes)


def make(inputs=None, rows=None, **changes):
    parameters = {
        "batch_size": 16, "n_mc_samples": 2, "latent_dim": 3, "style_dim": 5,
        "n_clusters": N_CLUSTERS, "key": (5, 0), "progress": lambda epoch: epoch / 10,
    }
    return Batches(rows or numbered(), inputs=inputs, **(parameters | changes))


def tensors(batch):
    """Return all tensors of a batch, in the order of its fields."""
    return [
        tensor for part in batch if part is not None
        for tensor in (part if isinstance(part, tuple) else [part])
    ]


def equal(one, other):
    pairs = list(zip(tensors(one), tensors(other), strict=True))
    return len(pairs) > 2 and all(torch.equal(a, b) for a, b in pairs)


def shift(y, source):
    return y + torch.randn(y.shape, generator=source)


EVERYTHING = [inputs_of(), inputs_of(perturbation=shift, radius=None), None]


@pytest.mark.parametrize("inputs", EVERYTHING)
def test_a_batch_is_a_function_of_its_keys_alone(inputs, untouched_global_state):
    went_through = make(inputs)
    for epoch in range(3):
        for step in range(went_through.n_steps):
            went_through(epoch, step)
    expected = make(inputs)(3, 2)
    assert equal(went_through(3, 2), expected)
    assert equal(went_through(3, 2), expected)  # asked again
    went_through(1, 0)
    assert equal(went_through(3, 2), expected)


@pytest.mark.parametrize("inputs", EVERYTHING)
def test_other_keys_give_other_draws(inputs):
    keys = [((5, 0), 3, 2), ((5, 0), 3, 1), ((5, 0), 2, 2), ((5, 1), 3, 2), ((6, 0), 3, 2)]
    batches = [make(inputs, key=key)(epoch, step) for key, epoch, step in keys]
    for field in ("y", "direction", "perturbed"):
        values = [getattr(batch, field) for batch in batches]
        if values[0] is not None:
            assert len({tuple(value.flatten().tolist()) for value in values}) == len(keys), field
    for name in ("x", "w"):
        values = [getattr(batch.noise, name) for batch in batches]
        assert len({tuple(value.flatten().tolist()) for value in values}) == len(keys), name


def test_the_parts_of_a_batch_are_drawn_apart():
    batch = make(inputs_of(perturbation=shift))(0, 0)
    draws = [batch.noise.x, batch.noise.w, batch.direction, batch.perturbed - batch.y]
    values = torch.cat([draw.flatten().round(decimals=4) for draw in draws])
    assert len(values.unique()) > 0.98 * len(values)


def test_noise_and_direction_are_standard_normal():
    batch = make(inputs_of(), batch_size=N_ROWS, n_mc_samples=200)(0, 0)
    for draw in batch.noise:
        assert abs(float(draw.mean())) < 0.02
        assert float(draw.std()) == pytest.approx(1, abs=0.02)
    directions = torch.cat([make(inputs_of(), batch_size=N_ROWS)(epoch, 0).direction
                            for epoch in range(100)])
    assert abs(float(directions.mean())) < 0.05
    assert float(directions.std()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("batch_size", "n_steps", "size"), [(16, 3, 15), (8, 6, 8), (99, 1, 45)])
def test_the_batches_of_an_epoch_are_of_one_size_and_hold_all_rows(batch_size, n_steps, size):
    batches = make(batch_size=batch_size)
    assert batches.n_steps == n_steps
    epochs = []
    for epoch in range(2):
        seen = [batches(epoch, step) for step in range(n_steps)]
        assert {len(batch.y) for batch in seen} == {size}
        for batch in seen:
            assert torch.equal(batch.y, batches.rows.take(numbers(batch)))
            assert batch.noise.x.shape == (2, size, 3)
            assert batch.noise.w.shape == (2, size, 5)
        epochs.append(torch.cat([numbers(batch) for batch in seen]))
        assert set(epochs[-1].tolist()) == set(range(N_ROWS))
    assert not torch.equal(*epochs)


def test_without_consistency_nothing_but_rows_and_noise_is_made():
    batch = make(None)(0, 0)
    assert batch[2:] == (None,) * 6
    # and rows and noise are those that there would be with it
    full = make(inputs_of())(0, 0)
    assert torch.equal(batch.y, full.y)
    assert torch.equal(batch.noise.x, full.noise.x)


def test_the_radius_and_the_pseudo_label_are_each_rows_own():
    given = inputs_of()
    batches = make(given)
    for epoch in (0, 9):
        batch = batches(epoch, 1)
        np.testing.assert_array_equal(batch.radius, given.radius[numbers(batch)])
        np.testing.assert_array_equal(
            batch.pseudo_labels.probabilities, given.pseudo_labels[numbers(batch).numpy()].toarray()
        )
        assert batch.direction.shape == batch.y.shape


def test_arrays_may_be_read_only_and_are_not_looked_at_again():
    given = inputs_of()
    for array in (given.radius, given.pseudo_labels.data):
        array.flags.writeable = False  # as joblib maps them
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches = make(given)
    expected = batches(0, 0)
    for array in (given.radius, given.pseudo_labels.data):
        array.flags.writeable = True
        array[:] = 0
    assert equal(batches(0, 0), expected)
    assert expected.radius.min() > 0
    assert expected.log_sizes.min() > 0


def test_without_a_radius_there_is_no_adversarial_step():
    batch = make(inputs_of(radius=None))(0, 0)
    assert batch.radius is None
    assert batch.direction is None
    assert batch.perturbed is not None
    assert batch.pseudo_labels is not None


def test_without_pseudo_labels_there_is_no_loss_to_them_and_even_sizes_are_expected():
    batch = make(inputs_of(pseudo_labels=None))(0, 0)
    assert batch.pseudo_labels is None
    assert batch.radius is not None
    np.testing.assert_array_equal(batch.log_sizes, np.zeros(N_CLUSTERS))


def test_without_a_schedule_pseudo_labels_only_say_which_sizes_to_expect():
    with_it, without = make(inputs_of())(0, 0), make(inputs_of(schedule=None))(0, 0)
    assert without.pseudo_labels is None
    assert with_it.pseudo_labels is not None
    assert torch.equal(without.log_sizes, with_it.log_sizes)
    assert equal(without, with_it._replace(pseudo_labels=None))


def test_the_sizes_expected_are_those_of_the_pseudo_labels_and_one():
    labels = np.repeat([0, 1, 3], [N_ROWS - 12, 9, 3])
    hard = np.eye(N_CLUSTERS, dtype=np.float32)[labels]
    log_sizes = make(inputs_of(pseudo_labels=csr_array(hard)))(0, 0).log_sizes
    np.testing.assert_allclose(log_sizes.exp(), [N_ROWS - 11, 10, 1, 4], rtol=1e-6)
    soft = inputs_of().pseudo_labels
    log_sizes = make(inputs_of())(0, 0).log_sizes
    np.testing.assert_allclose(log_sizes.exp(), soft.sum(0) + 1, rtol=1e-5)


def test_the_weight_of_pseudo_labels_follows_progress():
    asked = []

    def progress(epoch):
        asked.append(epoch)
        return epoch / 4

    batches = make(inputs_of(), progress=progress)
    found = []
    for epoch in range(4):
        for step in range(3):
            given = batches(epoch, step).pseudo_labels
            assert given.weight.shape == ()
            found.append(float(given.weight))
    np.testing.assert_allclose(asked, np.arange(12) / 3)
    np.testing.assert_allclose(found, np.maximum(2, 8 * (1 - np.arange(12) / 6)), rtol=1e-6)


# Probabilities, of which few are not 0.

@pytest.mark.parametrize(("n_clusters", "n_of_row", "kind"), [
    (4, 2, None), (5, 3, None), (5, 2, torch.uint8), (256, 9, torch.uint8),
    (257, 9, torch.int16), (2**15 + 1, 9, torch.int32),
])
def test_of_many_clusters_only_those_are_held_that_a_row_may_be_in(
    n_clusters, n_of_row, kind, device
):
    source = np.random.default_rng(0)
    given = np.zeros((50, n_clusters), np.float32)
    for row in given:
        n_found = source.integers(1, n_of_row + 1)
        row[source.choice(n_clusters, n_found, replace=False)] = source.dirichlet(np.ones(n_found))
    given[0] = np.arange(n_clusters) >= n_clusters - n_of_row
    given[0] /= n_of_row
    table = ProbabilityTable.of(csr_array(given), torch.device(device))
    index = torch.tensor([7, 0, 49, 7])
    taken = table.take(index.to(device))
    assert taken.dtype == torch.float32
    np.testing.assert_array_equal(taken.cpu(), given[index])
    if kind is None:
        assert table.clusters is None
    else:
        assert table.clusters.dtype == kind
        assert table.probabilities.shape == table.clusters.shape == (50, n_of_row)


def test_batches_are_the_same_whichever_way_pseudo_labels_are_held():
    soft = np.zeros((N_ROWS, N_CLUSTERS), np.float32)
    soft[np.arange(N_ROWS), np.arange(N_ROWS) % 4] = 1.0
    sparse = make(inputs_of(pseudo_labels=csr_array(soft)))
    assert sparse._pseudo_labels.clusters is not None
    tiny = soft + np.finfo(np.float32).tiny  # of which none is 0
    dense = make(inputs_of(pseudo_labels=csr_array(tiny)))
    assert dense._pseudo_labels.clusters is None
    for one, other in zip(tensors(sparse(2, 1)), tensors(dense(2, 1)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-30)


def test_sizes_are_summed_in_double_precision():
    ones = csr_array(np.full((3 * 10**6, 1), 0.1, np.float32))
    inputs = RegularizerInputs("adversarial", None, ones)
    assert float(inputs.sizes()) == pytest.approx(3e5, rel=1e-7)


# Rows in the memory of the host.

class FullDevice(Residence):
    """Nothing fits on the device."""

    def home(self, n_bytes, device):
        return CPU


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("perturbation", ["adversarial", "affine"])
def test_batches_of_rows_in_the_memory_of_the_host_are_those_of_rows_on_the_device(
    dtype, perturbation, device
):
    X = np.random.default_rng(0).integers(0, 256, (N_ROWS, 16)).astype(dtype)
    units = Units.standardizing(X, (4, 4))
    inputs = inputs_of(perturbation=perturbation)
    resident = make(inputs, Rows.standardized(X, units, torch.device(device)))
    # the CPU under another name: rows travel from memory that seems to be another's
    other = torch.device("cpu:0" if device == "cpu" else device)
    rows = Rows.standardized(X, units, other, residence=FullDevice())
    assert rows.home != rows.device
    travelling = make(inputs, rows)
    for epoch in range(2):
        for step in range(resident.n_steps):
            assert equal(travelling(epoch, step), resident(epoch, step))


# The schedule of pseudo-labels.

@given(st.floats(0, 1), st.floats(0.01, 1), st.floats(0, 100))
def test_a_weight_that_is_the_same_at_first_and_at_last_stays(progress, share, weight):
    assert PseudoLabelSchedule(weight, weight, share).at(progress) == weight


@given(st.floats(0, 1), st.floats(0.01, 1), st.floats(0, 10))
def test_the_weight_falls_linearly_on_the_way_to_zero_and_stops_at_the_last(
    progress, share, last
):
    schedule = PseudoLabelSchedule(10.0, last, share)
    line = np.interp(progress, [0, share], [10, 0])
    assert schedule.at(progress) == pytest.approx(max(last, line), abs=1e-9)
    assert schedule.at(0) == 10.0
    assert schedule.at(share) == schedule.at(1) == last


# Perturbations.

def test_adversarial_rows_start_where_they_are():
    batch = make(inputs_of())(0, 0)
    assert torch.equal(batch.perturbed, batch.y)


@pytest.mark.parametrize("perturbation", ["affine", "both"])
def test_affine_changes_are_made_of_images(perturbation):
    radius = None if perturbation == "affine" else inputs_of().radius
    batch = make(
        inputs_of(perturbation=perturbation, radius=radius), rows=numbered(shape=(1, 6, 6))
    )(0, 0)
    assert batch.perturbed.shape == batch.y.shape == (15, 1, 6, 6)
    changed = (batch.perturbed - batch.y).flatten(1).abs().amax(1)
    assert (changed > 0.1).all()
    assert (batch.radius is None) == (perturbation == "affine")


def test_a_perturbation_of_the_users_gets_the_rows_and_a_generator():
    calls = []

    def perturbation(y, source):
        calls.append((y.clone(), source))
        return shift(y, source)

    batch = make(inputs_of(perturbation=perturbation, radius=None))(0, 0)
    ((y, source),) = calls
    assert torch.equal(y, batch.y)
    assert isinstance(source, torch.Generator)
    assert source.device == y.device
    assert float((batch.perturbed - batch.y).std()) == pytest.approx(1, abs=0.4)


def test_a_perturbation_may_change_its_argument_in_place():
    def in_place(y, source):
        return y.mul_(3).add_(1)

    batches = make(inputs_of(perturbation=in_place, radius=None))
    before = batches.rows.flat().copy()
    batch = batches(0, 0)
    assert torch.equal(batch.y, batches.rows.take(numbers(batch)))
    assert torch.equal(batch.perturbed, 3 * batch.y + 1)
    np.testing.assert_array_equal(batches.rows.flat(), before)
    assert torch.equal(batch.y, make(None)(0, 0).y)


@pytest.mark.parametrize(("perturbation", "returned"), [
    (lambda y, source: y[:1], r"\(1, 2\)"),
    (lambda y, source: y[:, :1], r"\(15, 1\)"),
    (lambda y, source: y.flatten(), r"\(30,\)"),
    (lambda y, source: None, "None"),
    (lambda y, source: y.numpy(), r"array\("),
    (lambda y, source: (y, y), r"\(tensor"),
])
def test_a_perturbation_that_returns_other_rows_is_named(perturbation, returned):
    batches = make(inputs_of(perturbation=perturbation, radius=None))
    message = (
        rf"(?s)perturbation=<function .* must return a tensor of shape \(15, 2\), .* returned "
        rf"{returned}"
    )
    with pytest.raises(ValueError, match=message):
        batches(0, 0)


@pytest.mark.parametrize("change", [torch.Tensor.double, torch.Tensor.half, torch.Tensor.long])
def test_a_perturbation_that_returns_another_type_is_named(change):
    batches = make(inputs_of(perturbation=lambda y, source: change(y), radius=None))
    dtype = change(torch.zeros(1)).dtype
    message = rf"perturbation=.* must return rows of torch\.float32 .* returned {dtype} on cpu"
    with pytest.raises(TypeError, match=message):
        batches(0, 0)


def test_a_perturbation_that_returns_rows_of_another_device_is_named():
    batches = make(inputs_of(perturbation=lambda y, source: y.to("meta"), radius=None))
    with pytest.raises(TypeError, match=r"perturbation=.* on cpu.* returned .* on meta"):
        batches(0, 0)


def test_what_a_perturbation_raises_passes_unchanged():
    def fail(y, source):
        raise ZeroDivisionError("of the user's")

    with pytest.raises(ZeroDivisionError, match="of the user's"):
        make(inputs_of(perturbation=fail, radius=None))(0, 0)


def test_a_batch_is_made_whatever_the_default_dtype():
    rows = numbered()
    expected = make(inputs_of(), rows)(1, 1)
    torch.set_default_dtype(torch.float64)
    try:
        batch = make(inputs_of(), rows)(1, 1)
    finally:
        torch.set_default_dtype(torch.float32)
    for one, other in zip(tensors(batch), tensors(expected), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


def test_a_perturbation_that_draws_from_the_global_generator_is_refused():
    inputs = RegularizerInputs(lambda y, source: y + torch.randn_like(y), None)
    with pytest.raises(ValueError, match=r"perturbation=.*global generator.*generator=generator"):
        make(inputs)(0, 0)


# Missing values


def with_missing(shape=(2,)):
    """Return numbered rows without one value in three, but for their numbers."""
    y = numbered(shape=shape).matrix().clone()
    y[:, 1:][torch.rand(y[:, 1:].shape, generator=torch.Generator().manual_seed(1)) < 0.3] = (
        torch.nan
    )
    return Rows(y.unflatten(1, shape))


@pytest.mark.parametrize("perturbation", ["adversarial", lambda y, generator: y + 1.0])
def test_missing_values_stay_missing_where_rows_are_changed(perturbation):
    batch = make(inputs_of(perturbation=perturbation), with_missing())(0, 0)
    assert batch.y.isnan().any()
    assert torch.equal(batch.perturbed.isnan(), batch.y.isnan())


@pytest.mark.parametrize("perturbation", ["affine", "both"])
def test_missing_pixels_move_with_the_image(perturbation):
    rows = with_missing((1, 6, 6))
    batch = make(inputs_of(perturbation=perturbation, radius=None), rows)(0, 0)
    share = batch.y.isnan().float().mean()
    assert abs(batch.perturbed.isnan().float().mean() - share) < 0.1
    assert not torch.equal(batch.perturbed.isnan(), batch.y.isnan())


def test_a_callable_of_the_users_sees_no_missing_values():
    def checked(y, generator):
        assert torch.isfinite(y).all()
        return y

    make(inputs_of(perturbation=checked), with_missing())(0, 0)


@pytest.mark.parametrize("batch_size", [7, 16, 100])
def test_of_some_rows_each_takes_part_once_and_no_other_does(batch_size):
    some = np.arange(1, N_ROWS, 2)
    batches = make(inputs_of(), batch_size=batch_size, numbers=some)
    assert batches.n_rows == len(some)
    for epoch in range(2):
        seen = [numbers(batches(epoch, step)) for step in range(batches.n_steps)]
        assert set(torch.cat(seen).tolist()) == set(some.tolist())
        assert sum(map(len, seen)) < len(some) + batches.n_steps
    batch = batches(0, 0)
    radius = torch.from_numpy(inputs_of().radius)
    assert torch.equal(batch.radius, radius[numbers(batch)])


def test_some_rows_that_are_all_are_all():
    whole, some = make(inputs_of()), make(inputs_of(), numbers=np.arange(N_ROWS))
    assert equal(whole(1, 2), some(1, 2))
