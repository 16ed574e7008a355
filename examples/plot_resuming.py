"""
A fit that is killed, and goes on
=================================

A long fit should survive what happens to long jobs: a notice of the scheduler, a power cut,
``kill -9``. With ``checkpoint`` it is written to a file while it runs, and the same script, started
once more, goes on where it was, to the same result bit by bit. Here the fit runs in a process of
its own, which is killed twice.
"""

# %%
# This is the script. It knows nothing of having been killed: it fits and saves.

import re
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

import skgmvae
from skgmvae import GMVAEClustering

SCRIPT = """
from sklearn.datasets import load_digits
from skgmvae import GMVAEClustering

X, _ = load_digits(return_X_y=True)
clusterer = GMVAEClustering(10, checkpoint="digits.fit", checkpoint_every=0.5, random_state=0)
clusterer.fit(X).save("digits.safetensors")
"""

# %%
# It is started, and killed a second after it has written its checkpoint; then started and killed
# again; then left alone. From the second time on, it warns after how many epochs it goes on.

folder = tempfile.TemporaryDirectory()
checkpoint = Path(folder.name) / "digits.fit"


def run(seconds=None):
    """Run the script; kill it so many seconds after it has written."""
    before = checkpoint.stat().st_mtime if checkpoint.exists() else None
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=folder.name, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and seconds is not None:
        if checkpoint.exists() and checkpoint.stat().st_mtime != before:
            time.sleep(seconds)
            process.kill()
            break
        time.sleep(0.05)
    printed = process.communicate()[1]
    resumed = re.search(r"after \d+ epochs", printed)  # in a ResumedFitWarning
    begun = f"resumed {resumed[0]}" if resumed else "begun"
    print(f"{begun}, {'then killed' if process.returncode else 'and finished'}")


run(seconds=1)
run(seconds=1)
run()

# %%
# The model is that of a fit that nobody killed, to the last bit.

X, y = load_digits(return_X_y=True)
resumed = skgmvae.load(Path(folder.name) / "digits.safetensors")
whole = GMVAEClustering(10, random_state=0).fit(X)
print("same probabilities:", (resumed.predict_proba(X) == whole.predict_proba(X)).all())
print("same history:", (resumed.history_["lower_bound"] == whole.history_["lower_bound"]).all())

figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
epochs = range(1, whole.n_iter_ + 1)
axes.plot(epochs, whole.history_["lower_bound"], lw=5, color="0.8", label="not interrupted")
axes.plot(epochs, resumed.history_["lower_bound"], lw=1.2, color="tab:blue", label="killed twice")
axes.set(xlabel="epoch", ylabel="bound while training, nats", title="One fit in three processes")
axes.legend(loc="lower right")
figure.savefig("resuming.png", dpi=120)
plt.show()

# %%
# The file belongs to this fit. With other parameters or other rows it is refused, and the message
# says what differs; nothing is overwritten.

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        GMVAEClustering(9, checkpoint=checkpoint, random_state=0).fit(X)
except ValueError as error:
    print(str(error).replace(folder.name, "..."))
folder.cleanup()
