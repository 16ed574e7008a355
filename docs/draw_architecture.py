"""Draw docs/images/architecture.png: the rooms of the package by floor, and what imports what.

The imports are read from the source, the floors from tests/test_floors.py, which checks that
imports only go down, and what is public from docs/api.rst. Run it after a change of any of these:
``python docs/draw_architecture.py``.
"""

import ast
import re
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch, Rectangle

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "skgmvae"

#: For each room the column that it is drawn in, and what it contains.
ROOMS = {
    "estimator": (1.25, "GMVAEClustering"),
    "sources": (2.5, "rows in files"),
    "_stored": (1.25, "fits as plain data,\nchecked"),
    "_fit": (1.25, "fit, from top to bottom;\nrestarts"),
    "parameters": (-0.2, "what is allowed,\nwhat \"auto\" stands for"),
    "fitted": (0.9, "a trained model:\nrows in, arrays out"),
    "callbacks": (3, "to look at a fit,\nor to end it"),
    "model_card": (2, "what a fit is,\nin Markdown"),
    "likelihoods": (0, "families of p(y|x)"),
    "_objective": (1, "bound, regularizer,\nbatches"),
    "_start": (2, "the initial partition"),
    "_training": (3, "epochs, learning rate,\nstopping"),
    "_model": (0, "GMVAE, its heads,\nits shape"),
    "validation": (1.43, "checks of arguments"),
    "networks": (-0.34, "encoder, prior, decoder"),
    "perturbations": (0.535, "small changes of rows"),
    "_rows": (1.41, "units, rows,\norder of batches"),
    "files": (2.285, "a model in one file"),
    "exceptions": (2.9, "warnings of a fit,\nerror of files"),
    "packing": (1.95, "plain data and\nits digest"),
    "versions": (3.16, "which versions can\nbe read"),
    "distributed": (1, "processes that fit\none model"),
    "runtime": (0, "devices, seeds,\ntorch modes"),
    "plotting": (4.25, "displays"),
    "metrics": (3, "accuracies"),
    "datasets": (4.25, "arcs, MNIST, SVHN"),
    "paper": (4.25, "settings of the paper"),
}
BLUE, TAN = ("#dcebf7", "#2b6ca3"), ("#f6f1e4", "#9a8a5f")
WIDTH, HEIGHT, COLUMN, FLOOR = 3.0, 1.05, 3.5, 1.75


def constant(path, name):
    """Return the value of a module's constant without running the module."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return ast.literal_eval(node.value)
    raise LookupError(f"{path} has no {name}.")


def rooms_imported(room):
    """Return the rooms that the files of a room import."""
    path = PACKAGE / room
    found = set()
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
        here = ("skgmvae", *file.relative_to(PACKAGE).with_suffix("").parts)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                module = [*here[: len(here) - node.level], *(node.module or "").split(".")]
                names = [alias.name for alias in node.names]
                found |= {module[1]} if len(module) > 1 and module[1] else set(names)
    return found & set(ROOMS) - {room}


def without_implied(imports):
    """Leave out each import that a chain of others implies."""
    def reached(room):
        return set().union(*({other} | reached(other) for other in imports[room]))

    return {
        room: others - set().union(*map(reached, others)) for room, others in imports.items()
    }


def corners_of(floors, beside):
    """Return the lower left corner of each room."""
    levels = {room: level for level, rooms in enumerate(reversed(floors)) for room in rooms}
    outside = [room for room in ROOMS if room in beside]
    levels |= {room: len(floors) - 1 - row for row, room in enumerate(outside)}
    return {room: (column * COLUMN, levels[room] * FLOOR) for room, (column, _) in ROOMS.items()}


def draw_band(ax, column, n_columns, y, height):
    """Draw the background of a floor."""
    ax.add_patch(Rectangle(
        (column * COLUMN, y), n_columns * COLUMN, height, facecolor="#f3f4f6", edgecolor="none",
        zorder=0,
    ))


def draw_room(ax, room, corner, *, public):
    """Draw a box, with the name of the room and what it contains."""
    face, edge = BLUE if public else TAN
    ax.add_patch(FancyBboxPatch(
        corner, WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.12", facecolor=face,
        edgecolor=edge, linewidth=1.4, zorder=3,
    ))
    name = f"{room}/" if (PACKAGE / room).is_dir() else f"{room}.py"
    x, y = corner[0] + WIDTH / 2, corner[1] + HEIGHT
    ax.text(x, y - 0.12, name, ha="center", va="top", family="monospace", weight="bold", size=12)
    ax.text(x, y - 0.43, ROOMS[room][1], ha="center", va="top", size=9.5, color="#444444",
            linespacing=1.2)


def draw_imports(ax, imports, corners):
    """Draw an arrow for each import; arrows at one box stand in the order of their other ends."""
    def place(room, others, other):
        order = sorted(others, key=lambda one: corners[one])
        return corners[room][0] + WIDTH * (order.index(other) + 1) / (len(order) + 1)

    for room, others in imports.items():
        for other in others:
            importers = [one for one, imported in imports.items() if other in imported]
            start = place(room, others, other), corners[room][1]
            end = place(other, importers, room), corners[other][1] + HEIGHT
            ax.annotate("", end, start, zorder=2, arrowprops={
                "arrowstyle": "-|>,head_width=0.22,head_length=0.45", "shrinkA": 0, "shrinkB": 0,
                "color": "#4d565f", "linewidth": 1.2,
            })


def main():
    """Draw the picture."""
    tests = PROJECT / "tests" / "test_floors.py"
    floors = [floor for floor in constant(tests, "FLOORS") if floor != {"__init__"}]
    corners = corners_of(floors, constant(tests, "BESIDE"))
    figure, ax = plt.subplots(figsize=(15, 10.5))
    for level in range(len(floors)):
        draw_band(ax, -0.35, 4.35, level * FLOOR - 0.2, HEIGHT + 0.4)
    top = len(floors) * FLOOR - 0.5
    draw_band(ax, 4.15, 1.06, top - 4 * FLOOR + 0.15, 4 * FLOOR - 0.15)
    ax.text(4.25 * COLUMN + WIDTH / 2, top + 0.1, "beside the house", ha="center", size=11)
    ax.text(-0.35 * COLUMN, top + 0.1, "the house", size=11)
    imports = {room: rooms_imported(room) for room in corners}
    imports["paper"] = set()  # beside the house: it imports `networks` only
    draw_imports(ax, without_implied(imports), corners)
    reference = (PROJECT / "docs" / "api.rst").read_text(encoding="utf-8")
    public = {"estimator", *re.findall(r"automodule:: skgmvae\.(\w+)", reference)}
    for room, corner in corners.items():
        draw_room(ax, room, corner, public=room in public)
    ax.set_aspect("equal")
    ax.axis("off")
    ax.margins(0.01)
    ax.autoscale_view()
    path = PROJECT / "docs" / "images" / "architecture.png"
    figure.savefig(path, dpi=100, bbox_inches="tight", pad_inches=0.1)


if __name__ == "__main__":
    main()
