"""kill -9 at any instant: no file is corrupt, no work that was written is lost."""

import os

import pytest

from helpers import CHILDREN, run_python


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
@pytest.mark.parametrize("n_kills", [5, pytest.param(250, marks=pytest.mark.slow)])
def test_a_fit_that_is_killed_goes_on_and_ends_as_one_that_was_not(tried, tmp_path, n_kills):
    printed = run_python(
        CHILDREN, "crashes", tmp_path, n_kills, seconds=3000, OMP_NUM_THREADS="1"
    )
    n_done, n_resumed = map(int, printed.split())
    assert n_done >= n_kills
    assert n_resumed >= n_kills / 4  # of those killed before the first write there is no file
    tried(n_done)
