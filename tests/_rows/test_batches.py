"""The order of an epoch's batches, and the sample of a stream."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skgmvae._rows import Reservoir, mixed_order, n_batches, shuffled_batches

CPU = torch.device("cpu")


def source(seed=0):
    return torch.Generator().manual_seed(seed)


@given(st.integers(2, 300), st.integers(2, 80), st.integers(0, 3))
def test_batches_are_of_one_size_and_hold_every_row(n_rows, batch_size, seed):
    batches = shuffled_batches(n_rows, batch_size, source(seed))
    n_steps, size = batches.shape
    assert n_steps == n_batches(n_rows, batch_size) == math.ceil(n_rows / batch_size)
    assert 2 <= size <= batch_size
    counts = torch.bincount(batches.flatten(), minlength=n_rows)
    assert len(counts) == n_rows
    assert counts.min() == 1
    assert counts.max() <= 2
    assert counts.sum() - n_rows < n_steps  # less than one repeated row for each batch
    for batch in batches:
        assert len(batch.unique()) == size


@pytest.mark.parametrize("n_rows", [3, 5, 101])
def test_batches_of_two_of_an_odd_number_of_rows_are_of_two(n_rows):
    assert shuffled_batches(n_rows, 2, source()).shape == ((n_rows + 1) // 2, 2)


@pytest.mark.parametrize(("batch_size", "shape"), [
    (100, (2, 51)), (101, (1, 101)), (500, (1, 101)), (10, (11, 10)),
])
def test_there_are_as_few_batches_as_can_be(batch_size, shape):
    assert shuffled_batches(101, batch_size, source()).shape == shape
    assert n_batches(101, batch_size) == shape[0]


def test_a_single_row_is_a_batch():
    assert shuffled_batches(1, 100, source()).tolist() == [[0]]


def test_batches_are_shuffled_by_the_generator_alone(untouched_global_state):
    batches = shuffled_batches(40, 8, source(1))
    assert torch.equal(batches, shuffled_batches(40, 8, source(1)))
    assert not torch.equal(batches, shuffled_batches(40, 8, source(2)))
    assert not torch.equal(batches.flatten(), torch.arange(40))


def test_which_rows_are_repeated_is_random():
    counts = sum(
        torch.bincount(shuffled_batches(5, 4, source(seed)).flatten(), minlength=5)
        for seed in range(500)
    )
    repeated = counts.numpy() - 500
    assert repeated.sum() == 500
    assert np.abs(repeated - 100).max() < 4 * np.sqrt(500 * 0.2 * 0.8)


def stream(*lengths):
    """Return chunks of rows of one feature, which hold their own numbers."""
    return torch.arange(sum(lengths), dtype=torch.float32)[:, None].split(list(lengths))


def reservoir_of(chunks, capacity, source):
    reservoir = Reservoir.empty((1,), CPU)
    for chunk in chunks:
        reservoir = reservoir.updated(chunk, 2 + chunk[:, 0].double(), capacity, source)
    return reservoir


@pytest.mark.parametrize("labels", [None, torch.zeros(9, dtype=torch.long)])
def test_nothing_in_double_precision_lies_on_the_device(labels):
    device, weights = torch.device("meta"), torch.ones(6, dtype=torch.float64)
    rows = torch.empty(6, 2, device=device)
    reservoir = Reservoir.empty((2,), device).updated(rows[:3], weights[:3], 5, source())
    reservoir = reservoir.updated(rows, weights, 5, source(), labels)
    drawn, their_weights = reservoir.drawn(4, source())
    assert drawn.device == reservoir.rows.device == device
    assert drawn.dtype == torch.float32
    for values in (their_weights, reservoir.weights, reservoir.keys):
        assert values.device == CPU


def test_an_empty_reservoir_has_seen_nothing():
    reservoir = Reservoir.empty((3, 4, 4), CPU)
    assert reservoir.rows.shape == (0, 3, 4, 4)
    rows, weights = reservoir.drawn(5, source())
    assert rows.shape == (0, 3, 4, 4)
    assert weights.shape == (0,)


@pytest.mark.ours
@pytest.mark.parametrize("lengths", [(40,), (10, 25, 5), (5,) * 8, (1, 39)])
def test_a_reservoir_keeps_all_rows_of_a_stream_with_one_probability(lengths):
    draws, n_runs, capacity = source(), 2000, 10
    kept = torch.cat([
        reservoir_of(stream(*lengths), capacity, draws).rows for _ in range(n_runs)
    ])
    counts = torch.bincount(kept.flatten().long(), minlength=40).numpy()
    share = capacity / 40
    # a sample without replacement: 39 / 40 of what independent counts would have
    chi_squared = ((counts - n_runs * share) ** 2 / (n_runs * share * (1 - share))).sum() * 39 / 40
    assert 39 - 4 * np.sqrt(2 * 39) < chi_squared < 39 + 4 * np.sqrt(2 * 39)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 20))
def test_a_reservoir_is_bounded_and_holds_no_row_twice(lengths, capacity):
    reservoir = reservoir_of(stream(*lengths), capacity, source())
    assert len(reservoir.rows) == len(reservoir.keys) == min(capacity, sum(lengths))
    assert len(reservoir.rows.unique()) == len(reservoir.rows)
    for rows, weights in ((reservoir.rows, reservoir.weights), reservoir.drawn(5, source())):
        assert torch.equal(weights, 2 + rows[:, 0].double())  # of the same row still


def test_a_smaller_reservoir_of_one_stream_is_part_of_a_larger_one():
    chunks = stream(10, 25, 5)
    large, small = reservoir_of(chunks, 12, source(3)), reservoir_of(chunks, 5, source(3))
    smallest = large.keys.argsort()[:5].sort().values
    assert torch.equal(small.rows, large.rows[smallest])
    assert torch.equal(small.keys, large.keys[smallest])


def test_rows_of_a_reservoir_are_in_the_order_of_their_chunks():
    reservoir = reservoir_of(stream(10, 25, 5), 20, source(3))
    chunk = torch.bucketize(reservoir.rows.flatten(), torch.tensor([10.0, 35.0]), right=True)
    assert (chunk.diff() >= 0).all()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 20), st.integers(0, 9))
def test_with_labels_a_reservoir_has_the_latest_rows_of_each_cluster(lengths, capacity, seed):
    draws = source(seed)
    latest = Reservoir.empty((1,), CPU)
    for chunk in stream(*lengths):
        labels = torch.cat([latest.rows, chunk]).flatten().long() % 3
        weights = 2 + chunk[:, 0].double()
        latest = latest.updated(chunk, weights, capacity, draws, labels)
    rows = latest.rows.flatten().long()
    assert len(rows) == min(capacity, sum(lengths))
    assert torch.equal(latest.weights, 2.0 + rows.double())
    chunk_of = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    for k in range(3):
        of_cluster = torch.arange(sum(lengths))[k::3]
        kept = rows[rows % 3 == k]
        dropped = of_cluster[~torch.isin(of_cluster, kept)]
        if len(kept) and len(dropped):
            assert chunk_of[dropped].max() <= chunk_of[kept].min()


def test_with_labels_a_reservoir_has_the_shares_of_a_uniform_sample():
    draws, counts = source(), torch.zeros(2)
    for _ in range(300):
        latest = Reservoir.empty((1,), CPU)
        for chunk in stream(10, 25, 5):
            labels = (torch.cat([latest.rows, chunk]).flatten() % 4 == 0).long()
            latest = latest.updated(chunk, torch.ones(len(chunk)).double(), 8, draws, labels)
        counts += torch.bincount((latest.rows.flatten() % 4 == 0).long(), minlength=2)
    assert abs(counts[1] - 300 * 2) < 4 * math.sqrt(300 * 8 * 0.25 * 0.75)


def test_a_reservoir_depends_on_the_generator_alone(untouched_global_state):
    chunks = stream(10, 25, 5)
    one = reservoir_of(chunks, 12, source(3))
    assert torch.equal(one.rows, reservoir_of(chunks, 12, source(3)).rows)
    assert not torch.equal(one.rows, reservoir_of(chunks, 12, source(4)).rows)
    drawn, _ = one.drawn(6, source(1))
    assert torch.equal(drawn, one.drawn(6, source(1))[0])
    assert not torch.equal(drawn, one.drawn(6, source(2))[0])


def test_an_updated_reservoir_leaves_the_old_one_as_it_was():
    old = reservoir_of(stream(30), 12, source(3))
    rows, keys = old.rows.clone(), old.keys.clone()
    new = old.updated(torch.full((50, 1), 99.0), torch.ones(50), 12, source(4))
    new.rows.fill_(-1.0)
    new.keys.fill_(-1.0)
    assert torch.equal(old.rows, rows)
    assert torch.equal(old.keys, keys)


def test_rows_are_drawn_from_a_reservoir_without_replacement_and_evenly():
    reservoir = reservoir_of(stream(12), 12, source())
    draws = source(1)
    counts = torch.zeros(12)
    for _ in range(1000):
        drawn = reservoir.drawn(3, draws)[0].flatten().long()
        assert len(drawn.unique()) == 3
        counts += torch.bincount(drawn, minlength=12)
    assert (counts - 250).abs().max() < 4.5 * math.sqrt(1000 * 0.25 * 0.75)
    everything, _ = reservoir.drawn(100, draws)
    assert torch.equal(everything.sort(0).values, reservoir.rows.sort(0).values)


@given(st.integers(1, 200), st.integers(1, 50), st.integers(0, 3))
def test_rows_are_drawn_in_proportion_to_their_weights(n_rows, batch_size, seed):
    weights = torch.rand(n_rows, generator=source(seed)) * 3 + 1e-3
    batches = shuffled_batches(n_rows, batch_size, source(seed), weights)
    assert batches.numel() - n_rows < len(batches)
    counts = torch.bincount(batches.flatten()[:n_rows], minlength=n_rows)
    share = weights * n_rows / weights.sum()
    assert (counts >= share.floor() - 1).all()  # and 1 for the rounding of their sums
    assert (counts <= share.ceil() + 1).all()


def test_weights_of_one_draw_each_row_once():
    batches = shuffled_batches(60, 20, source(), torch.ones(60))
    assert batches.flatten().sort().values.tolist() == list(range(60))


def test_over_many_epochs_rows_come_as_often_as_their_weights_say():
    weights = torch.tensor([0.1, 0.3, 2.6, 1.0, 1.0])
    counts = sum(
        torch.bincount(shuffled_batches(5, 5, source(seed), weights).flatten(), minlength=5)
        for seed in range(2000)
    )
    np.testing.assert_allclose(counts / 2000, weights, atol=0.04)


@given(
    st.lists(st.integers(1, 120), min_size=1, max_size=3), st.integers(1, 20), st.integers(1, 5)
)
def test_a_mixed_order_has_every_row_and_few_chunks_at_a_time(counts, chunk_rows, n_chunks):
    order = mixed_order(counts, chunk_rows, n_chunks, source())
    assert order.sort().values.tolist() == list(range(sum(counts)))
    first = 0
    for n_rows in counts:
        own = order[(order >= first) & (order < first + n_rows)] - first
        first += n_rows
        chunks = (own // chunk_rows).tolist()
        last = {chunk: place for place, chunk in enumerate(chunks)}
        # chunks that have begun and not ended
        at_once = [
            sum(chunks.index(chunk) <= place <= last[chunk] for chunk in last)
            for place in range(0, len(chunks), 7)
        ]
        assert max(at_once) <= n_chunks


def test_rows_of_a_chunk_are_mixed_with_those_of_others():
    order = mixed_order([100], 10, 5, source())
    assert len((order[:20] // 10).unique()) == 5
    assert not torch.equal(order, mixed_order([100], 10, 5, source(1)))
