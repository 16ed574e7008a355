"""How the modules stand to one another."""

import ast
import shutil
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import skgmvae

PROJECT = Path(__file__).parents[1]
FOLDER = Path(skgmvae.__file__).parent
FILES = sorted(FOLDER.glob("*.py"))
NAMES = {path.stem for path in FILES}
MOST_LINES = 330

# what a module may import of the package, where that says something
LEAVES = ["distributions", "runtime", "metrics"]
WITHOUT_MODEL = ["elbo", "training", "consistency", "networks", "data"]
TENSORS_ONLY = ["distributions", "networks", "model", "elbo", "consistency", "training"]


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path):
    """Return what a file imports: full names of others' modules, stems of our own."""
    own, others = set(), set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            own |= {node.module.split(".")[0]} if node.module else {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "skgmvae":
            rest = node.module.split(".")[1:]
            own |= {rest[0]} if rest else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            others.add(node.module)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                first, *rest = alias.name.split(".")
                if first == "skgmvae":
                    own.add(rest[0] if rest else "__init__")
                else:
                    others.add(alias.name)
    return own, others


OWN = {path.stem: imports(path)[0] for path in FILES}
OTHERS = {path.stem: imports(path)[1] for path in FILES}


def reached_from(name):
    found, waiting = set(), [name]
    while waiting:
        new = OWN[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def code_without_docstrings(path):
    parsed = tree(path)
    for node in ast.walk(parsed):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(parsed)


def test_the_table_was_read():
    assert {"elbo", "model", "runtime", "__init__"} <= NAMES
    assert OWN["model"] == {"distributions", "networks"}
    for names in OWN.values():
        assert names <= NAMES


def test_imports_point_one_way():
    assert len(list(TopologicalSorter(OWN).static_order())) == len(NAMES)


@pytest.mark.parametrize("name", LEAVES)
def test_leaves_import_no_other_room(name):
    assert OWN[name] == set()


@pytest.mark.parametrize("name", WITHOUT_MODEL)
def test_the_objective_and_the_loop_do_not_know_the_model(name):
    assert "model" not in reached_from(name)


@pytest.mark.parametrize("name", TENSORS_ONLY)
def test_the_core_sees_neither_numpy_nor_scikit_learn(name):
    roots = {module.split(".")[0] for module in OTHERS[name]}
    assert not roots & {"numpy", "sklearn", "scipy", "joblib"}


@pytest.mark.parametrize("name", sorted(NAMES - {"__init__"}))
def test_nothing_but_the_door_imports_the_estimator(name):
    assert not OWN[name] & {"estimator", "__init__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_room_is_too_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_only_runtime_names_a_device(path):
    named = "cuda" in code_without_docstrings(path).lower()
    assert named == (path.stem == "runtime")


FORBIDDEN = {
    "torch.load", "pickle.load", "pickle.loads", "torch.manual_seed", "torch.seed",
    "np.random.seed", "random.seed", "torch.set_rng_state", "torch.set_default_dtype",
    "torch.set_default_device", "torch.set_num_threads", "warnings.filterwarnings",
    "warnings.simplefilter", "eval", "exec",
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_unsafe_or_global_is_touched(path):
    called = {
        ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)
    }
    assert not called & FORBIDDEN
    assert not {"pickle", "cPickle", "dill", "cloudpickle"} & OTHERS[path.stem]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_draw_from_numpys_global_state(path):
    used = {
        node.attr for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "np.random"
    }
    assert used <= {"SeedSequence", "RandomState", "Generator", "default_rng"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_name_made_public_is_there(path):
    name = "skgmvae" if path.stem == "__init__" else f"skgmvae.{path.stem}"
    module = __import__(name, fromlist=["__all__"])
    assert module.__all__
    for public in module.__all__:
        assert hasattr(module, public)


def test_another_folder_in_the_clone_does_not_stop_the_build(tmp_path):
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, tmp_path)
    shutil.copytree(PROJECT / "skgmvae", tmp_path / "skgmvae")
    (tmp_path / "environment" / "lib").mkdir(parents=True)
    ask = "from setuptools import build_meta; build_meta.get_requires_for_build_wheel()"
    subprocess.run([sys.executable, "-c", ask], cwd=tmp_path, check=True, capture_output=True)
