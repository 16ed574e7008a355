"""Every example in a docstring or a page runs and prints what it says."""

import doctest
import importlib
import inspect
import pkgutil
import warnings
from pathlib import Path

import pytest

import skgmvae

MODULES = ["skgmvae", *(f"skgmvae.{m.name}" for m in pkgutil.iter_modules(skgmvae.__path__))]
ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert result.failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_on_pages(page):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = doctest.testfile(str(page), module_relative=False, optionflags=FLAGS)
    assert result.failed == 0


def public_objects():
    for name in MODULES:
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", ()):
            value = getattr(module, public)
            if callable(value) and value.__module__ == name:
                yield pytest.param(value, id=f"{name}.{public}")


@pytest.mark.parametrize("value", list(public_objects()))
def test_public_names_have_docstrings(value):
    assert inspect.getdoc(value)
    if inspect.isclass(value):
        for name, method in vars(value).items():
            if inspect.isfunction(method) and not name.startswith("_"):
                assert inspect.getdoc(method), name


@pytest.mark.parametrize("name", [
    name for name in dir(skgmvae.GMVAEClustering)
    if not name.startswith("_") and name not in ("get_metadata_routing", "set_params")
])
def test_every_method_of_the_estimator_documents_its_parameters(name):
    method = getattr(skgmvae.GMVAEClustering, name)
    documentation = inspect.getdoc(method)
    for parameter in inspect.signature(method).parameters:
        if parameter not in ("self", "kwargs", "params"):
            assert f"{parameter} :" in documentation, f"{name}: {parameter}"


def test_the_class_documents_its_parameters_in_order_with_their_defaults():
    documentation = inspect.getdoc(skgmvae.GMVAEClustering)
    signature = inspect.signature(skgmvae.GMVAEClustering)
    positions = [documentation.index(f"\n{name} : ") for name in signature.parameters]
    assert positions == sorted(positions)
    for parameter in signature.parameters.values():
        line = documentation.split(f"\n{parameter.name} : ")[1].split("\n")[0]
        default = line.split("default=")[1].strip('"')
        assert default == str(parameter.default) or float(default) == parameter.default
