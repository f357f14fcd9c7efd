"""One session per promise; ``nox`` keeps them all, and ``.ci/run`` runs just that."""

import sys

import nox

nox.needs_version = ">=2025.2.9"
nox.options.error_on_external_run = True
nox.options.reuse_existing_virtualenvs = True

PYPROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, group: str, *packages: str) -> None:
    """What a session needs: the tools of its dependency group, and the package."""
    session.install(*nox.project.dependency_groups(PYPROJECT, group), *packages)


@nox.session
def lint(session: nox.Session) -> None:
    """The code is clean and formatted."""
    install(session, "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def typing(session: nox.Session) -> None:
    """Two type checkers agree on the package, on what its users see, and on what they must refuse."""
    install(session, "typing", "-e", ".[bench,cli,nats,testing]")
    session.run("mypy", "src", "tests/typing", "examples")
    session.run("pyright", "--project", "pyproject.toml")
    session.run("pyright", "--verifytypes", "rtproto", "--ignoreexternal")


@nox.session
def tests(session: nox.Session) -> None:
    """Everything behaves as told; ``nox -s tests -- --corpus PATH`` adds any capture."""
    install(session, "tests", "-e", ".[bench,cli,nats,testing]")
    session.run("pytest", "tests", "-n", "auto", *session.posargs)


@nox.session
def budget(session: nox.Session) -> None:
    """No operation takes more instructions than its budget; ``-- --update`` writes a new one."""
    install(session, "budget", ".")
    session.run("python", "-m", "bench.budget", *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Every benchmark still runs, one quick round of each; its figures mean nothing."""
    install(session, "bench", "-e", ".[bench,cli,nats,testing]")
    session.run("pytest", "bench", "-q", "--benchmark-disable")
    session.run("python", "-m", "bench.ratios", "--rounds", "2")
    quick = ("--processes", "1", "--rounds", "1", "--to", session.create_tmp())
    session.run("python", "-m", "bench.report", *quick)
    if sys.platform == "linux":
        session.run("python", "-m", "bench.load", "--quick")
        session.run("python", "-m", "bench.proxy", "--quick")
        session.run("python", "-m", "bench.fanout", "--quick")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure rtproto beside its peers, and write the results, the chart and the pages that show them."""
    install(session, "bench", "-e", ".[bench,cli]")
    session.run("python", "-m", "bench.report", *session.posargs)


@nox.session
def standalone(session: nox.Session) -> None:
    """The built package works with its two dependencies and nothing else."""
    session.install(".")
    session.run("python", "-I", "-W", "error", "tests/standalone.py")
