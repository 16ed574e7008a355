"""
Sharing a model: a file, and what a stranger's file can do
==========================================================

A fitted model is saved to one file and loaded by somebody who has none of the rows. The file runs
no code, damage to it is noticed, and a model card says what is in it. :doc:`Trust </trust>` has
the promises in full, and what is not promised.
"""

# %%
# Fit to scikit-learn's images of the digits 0 to 4, save, and load. Files need the package
# safetensors: ``pip install "skgmvae[files]"``.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from safetensors import safe_open
from sklearn.datasets import load_digits

import skgmvae
from skgmvae import GMVAEClustering
from skgmvae.exceptions import InvalidModelFile
from skgmvae.plotting import ClusterSamplesDisplay

X, y = load_digits(n_class=5, return_X_y=True)
X, X_new, y_new = X[:-100], X[-100:], y[-100:]
clusterer = GMVAEClustering(5, image_shape=(8, 8), random_state=0).fit(X)

folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "digits.safetensors"
clusterer.save(path)
again = skgmvae.load(path)
is_same = again.predict_proba(X_new) == clusterer.predict_proba(X_new)
print(f"{path.stat().st_size / 1e6:.1f} MB, all answers are the same: {is_same.all()}")

# %%
# Whoever gets the file can look into it without skgmvae, since it is an ordinary safetensors file:
# arrays with names, and a description as text. There is no code in it, and nothing is unpickled.

with safe_open(path, framework="numpy") as file:
    for name in list(file.keys())[:4]:
        print(name, file.get_slice(name).get_shape())
    print(len(file.keys()), "arrays;", file.metadata()["skgmvae"][:60], "...")

# %%
# A file that was damaged is refused, and so is one that is no model. The error says why.

content = bytearray(path.read_bytes())
content[len(content) // 2] ^= 1  # one bit
damaged = Path(folder.name) / "damaged.safetensors"
damaged.write_bytes(content)
try:
    skgmvae.load(damaged)
except InvalidModelFile as error:
    print(str(error).replace(folder.name, "..."))

# %%
# **What a stranger's file can still do** is be wrong. Whoever makes a file on purpose can give it
# the right digest: it is a model then, perhaps a bad one. Compare a checksum that you got in
# another way, and test the model on rows that you know.
#
# **What your file can tell a stranger** is more than you may think. It has the labels of the
# training rows, the names of the columns and, in its weights, what rows look like. These images are
# drawn from the loaded model, without any rows:

samples, _ = again.sample(50, cluster=np.arange(5).repeat(10), observation_noise=False)
display = ClusterSamplesDisplay(
    samples.clip(0, 16).reshape(5, 10, 64), cluster_counts=again.cluster_counts_
).plot(image_shape=(8, 8))
for image in display.ax_.images:
    image.set_interpolation("bilinear")
display.figure_.suptitle("Drawn from the file", fontsize=10)
display.figure_.savefig("sharing.png", dpi=120)
plt.show()

# %%
# The model card is Markdown, to be kept beside the file. With rows and their labels, which the fit
# did not see, it also says whether probabilities are what they seem.

card = again.to_markdown(X_new, y_new)
print(card[card.index("## Settings"):])
folder.cleanup()
