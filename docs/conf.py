"""Settings of the documentation site; `docs/contributing.md` says how it is built."""

import re

from sphinx_gallery.sorting import ExplicitOrder

from skgmvae import __version__

project = "skgmvae"
author = "The skgmvae developers"
copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["templates"]
default_role = "literal"
smartquotes = False  # messages are quoted as they are
toc_object_entries_show_parents = "hide"

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_preserve_defaults = True
autodoc_typehints = "none"  # numpydoc's sections have the types
numpydoc_show_class_members = False  # the template of a class lists them

#: What a newcomer wants comes first; a script that is not listed is an error.
GALLERY = [
    "plot_digits.py",
    "plot_customers.py",
    "plot_displays.py",
    "plot_comparison.py",
    "plot_n_clusters.py",
    # the data that people have
    "plot_sensors.py",
    "plot_documents.py",
    "plot_single_cells.py",
    "plot_out_of_core.py",
    # after the fit
    "plot_outliers.py",
    "plot_calibration.py",
    "plot_grid_search.py",
    "plot_sharing.py",
    "plot_resuming.py",
    # images, and the paper
    "plot_mnist_generation.py",
    "plot_mnist_accuracy.py",
    "plot_svhn.py",
    "plot_arcs.py",
    "plot_z_prior.py",
]
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "generated/examples",  # else the home page cannot show thumbnails
    "filename_pattern": "/plot_",
    "within_subsection_order": ExplicitOrder(GALLERY),
    "parallel": 2,
    "ignore_pattern": r"(^|/)(?!plot_)\w+\.py$",
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "skgmvae"
html_static_path = ["static"]
html_css_files = ["narrow.css"]
html_theme_options = {
    "navbar_center": [],  # all pages are in the sidebar instead
    "secondary_sidebar_items": {"**": ["page-toc"], "results": []},
}
html_sidebars = {"**": ["pages.html"], "index": [], "results": []}  # wide tables need the space
html_show_sourcelink = False


def link_gallery(app, docname, source):
    """Turn links to scripts of the gallery, for readers of the repository, into links to pages."""
    text = re.sub(r"\]\(\.\./examples/(plot_\w+)\.py\)", r"](auto_examples/\1.rst)", source[0])
    source[0] = text.replace("](../examples/GALLERY_HEADER.rst)", "](auto_examples/index.rst)")


def escape_shapes(app, what, name, obj, options, lines):
    """Escape the star of shapes such as (B, *data_shape), which docutils takes for emphasis."""
    lines[:] = [
        line if "``" in line else re.sub(r"(?<=[ (])\*(?=\w+\))", r"\\*", line) for line in lines
    ]


def setup(app):
    """Rewrite links of the source, and escape shapes before numpydoc reads the lines too."""
    app.connect("source-read", link_gallery)
    app.connect("autodoc-process-docstring", escape_shapes, priority=400)
