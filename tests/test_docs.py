"""Every example in a docstring or a page runs and prints what it says; public names have both."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import warnings
from pathlib import Path

import pytest
from sklearn.datasets import load_iris

import skgmvae
from skgmvae import GMVAEClustering, exceptions

MODULES = ["skgmvae", *(m.name for m in pkgutil.walk_packages(skgmvae.__path__, "skgmvae."))]
ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def shared():
    """Return what examples in docstrings may use without making it: iris, and a clusterer of it."""
    X, y = load_iris(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clusterer = GMVAEClustering(n_clusters=3, max_iter=20, random_state=0).fit(X)
    return {"X": X, "y": y, "clusterer": clusterer}


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name, shared):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = doctest.testmod(
            importlib.import_module(name), extraglobs=shared, optionflags=FLAGS
        )
    assert result.failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_on_pages(page):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = doctest.testfile(str(page), module_relative=False, optionflags=FLAGS)
    assert result.failed == 0


def public_objects():
    """Yield what may be imported by a path without an underscore."""
    for name in MODULES:
        if "._" not in name:
            module = importlib.import_module(name)
            for public in module.__all__:
                value = getattr(module, public)
                if callable(value) and getattr(value, "__module__", "").startswith(name):
                    yield pytest.param(value, id=f"{name}.{public}")


@pytest.mark.parametrize("module", ["callbacks", "exceptions", "metrics", "plotting"])
def test_public_names_are_in_the_reference(module):
    page = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8").split()
    assert set(importlib.import_module(f"skgmvae.{module}").__all__) <= set(page)


@pytest.mark.parametrize("value", list(public_objects()))
def test_public_names_have_docstrings(value):
    assert inspect.getdoc(value)
    if inspect.isclass(value):
        for name, method in vars(value).items():
            if inspect.isfunction(method) and not name.startswith("_"):
                assert inspect.getdoc(method), name


METHODS = [
    name for name, value in inspect.getmembers(GMVAEClustering, inspect.isfunction)
    if not name.startswith("_") and name not in ("get_metadata_routing", "set_params")
]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_the_estimator_documents_its_parameters(name):
    method = getattr(GMVAEClustering, name)
    documentation = inspect.getdoc(method)
    for parameter in inspect.signature(method).parameters:
        if parameter not in ("self", "kwargs", "params"):
            assert f"{parameter} :" in documentation, f"{name}: {parameter}"


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_our_own_has_an_example_and_names_its_errors(name):
    method = getattr(GMVAEClustering, name)
    if method.__module__.startswith("skgmvae"):
        assert "Raises\n------\n" in inspect.getdoc(method)
        assert "Examples\n--------\n>>> " in inspect.getdoc(method)


def test_the_class_documents_its_parameters_in_order_with_their_defaults():
    documentation = inspect.getdoc(GMVAEClustering)
    signature = inspect.signature(GMVAEClustering)
    positions = [documentation.index(f"\n{name} : ") for name in signature.parameters]
    assert positions == sorted(positions)
    for parameter in signature.parameters.values():
        line = documentation.split(f"\n{parameter.name} : ")[1].split("\n")[0]
        default = line.split("default=")[1].strip('"')
        assert default == str(parameter.default) or float(default) == parameter.default


def test_the_page_of_parameters_has_each_once_with_its_default():
    rows = re.findall(r"^- \*\*`(\w+)`\*\*, `([^`]+)`\. Try ", PARAMETERS, re.M)
    signature = inspect.signature(GMVAEClustering).parameters
    assert len(rows) == len(signature)
    for name, default in rows:
        assert ast.literal_eval(default) == signature[name].default, name


def links_of_pages():
    """Yield the links of README and of all pages to files of the repository."""
    for page in [*PAGES, *sorted((ROOT / ".github").glob("*.md"))]:
        text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" not in target:
                yield pytest.param(page, target, id=f"{page.name}-{target}")


@pytest.mark.parametrize(("page", "target"), list(links_of_pages()))
def test_links_lead_somewhere(page, target):
    path, _, anchor = target.partition("#")
    file = page.parent / path if path else page
    assert file.exists()
    if anchor:
        headings = re.findall("^#+ (.+)$", file.read_text(encoding="utf-8"), re.M)
        assert anchor in [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings]


def texts_of(node):
    """Yield each text below a node of a syntax tree, with an ellipsis for what is filled in."""
    for child in ast.walk(node):
        if isinstance(child, ast.JoinedStr):
            parts = (v.value if isinstance(v, ast.Constant) else "…" for v in child.values)
            yield " ".join("".join(parts).split())
        elif isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield " ".join(child.value.split())


TREES = [
    ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "skgmvae").rglob("*.py"))
]
TEXTS = {text for tree in TREES for text in texts_of(tree)}
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
PARAMETERS = (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
QUOTED = [" ".join(quote[2:].split()).rstrip("… ") for quote in re.findall("^> .+$", PAGE, re.M)]


def warnings_issued():
    """Yield the texts of the warnings that the package makes."""
    for tree in TREES:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args:
                name = ast.unparse(node.func)
                text = next(iter(texts_of(node.args[0])), "")
                if name.endswith("Warning") and " " in text:
                    yield pytest.param(text, id=text[:40])


def test_troubleshooting_has_each_class_of_warning():
    for name in set(exceptions.__all__) - {"ClusteringWarning"}:
        assert f"\n### {name}\n\n> " in PAGE, name


@pytest.mark.parametrize("text", list(warnings_issued()))
def test_troubleshooting_quotes_each_warning(text):
    assert any(quote in text for quote in QUOTED)


@pytest.mark.parametrize("quote", QUOTED, ids=lambda quote: quote[:40])
def test_what_troubleshooting_quotes_is_said(quote):
    assert any(quote in text for text in TEXTS)
