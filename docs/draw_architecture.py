"""Draw docs/images/architecture.png: the modules of the package in layers, and their imports.

The imports are read from the source, the layers from tests/test_layers.py, which checks that
imports only go down, and what is public from docs/api.rst. An arrow that passes other layers goes
between their boxes. Run it after a change of any of these: ``python docs/draw_architecture.py``.
"""

import ast
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path as Line
from PIL import Image

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "skgmvae"

#: For each module the column that its box is drawn in, and what it contains.
MODULES = {
    "plotting": (3.9, "displays"),
    "datasets": (2.8, "arcs, MNIST, SVHN"),
    "paper": (1.7, "settings of\nthe paper"),
    "estimator": (1.4, "GMVAEClustering"),
    "sources": (2.6, "rows in files"),
    "_stored": (1.1, "fits as plain data,\nchecked"),
    "_fit": (1.1, "fit, from top to\nbottom; restarts"),
    "parameters": (0.5, "what is allowed,\nwhat \"auto\" means"),
    "fitted": (-0.6, "a trained model:\nrows in, arrays out"),
    "callbacks": (1.6, "to look at a fit,\nor to end it"),
    "model_card": (2.75, "what a fit is,\nin Markdown"),
    "likelihoods": (-0.5, "families of p(y|x)"),
    "_objective": (0.58, "bound, regularizer,\nbatches"),
    "_start": (1.82, "the initial\npartition"),
    "_training": (3.05, "epochs, learning\nrate, stopping"),
    "_model": (0, "GMVAE, its heads,\nits shape"),
    "validation": (1.8, "checks of\narguments"),
    "metrics": (3.9, "accuracies"),
    "networks": (-0.55, "encoder, prior,\ndecoder"),
    "perturbations": (0.5, "small changes\nof rows"),
    "_rows": (1.7, "units, rows,\norder of batches"),
    "versions": (2.8, "which versions\ncan be read"),
    "files": (3.9, "a model in\none file"),
    "runtime": (0.5, "devices, seeds,\ntorch modes"),
    "distributed": (1.75, "processes that\nfit one model"),
    "packing": (2.8, "plain data and\nits digest"),
    "exceptions": (3.9, "warnings of a fit,\nerror of files"),
}
BLUE, TAN = ("#dcebf7", "#2b6ca3"), ("#f6f1e4", "#9a8a5f")
WIDTH, HEIGHT, COLUMN, PITCH = 1.43, 0.66, 1.58, 1.12  # inches
SPACE = 0.11  # between two arrows that pass side by side, and between an arrow and a box


