#!/usr/bin/env -S python

# /// script
# requires-python = ">=3.11"
# dependencies = ["nox>=2025.2.9"]
# ///

"""Every check of this project: ``nox --list`` names them, ``nox -s NAME`` runs one.

Arguments after ``--`` go to the session: ``nox -s "tests(torch)" -- -k sigmoid``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nox
from packaging.requirements import Requirement

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["tests"]

PROJECT = nox.project.load_toml("pyproject.toml")
LOWEST_PYTHON = PROJECT["project"]["requires-python"].removeprefix(">=")
# Scripts in the order in which to read them.
EXAMPLES = [
    "quickstart",
    "two_gaussians",
    "exam_marks",
    "breast_cancer",
    "from_binary_to_softmax",
    "docstrings",
    "election",
    "on_a_cluster",
    "linear_probe",
]


def groups(*names: str) -> list[str]:
    """Return the requirements of dependency groups in pyproject.toml."""
    return nox.project.dependency_groups(PROJECT, *names)


HAS_GPU = shutil.which("nvidia-smi") is not None

# Requirements of each backend in addition to the group "test", which includes
# array-api-strict.
BACKENDS = {
    "numpy": ["-e.", *groups("formats", "peers")],
    "array_api_strict": ["-e."],
    "torch": ["-e.", *groups("torch")],
    "jax": ["-e.", *groups("jax")],
    "dpnp": ["-e.", *groups("dpnp")],
    "cupy": ["-e.[cuda12]"] if HAS_GPU else ["-e."],
}


def lowest(requirement: str) -> str:
    """Return the lowest version allowed: ``name==1.2.*`` for ``name>=1.2``."""
    parsed = Requirement(requirement)
    (bound,) = (s.version for s in parsed.specifier if s.operator == ">=")
    return f"{parsed.name}=={bound}.*"


@nox.session
@nox.parametrize("backend", list(BACKENDS), ids=list(BACKENDS))
def tests(session: nox.Session, backend: str) -> None:
    """Run the tests on one array library; without a GPU, CuPy is a stand-in."""
    session.install(*BACKENDS[backend], *groups("test"))
    env = {"XLR_TEST_BACKENDS": backend}
    if backend == "cupy" and not HAS_GPU:
        session.warn("No NVIDIA GPU: the stand-in of tests/cupy_stand_in.py runs")
    session.run("pytest", *session.posargs, env=env)


@nox.session
@nox.parametrize("version", ["lowest", "newest"])
def signatures(session: nox.Session, version: str) -> None:
    """Compare the stand-in for CuPy with the real package, which needs no GPU here."""
    (cupy,) = PROJECT["project"]["optional-dependencies"]["cuda12"]
    cupy = lowest(cupy) if version == "lowest" else Requirement(cupy).name
    session.install("-e.", "pytest", cupy)
    session.run("pytest", "tests/backends/test_cupy_stand_in.py", *session.posargs)


@nox.session
def gpu(session: nox.Session) -> None:
    """Run the GPU tests on CuPy and torch; a missing library is an error."""
    if not HAS_GPU:
        session.skip("This machine has no NVIDIA GPU: nvidia-smi is not on the PATH")
    session.install("-e.[cuda12]", *groups("test", "torch"))
    session.run("pytest", "-m", "gpu", *session.posargs, env={"XLR_REQUIRE_GPU": "1"})


@nox.session(default=False)
def coverage(session: nox.Session) -> None:
    """Measure test coverage on NumPy, array-api-strict and torch; fail below 95 %."""
    install = [*BACKENDS["numpy"], *BACKENDS["torch"]]
    session.install(*install, *groups("test", "coverage"))
    session.run("pytest", "--cov", "--cov-report=term", *session.posargs)


@nox.session(default=False)
def mutants(session: nox.Session) -> None:
    """Report small changes to the mathematics that no test detects: ``-- --help``."""
    session.install(*BACKENDS["numpy"], *groups("test", "coverage"))
    session.run("python", "tests/mutate.py", *session.posargs)


@nox.session(python=LOWEST_PYTHON)
def minimums(session: nox.Session) -> None:
    """Run the tests on NumPy and torch with the lowest versions that are allowed."""
    needed = [*PROJECT["project"]["dependencies"], *groups("test")]
    # matplotlib 3.9 uses names that pyparsing 3.3 deprecates.
    session.install("-e.", *map(lowest, needed), *groups("torch"), "pyparsing<3.3")
    # The estimator checks of this scikit-learn need SCIPY_ARRAY_API; xlr does not.
    env = {"XLR_TEST_BACKENDS": "numpy,torch", "SCIPY_ARRAY_API": "1"}
    session.run("pytest", *session.posargs, env=env)


@nox.session(default=False)
def properties(session: nox.Session) -> None:
    """Test changes of the data that leave the model unchanged, on new examples."""
    session.install("-e.", *groups("test"))
    env = {"XLR_PROPERTY_EXAMPLES": "500", "XLR_TEST_BACKENDS": "numpy"}
    session.run("pytest", "-k", "properties", *session.posargs, env=env)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Fit random problems against long double: ``-- 2000 --seed 5000``."""
    session.install("-e.", *groups("test"))
    env = {"OMP_NUM_THREADS": "1"}
    session.run("python", "tests/fuzz/fuzz.py", *session.posargs, env=env)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff, and the words of docstrings and pages."""
    session.install(*groups("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    session.run("python", "tests/check_words.py")


@nox.session
def typing(session: nox.Session) -> None:
    """Check types with mypy."""
    session.install("-e.", *groups("typing"))
    session.run("mypy", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """Run every example; ``nox -s examples -- --backend torch`` on another library."""
    session.install(".[dask,plot]", "statsmodels")  # election.py reads its table
    library = dict(zip(session.posargs, session.posargs[1:])).get("--backend")
    if library in ("torch", "jax"):
        session.install(*groups(library))
    elif library == "cupy":
        session.install(".[cuda12]")
    for name in EXAMPLES:
        options = () if name == "on_a_cluster" else session.posargs  # NumPy only
        session.run("python", f"examples/{name}.py", *options)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into build/site; XLR_DOCS_GALLERY=0 skips the tutorials."""
    session.install("-e.[plot]", *groups("docs"))
    command = "sphinx-build -W --keep-going -b html -c examples/site . build/site"
    session.run(*command.split(), *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Time fits on the CPU; ``nox -s benchmarks -- tiny digits`` picks cells."""
    session.install(".", *groups("benchmarks"))
    session.run("python", "examples/benchmarks/cpu.py", *session.posargs)


@nox.session
def benchmarks_small(session: nox.Session) -> None:
    """Time small fits; ``nox -s benchmarks_small -- iris loop`` picks cells."""
    session.install(".", *groups("benchmarks"))
    session.run("python", "examples/benchmarks/small.py", *session.posargs)


@nox.session(default=False)
def benchmarks_libraries(session: nox.Session) -> None:
    """Time fits on NumPy, torch and JAX; ``-- digits`` picks cells."""
    session.install(".", *groups("benchmarks", "torch", "jax"))
    session.run("python", "examples/benchmarks/libraries.py", *session.posargs)


@nox.session
def benchmarks_many(session: nox.Session) -> None:
    """Time many models at once; ``nox -s benchmarks_many -- cv`` picks cells."""
    session.install(".", *groups("benchmarks"))
    session.run("python", "examples/benchmarks/many.py", *session.posargs)


@nox.session
def benchmarks_middle(session: nox.Session) -> None:
    """Time fits between small and large; ``-- cv`` picks cells."""
    session.install(".", *groups("benchmarks"))
    for variables in ({}, {"OMP_NUM_THREADS": "1"}):
        script = "examples/benchmarks/middle.py"
        session.run("python", script, *session.posargs, env=variables)


@nox.session
def benchmarks_categorical(session: nox.Session) -> None:
    """Time tables of categories; ``-- mixed`` picks cells."""
    session.install(".", "polars", *groups("benchmarks"))
    session.run("python", "examples/benchmarks/categorical.py", *session.posargs)


@nox.session
def benchmarks_sparse(session: nox.Session) -> None:
    """Time sparse models; ``nox -s benchmarks_sparse -- path`` picks cells."""
    session.install(".", *groups("benchmarks"))
    session.run("python", "examples/benchmarks/sparse_models.py", *session.posargs)


@nox.session
def benchmarks_matrices(session: nox.Session) -> None:
    """Time fits on sparse matrices; ``-- text`` picks cells."""
    session.install(".", *groups("benchmarks"))
    session.run("python", "examples/benchmarks/sparse_matrices.py", *session.posargs)


@nox.session(default=False)
def benchmarks_inference(session: nox.Session) -> None:
    """Time fits with standard errors, against statsmodels."""
    session.install(".", *groups("benchmarks"))
    session.run("python", "examples/benchmarks/inference.py", *session.posargs)


@nox.session(default=False)
def benchmarks_cluster(session: nox.Session) -> None:
    """Time fits on Dask, against dask-ml and Spark; ``-- disk`` picks cells."""
    session.install(".[dask]", *groups("benchmarks-cluster"))
    session.run("python", "examples/benchmarks/cluster.py", *session.posargs)


@nox.session(default=False)
def benchmarks_gpu(session: nox.Session) -> None:
    """Time fits on a GPU, against torch and scikit-learn; ``-- fit`` picks cells."""
    if not HAS_GPU:
        session.skip("This machine has no NVIDIA GPU: nvidia-smi is not on the PATH")
    session.install("-e.[cuda12]", *groups("torch"))
    session.run("python", "examples/benchmarks/gpu.py", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build and check the wheel and the source archive; import from the wheel."""
    session.install(*groups("build"))
    folder = Path(session.create_tmp()).resolve() / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(folder), *session.posargs)
    built = sorted(str(path) for path in folder.iterdir())
    session.run("twine", "check", "--strict", *built)
    session.install(*(path for path in built if path.endswith(".whl")))
    # -I imports the installed package, not the folder next to this file.
    session.run("python", "-I", "-c", "import xlr; print(xlr.__version__, xlr)")


if __name__ == "__main__":
    nox.main()
