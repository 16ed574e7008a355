"""Every example in a docstring or a page runs and prints what it says."""

import doctest
import importlib
import inspect
import pkgutil
import re
import warnings
from pathlib import Path

import pytest

import skgmvae

MODULES = ["skgmvae", *(f"skgmvae.{m.name}" for m in pkgutil.iter_modules(skgmvae.__path__))]
ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BUILD = "sphinx-build -W --keep-going -b html docs docs/_build/html"
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


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_code_on_pages_is_a_doctest_or_a_command(page):
    for language, code in BLOCK.findall(page.read_text(encoding="utf-8")):
        assert language in ("bash", "{toctree}") or code.startswith(">>> ")


@pytest.mark.parametrize("place", ["docs/contributing.md", ".ci/run"])
def test_the_site_is_built_by_one_command(place):
    text = (ROOT / place).read_text(encoding="utf-8")
    assert re.search(rf"^(nice -n \d+ )?{re.escape(BUILD)}", text, re.MULTILINE)


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


METHODS = [
    name for name in dir(skgmvae.GMVAEClustering)
    if not name.startswith("_") and name not in ("get_metadata_routing", "set_params")
]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_the_estimator_documents_its_parameters(name):
    method = getattr(skgmvae.GMVAEClustering, name)
    documentation = inspect.getdoc(method)
    for parameter in inspect.signature(method).parameters:
        if parameter not in ("self", "kwargs", "params"):
            assert f"{parameter} :" in documentation, f"{name}: {parameter}"


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_our_own_has_an_example_and_names_its_errors(name):
    method = getattr(skgmvae.GMVAEClustering, name)
    if method.__module__.startswith("skgmvae"):
        assert "Raises\n------\n" in inspect.getdoc(method)
        assert "Examples\n--------\n>>> " in inspect.getdoc(method)


def test_the_class_documents_its_parameters_in_order_with_their_defaults():
    documentation = inspect.getdoc(skgmvae.GMVAEClustering)
    signature = inspect.signature(skgmvae.GMVAEClustering)
    positions = [documentation.index(f"\n{name} : ") for name in signature.parameters]
    assert positions == sorted(positions)
    for parameter in signature.parameters.values():
        line = documentation.split(f"\n{parameter.name} : ")[1].split("\n")[0]
        default = line.split("default=")[1].strip('"')
        assert default == str(parameter.default) or float(default) == parameter.default