def constant(path, name):
    """Return the value of a module's constant without running the module."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return ast.literal_eval(node.value)
    raise LookupError(f"{path} has no {name}.")


def modules_imported(module):
    """Return the modules that the files of a module import."""
    path = PACKAGE / module
    found = set()
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
        here = ("skgmvae", *file.relative_to(PACKAGE).with_suffix("").parts)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                parts = [*here[: len(here) - node.level], *(node.module or "").split(".")]
                names = [alias.name for alias in node.names]
                found |= {parts[1]} if len(parts) > 1 and parts[1] else set(names)
    return found & set(MODULES) - {module}


def without_implied(imports):
    """Leave out each import that a chain of others implies."""
    def reached(module):
        return set().union(*({other} | reached(other) for other in imports[module]))

    return {
        module: others - set().union(*map(reached, others)) for module, others in imports.items()
    }


def spread(wanted, low, high):
    """Return the places nearest to those wanted that are in order and `SPACE` apart."""
    places = np.clip(wanted, low, high)
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + SPACE)
    if len(places):
        places -= max(0.0, places[-1] - high)
    for i in reversed(range(len(places) - 1)):
        places[i] = min(places[i], places[i + 1] - SPACE)
    return places


def gaps_of(boxes):
    """Return the intervals between and beside boxes, less a margin."""
    edges = [-np.inf, *(x + end for x in sorted(boxes) for end in (-SPACE, WIDTH + SPACE)), np.inf]
    return [(low, high) for low, high in zip(edges[::2], edges[1::2], strict=True) if low <= high]


def routes(arrows, corners, rows):
    """Return for each arrow where it passes each row between its ends, from the top."""
    passed = {arrow: {} for arrow in arrows}
    for row in sorted(set(rows.values()), reverse=True):
        gaps = gaps_of([corners[module][0] for module in rows if rows[module] == row])
        through = {gap: [] for gap in gaps}
        for above, below in arrows:
            if rows[above] > row > rows[below]:
                before = passed[above, below]
                start = list(before.values())[-1] if before else corners[above][0] + WIDTH / 2
                left = row - rows[below]
                wanted = start + (corners[below][0] + WIDTH / 2 - start) / (left + 1)
                gap = min(gaps, key=lambda gap: abs(wanted - np.clip(wanted, *gap)))
                through[gap].append((wanted, (above, below)))
        for gap, found in through.items():
            found.sort()
            places = spread([wanted for wanted, _ in found], *gap)
            for place, (_, arrow) in zip(places, found, strict=True):
                passed[arrow][row] = place
    return passed


def draw_arrows(ax, arrows, corners, rows):
    """Draw an arrow for each import; those at one box are in the order of where they go."""
    passed = routes(arrows, corners, rows)
    ends = {}
    for side in (0, 1):
        for module in corners:
            here = [arrow for arrow in arrows if arrow[side] == module]
            here.sort(key=lambda arrow: (
                list(passed[arrow].values())[-side] if passed[arrow]
                else corners[arrow[1 - side]][0] + WIDTH / 2
            ))
            for i, arrow in enumerate(here):
                ends[arrow, side] = corners[module][0] + WIDTH * (i + 1) / (len(here) + 1)
    for arrow in arrows:
        above, below = arrow
        points = [(ends[arrow, 0], corners[above][1])]
        for row, x in passed[arrow].items():
            points += [(x, row * PITCH + HEIGHT), (x, row * PITCH)]
        points.append((ends[arrow, 1], corners[below][1] + HEIGHT))
        ax.add_patch(FancyArrowPatch(
            path=Line(points), arrowstyle="-|>,head_width=2,head_length=4", shrinkA=0, shrinkB=0,
            joinstyle="round", color="#4d565f", linewidth=1.0, zorder=2,
        ))


def draw_box(ax, module, corner, *, public):
    """Draw a box, with the name of the module and what it contains."""
    face, edge = BLUE if public else TAN
    ax.add_patch(FancyBboxPatch(
        corner, WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.06", facecolor=face,
        edgecolor=edge, linewidth=1.2, zorder=3,
    ))
    name = f"{module}/" if (PACKAGE / module).is_dir() else f"{module}.py"
    x, y = corner[0] + WIDTH / 2, corner[1] + HEIGHT
    ax.text(x, y - 0.06, name, ha="center", va="top", family="monospace", weight="bold", size=10)
    ax.text(x, y - 0.25, MODULES[module][1], ha="center", va="top", size=10, color="#333333",
            linespacing=1.15)


def main():
    """Draw the picture."""
    tests = PROJECT / "tests" / "test_layers.py"
    layers = [layer for layer in constant(tests, "LAYERS") if layer != {"__init__"}]
    on_top = constant(tests, "ON_TOP")
    rows = {module: row for row, layer in enumerate(reversed(layers)) for module in layer}
    rows |= dict.fromkeys(on_top, len(layers))
    corners = {
        module: (column * COLUMN, rows[module] * PITCH) for module, (column, _) in MODULES.items()
    }
    imports = {module: modules_imported(module) for module in MODULES}
    imports["paper"] = set()  # `networks` only
    arrows = [
        (module, other) for module, others in without_implied(imports).items() for other in others
    ]
    left = min(x for x, _ in corners.values()) - 0.15
    right = max(x for x, _ in corners.values()) + WIDTH + 0.15
    figure = plt.figure(figsize=(right - left, len(layers) * PITCH + HEIGHT + 0.3))
    ax = figure.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(-0.12, len(layers) * PITCH + 0.84))
    ax.axis("off")
    for row in range(len(layers) + 1):
        ax.add_patch(Rectangle(
            (left, row * PITCH - 0.1), right - left, HEIGHT + 0.2, zorder=0, edgecolor="none",
            facecolor="#fdf7ee" if row == len(layers) else "#f3f4f6",
        ))
    middle = HEIGHT / 2 - 0.03
    ax.text(left + 0.12, len(layers) * PITCH + middle, "used on top of it", size=10)
    ax.text(left + 0.12, (len(layers) - 1) * PITCH + middle, "the package", size=10)
    draw_arrows(ax, sorted(arrows), corners, rows)
    reference = (PROJECT / "docs" / "api.rst").read_text(encoding="utf-8")
    public = {"estimator", *re.findall(r"automodule:: skgmvae\.(\w+)", reference)}
    for module, corner in corners.items():
        draw_box(ax, module, corner, public=module in public)
    path = PROJECT / "docs" / "images" / "architecture.png"
    figure.savefig(path, dpi=150)
    Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)  # a third of the space


if __name__ == "__main__":
    main()
