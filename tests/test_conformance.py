"""scikit-learn's own battery, with nothing skipped and nothing expected to fail."""

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from helpers import QUIET, run_python
from skgmvae import GMVAEClustering

pytestmark = QUIET

SMALL = {"hidden_layer_sizes": (16,), "latent_dim": 2, "style_dim": 2}

# Not yielded to third parties, or by name only.
EXTRA_CHECKS = [
    "check_param_validation",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_global_output_transform_pandas",
    pytest.param("check_set_output_transform_polars", marks=pytest.mark.newest),
    pytest.param("check_global_set_output_transform_polars", marks=pytest.mark.newest),
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_dataframe_column_names_consistency",
    "check_inplace_ensure_writeable",
]


BARE = """
from sklearn.utils.estimator_checks import check_estimator
from skgmvae import GMVAEClustering
for result in check_estimator(GMVAEClustering(), on_skip=None):
    print(result["status"], result["check_name"])
"""


def test_defaults_pass_bare_check_estimator():
    # in a process of its own: a check skips itself unless scipy was imported with this set
    printed = run_python("-W", "ignore", "-c", BARE, SCIPY_ARRAY_API="1")
    statuses = [line.split()[0] for line in printed.splitlines()]
    assert len(statuses) > 45
    assert set(statuses) == {"passed"}, printed


@parametrize_with_checks([
    # what is fitted anew takes the best of two, what has been fitted is continued
    GMVAEClustering(
        3, n_init=2, warm_start=True, max_iter=3, learning_rate_init=1e-2, **SMALL
    ),
    GMVAEClustering(
        3, consistency=0, min_information=0.5, max_iter=60, learning_rate_init=3e-2, **SMALL
    ),
])
def test_settings_pass_every_check(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:X .*feature names")  # the checks mix frames and arrays
@pytest.mark.parametrize("name", EXTRA_CHECKS)
def test_checks_that_third_parties_are_not_given(name):
    getattr(estimator_checks, name)(
        "GMVAEClustering", GMVAEClustering(n_clusters=3, max_iter=2, **SMALL)
    )


def test_bernoulli_passes_wherever_the_data_lie_between_0_and_1():
    estimator = GMVAEClustering(likelihood="bernoulli", max_iter=2, **SMALL)
    results = check_estimator(estimator, on_fail=None)
    passed = {result["check_name"] for result in results if result["status"] == "passed"}
    refused = [result for result in results if result["status"] == "failed"]
    assert {"check_fit1d", "check_complex_data"} <= passed
    assert len(passed) > 20
    for result in refused:
        assert "needs values between 0 and 1" in _whole_message(result["exception"])


def _whole_message(error):
    messages = []
    while error is not None:
        messages.append(str(error))
        error = error.__cause__ or error.__context__
    return " ".join(messages)
