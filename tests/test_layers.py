"""How the modules of the package stand to one another, and what none of them does."""

import ast
from pathlib import Path

import pytest

import skgmvae

FOLDER = Path(skgmvae.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))

# from the top: a module (a file or a folder) imports from layers below its own, or from itself
LAYERS = [
    {"__init__"},
    {"estimator", "sources"},
    {"_stored"},
    {"_fit"},
    {"callbacks", "fitted", "model_card", "parameters"},
    {"_objective", "_start", "_training", "likelihoods"},
    {"_model", "metrics", "validation"},
    {"_rows", "files", "networks", "perturbations", "versions"},
    {"distributed", "exceptions", "packing", "runtime"},
]
# what is used on top of these: it uses the estimator by its public methods, or not at all
ON_TOP = {"datasets", "paper", "plotting"}
LAYER = {module: layer for layer, modules in enumerate(LAYERS) for module in modules}

TENSORS_ONLY = {"networks", "perturbations", "_model", "_training"}
WITHOUT_MODEL = {"_training", "_rows", "networks", "perturbations"}


def name(path):
    return str(path.relative_to(FOLDER).with_suffix(""))


def module_of(path):
    return path.relative_to(FOLDER).with_suffix("").parts[0]


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path):
    """Return what a file imports: dotted names of others' modules, modules of our own."""
    here = ("skgmvae", *path.relative_to(FOLDER).with_suffix("").parts)
    own, others = set(), set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level] if node.level else ()
            module = [*base, *(node.module or "").split(".")] if node.module else [*base]
            found = [".".join([*module, alias.name]) for alias in node.names]
        elif isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        else:
            continue
        for full in found:
            first, *rest = full.split(".")
            (own if first == "skgmvae" else others).add(".".join(rest if first == "skgmvae" else
                                                                 [first, *rest]))
    return own, others


def modules_imported(path):
    return {full.split(".")[0] for full in imports(path)[0]} - {"__version__", module_of(path)}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_go_down_the_layers(path):
    here = module_of(path)
    for other in modules_imported(path):
        if here in ON_TOP:
            assert other in ON_TOP | {"metrics", "networks"}
        else:
            assert LAYER[here] < LAYER[other], f"{here} imports {other}"


def test_the_layers_are_those_of_the_package():
    modules = {module_of(path) for path in FILES}
    assert modules == set(LAYER) | ON_TOP
    assert modules_imported(FOLDER / "_model" / "gmvae.py") == {"networks"}
    assert "_rows" in modules_imported(FOLDER / "_start" / "neighbors.py")


@pytest.mark.parametrize("path", FILES, ids=name)
def test_other_modules_see_of_a_folder_what_its_init_names(path):
    for full in imports(path)[0]:
        first, *rest = full.split(".")
        if (FOLDER / first).is_dir() and first != module_of(path):
            exported = {
                alias.asname or alias.name
                for node in ast.walk(tree(FOLDER / first / "__init__.py"))
                if isinstance(node, ast.ImportFrom) for alias in node.names
            }
            assert not rest or (len(rest) == 1 and rest[0] in exported), full


def test_the_objective_and_the_loop_do_not_know_the_model():
    assert "GMVAE" not in (FOLDER / "_objective" / "objective.py").read_text(encoding="utf-8")
    for path in FILES:
        if module_of(path) in WITHOUT_MODEL:
            assert not modules_imported(path) & {"_model", "likelihoods"}


@pytest.mark.parametrize("path", [p for p in FILES if module_of(p) in TENSORS_ONLY], ids=name)
def test_the_core_sees_neither_numpy_nor_scikit_learn(path):
    roots = {module.split(".")[0] for module in imports(path)[1]}
    assert not roots & {"numpy", "sklearn", "scipy", "joblib"}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_runtime_names_a_device(path):
    parsed = tree(path)
    for node in ast.walk(parsed):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    named = "cuda" in ast.unparse(parsed).lower().replace("cuda_graph", "")
    assert named == (module_of(path) == "runtime" or path.stem == "cuda_graph")


def test_the_estimator_has_no_other_class_of_ours_in_it():
    ours = [
        cls for cls in skgmvae.GMVAEClustering.__mro__ if cls.__module__.startswith("skgmvae")
    ]
    assert ours == [skgmvae.GMVAEClustering]


def test_nothing_but_likelihoods_knows_which_there_are():
    for path in FILES:
        if module_of(path) != "likelihoods":
            code = ast.unparse(tree(path))
            assert "unit_interval" not in code
            assert "likelihood.name" not in code


FORBIDDEN = {
    "torch.load", "pickle.load", "pickle.loads", "torch.manual_seed", "torch.seed",
    "np.random.seed", "random.seed", "torch.set_default_dtype", "torch.set_default_device",
    "torch.set_num_threads", "torch.set_rng_state", "warnings.filterwarnings", "eval", "exec",
}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nothing_unsafe_or_global_is_touched(path):
    called = {
        ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)
    }
    # runtime lends the global generator to a user's factory, and forked processes one thread
    of_runtime = {"torch.set_rng_state", "torch.set_num_threads"}
    assert not called & FORBIDDEN - (of_runtime if module_of(path) == "runtime" else set())
    assert not {"pickle", "cPickle", "dill", "cloudpickle"} & imports(path)[1]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_draw_from_numpys_global_state(path):
    used = {
        node.attr for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "np.random"
    }
    assert used <= {"SeedSequence", "RandomState", "Generator", "default_rng"}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_name_made_public_is_there(path):
    parts = path.relative_to(FOLDER).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    module = __import__(".".join(["skgmvae", *parts]), fromlist=["__all__"])
    assert module.__all__
    for public in module.__all__:
        assert hasattr(module, public)
