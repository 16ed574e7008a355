"""Make the file of the present layout, once: it is then read by all later versions.

``python tests/golden/make.py`` refuses to replace one.
"""

import json
import warnings
from pathlib import Path

import numpy as np

from skgmvae import GMVAEClustering
from skgmvae.versions import LAYOUT

HERE = Path(__file__).parent


def rows():
    """Return a table of two numbers, of which some are missing, and two categories."""
    numbers = np.arange(48) % 3
    table = np.empty((48, 4), object)
    table[:, 0] = 5.0 * numbers + np.arange(48) % 7 / 7
    table[:, 1] = -3.0 * numbers + np.arange(48) % 5 / 5
    table[::11, 1] = np.nan
    table[:, 2] = np.array(["low", "middle", "high"], object)[numbers]
    table[:, 3] = np.array([1, 2], object)[np.arange(48) % 2]
    return table


def main():
    """Fit, save, and write down what the clusterer predicts."""
    path = HERE / f"layout_{LAYOUT}.safetensors"
    if path.exists():
        raise FileExistsError(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clusterer = GMVAEClustering(
            3, latent_dim=2, style_dim=1, hidden_layer_sizes=(4,), categorical_features=[2, 3],
            max_iter=30, random_state=np.random.RandomState(0), device="cpu",
        ).fit(rows())
    clusterer.save(path)
    expected = {
        "predict_proba": clusterer.predict_proba(rows()).tolist(),
        "labels_": clusterer.labels_.tolist(),
        "score_samples": clusterer.score_samples(rows()).tolist(),
        "cluster_centers_": clusterer.cluster_centers_.tolist(),
        "n_iter_": clusterer.n_iter_,
        "warnings": clusterer._warnings,
    }
    path.with_suffix(".json").write_text(json.dumps(expected), encoding="ascii")


if __name__ == "__main__":
    main()
