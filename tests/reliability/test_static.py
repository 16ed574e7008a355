"""What the source never does, and what an import never does; see also tests/test_layers.py."""

import ast
from pathlib import Path

import pytest

import skgmvae
from helpers import run_python

FOLDER = Path(skgmvae.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))
UNSAFE = {
    "eval", "exec", "compile", "__import__", "input", "torch.load", "pickle.load",
    "pickle.loads", "joblib.load", "os.system", "subprocess.run",
    "subprocess.Popen", "importlib.import_module", "yaml.load", "marshal.loads",
}

# in a process of its own: what is there before and after an import
IMPORT = """
import os, signal, socket, sys, threading, warnings
import joblib, numpy, scipy.sparse.linalg, sklearn.cluster, sklearn.mixture, sklearn.metrics, torch
import torch.distributed, sklearn.datasets, sklearn.decomposition, sklearn.neighbors, pandas

def surroundings():
    return {
        "filters": list(warnings.filters), "environment": dict(os.environ),
        "threads": threading.active_count(), "n_threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(), "draws": torch.get_rng_state().tolist(),
        "numpy": str(numpy.random.get_state()), "path": list(sys.path), "errors": numpy.geterr(),
        "handlers": [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)],
        "excepthook": sys.excepthook, "cwd": os.getcwd(), "grad": torch.is_grad_enabled(),
        "files": sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc") else None,
    }

opened = []
def audit(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        opened.append(os.fsdecode(arguments[0]))
    if event.startswith(("socket.", "subprocess.", "os.system")):
        opened.append(event)

before = surroundings()
sys.addaudithook(audit)
import skgmvae
after = surroundings()
for name, value in before.items():
    assert after[name] == value, name
others = [
    path for path in opened
    if not path.endswith((".py", ".pyc", ".so", ".pyi")) and ".pyc." not in path
    and not path.startswith("/proc")
]
assert not others, others
"""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_nothing_that_runs_what_it_reads(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not called & UNSAFE
    assert "allow_pickle=True" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_no_assertion_depends_on_what_a_user_passes(path):
    # assertions are for the reader and the type checker: they say what is not None, or of a type
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            said = ast.unparse(node.test)
            assert said.endswith("is not None") or said.startswith("isinstance("), said
            assert node.msg is None


def test_an_import_has_no_effect_and_opens_no_file():
    assert not run_python("-c", IMPORT, seconds=120)
