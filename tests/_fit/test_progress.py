"""What is printed while training, and that nothing is changed by it."""

import pytest
import torch

from skgmvae._fit.progress import Progress
from skgmvae._fit.records import VALIDATION
from skgmvae._rows import BLOCK_ROWS, Rows
from skgmvae._training import Schedule

RECORD = {
    "loss": 9.0, "reconstruction": -3.0, "conditional_prior": 1.0, "w_prior": 0.5, "z_prior": 0.25,
}


def rows_of(n):
    return Rows(torch.randn(n, 4, generator=torch.Generator().manual_seed(1)))


def show(capsys, model, epochs, record=RECORD, n_epochs=20, verbose=1, **changes):
    schedule = Schedule(1e-2, True, 0, n_epochs, 0.0, 1e-2, 9)
    parameters = {"trial": None, "verbose": verbose, "log_volume": 1.5}
    progress = Progress(model, changes.pop("rows", rows_of(60)), schedule, **parameters | changes)
    for epoch in epochs:
        progress.show(epoch, record)
    return capsys.readouterr().out.splitlines()


def test_a_line_says_where_training_stands(capsys, make_model):
    model = make_model().float()
    first, second = show(capsys, model, [0, 2])
    y = rows_of(60).take(torch.arange(60))
    n_found = len(model.cluster_logits(model.q(y)).argmax(1).unique())
    *parts, left = first.split("  ")
    assert parts == ["epoch 1/20", "bound -6.25", f"{n_found} of 3 clusters"]
    assert left.endswith(" s left")
    assert second.split("  ")[3] == "0.0% of rows changed"
    assert show(capsys, model, [0], trial=1)[0].startswith("trial 2  epoch 1/20")
    line, = show(capsys, model, [19], RECORD | {VALIDATION: -2.5})
    assert "validation -2.50" in line
    assert line.endswith("0 s left")


@pytest.mark.parametrize(("verbose", "n_lines"), [(0, 0), (1, 11), (2, 20)])
def test_how_many_lines_there_are(capsys, make_model, verbose, n_lines):
    assert len(show(capsys, make_model().float(), range(20), verbose=verbose)) == n_lines


def test_rows_that_changed_are_counted_since_the_line_before(capsys, make_model):
    model = make_model().float()
    schedule = Schedule(1e-2, True, 0, 20, 0.0, 1e-2, 9)
    rows = rows_of(60)
    progress = Progress(model, rows, schedule, trial=None, verbose=2, log_volume=0.0)
    labels = []
    for epoch in range(2):
        labels.append(model.cluster_logits(model.q(rows.take(torch.arange(60)))).argmax(1))
        progress.show(epoch, RECORD)
        with torch.no_grad():
            model.component_head.reorder(torch.tensor([1, 2, 0]))
    changed = float((labels[0] != labels[1]).float().mean())
    assert changed > 0.5
    assert f"{changed:.1%} of rows changed" in capsys.readouterr().out.splitlines()[1]


def test_of_many_rows_a_block_is_looked_at_and_the_module_is_left_as_it_is(
    capsys, make_model, monkeypatch, untouched_global_state
):
    taken, model, rows = [], make_model().float().train(), rows_of(3 * BLOCK_ROWS + 5)
    original = rows.take
    monkeypatch.setattr(rows, "take", lambda index: taken.append(index) or original(index))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    show(capsys, model, range(20), rows=rows)
    assert len(taken) == 11
    assert all(BLOCK_ROWS / 2 < len(index) <= BLOCK_ROWS for index in taken)
    assert taken[0][-1] > rows.n_rows - 5
    assert all(part.training for part in model.modules())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_an_early_end_is_said(capsys, make_model):
    schedule = Schedule(1e-2, True, 0, 20, 0.0, 1e-2, 9)
    for verbose, expected in ((0, ""), (1, "stopped after 7 epochs\n")):
        Progress(
            make_model().float(), rows_of(9), schedule, trial=None, verbose=verbose, log_volume=0.0
        ).show_stop(7)
        assert capsys.readouterr().out == expected
