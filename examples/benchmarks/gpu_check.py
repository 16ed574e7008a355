r"""
What a GPU does, in eight minutes
=================================

Runs on one machine what can be seen nowhere else: the tests marked ``gpu``, the speed of a training
step, both kinds of fits to MNIST, and a fit to a million rows by part. Each is a process of its own
with a limit of seconds; what no longer fits into the minutes that are left is skipped, and says so.
The package need not be installed, and hypothesis need not be there: tests of it are left out
then. MNIST is read from ``SKGMVAE_DATA``, see `clustering_quality.py`. The table comes last::

    SKGMVAE_DATA=/path/to/npz python examples/benchmarks/gpu_check.py
    python examples/benchmarks/gpu_check.py --device cpu --quick
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from inspect import isfunction
from pathlib import Path
from typing import NamedTuple
from unittest.mock import MagicMock

import pytest
import torch
from scale import PARTS
from speed import table

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]


class Absent(MagicMock):
    """Stands for a module that isn't installed, and decorates tests away."""

    def __call__(self, *arguments, **keywords):
        """Return nothing in place of a test."""
        if arguments and isfunction(arguments[0]) and arguments[0].__name__.startswith("test_"):
            return None
        return super().__call__(*arguments, **keywords)


def run_tests():
    """Run the tests that need a GPU, in this process."""
    if find_spec("hypothesis") is None:
        for name in ("", ".strategies", ".extra", ".extra.numpy"):
            sys.modules[f"hypothesis{name}"] = Absent()
    folder = str(PROJECT / "tests")
    return pytest.main([
        "-q", "-m", "gpu", "-p", "no:cacheprovider", f"--ignore={folder}/plotting", folder
    ])


class Part(NamedTuple):
    """What is run, for how many seconds at most, and which of its output is its result."""

    name: str
    seconds: int
    command: list[str]
    needs_data: bool
    result: str  # matches a line, and names of groups what is in it


def parts_of(options):
    """Return the parts; with `quick`, of sizes that only show that they run."""
    device, quick = options.device, options.quick

    def script(name, *arguments):
        return [sys.executable, str(HERE / f"{name}.py"), *map(str, arguments)]

    def images(perturbation):
        params = {"device": device} | ({"max_iter": 1} if quick else {})
        return Part(
            f"{'usps' if quick else 'mnist'}, {perturbation}", 100,
            script(
                "clustering_quality", "--data", "usps" if quick else "mnist", "--models", "GMVAE",
                "--seeds", 1, "--perturbation", perturbation, "--params", json.dumps(params),
            ),
            True, r"^(?P<model>GMVAE|start) +(?P<hungarian>\.?[\d.]+)",
        )

    n_rows = 3000 if quick else 1_000_000
    of_parts = "  ".join(rf"(?P<{name}>\S+) / \S+" for name in (*PARTS, "all"))
    return [
        Part(
            "tests", 120, [sys.executable, "-c", "import gpu_check; exit(gpu_check.run_tests())"],
            False, r"^(?P<tests>.*\b(passed|skipped|failed)\b.* in .*s.*)$",
        ),
        Part(
            "speed", 60,
            script("speed", "--device", device, "--rounds", 2 if quick else 10,
                   *(["--sizes", "iris"] if quick else [])),
            False,
            r"^\| (?P<size>\w+) \| (?P<taken>\w+) \| (?P<ms>[\d.]+) \|.*?"
            r"\| (?P<of_by_hand>[\d.]+) \|[^|]*\|[^|]*\|$",
        ),
        images("both"),
        images("adversarial"),
        Part(
            f"{n_rows:,} x 50, K = 20", 120,
            script(
                "scale", "--rows", n_rows, "--features", 50, "--dtype", "float32", "--clusters", 20,
                "--device", device, *(["--max-iter", 1] if quick else []),
            ),
            False, rf"^{n_rows:,}  .*?  {of_parts}  .* (?P<ARI>\S+)$",
        ),
    ]


def run(part, seconds):
    """Run a part and show what it prints; return its result in words."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(
        [str(PROJECT), str(HERE), os.environ.get("PYTHONPATH", "")]
    )}
    process = subprocess.Popen(
        part.command, cwd=HERE, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    try:
        output, _ = process.communicate(timeout=seconds)
        end = f"ended with {process.returncode}" if process.returncode else ""
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # processes of its own too
        output, _ = process.communicate()
        end = f"not done after {seconds:.0f} s"
    print(output, flush=True)
    found = [
        " ".join(f"{name} {value}" for name, value in line.groupdict().items())
        for line in re.finditer(part.result, output, re.MULTILINE)
    ]
    return "; ".join([*found, *([end] if end else [])]) or "nothing to read off"


def main():
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("=====")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--minutes", type=float, default=8.0, help="in all")
    options = parser.parse_args()
    if torch.device(options.device).type == "cuda" and not torch.cuda.is_available():
        sys.exit("There is no GPU here; --device cpu --quick shows that the script runs.")
    end, lines = time.monotonic() + 60 * options.minutes, []
    for part in parts_of(options):
        began = time.monotonic()
        if part.needs_data and "SKGMVAE_DATA" not in os.environ:
            result = "skipped: SKGMVAE_DATA is not set"
        elif end - began < part.seconds:
            result = f"skipped: {end - began:.0f} s are left, of {part.seconds} that it may take"
        else:
            print(f"== {part.name}", flush=True)
            result = run(part, part.seconds)
        lines.append([part.name, f"{time.monotonic() - began:.0f}", result])
        print(*lines[-1], sep="  ", flush=True)
    name = torch.cuda.get_device_name() if options.device != "cpu" else "cpu"
    print(f"\n{name}, torch {torch.__version__}\n")
    print(table([["part", "seconds", "result"], *lines]))


if __name__ == "__main__":
    main()
