"""One session per promise; ``nox`` keeps them all, and ``.ci/run`` runs just that."""

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
    install(session, "typing", "-e", ".[cli]")
    session.run("mypy", "src", "tests/typing", "examples")
    session.run("pyright", "--project", "pyproject.toml")
    session.run("pyright", "--verifytypes", "rtproto", "--ignoreexternal")


@nox.session
def tests(session: nox.Session) -> None:
    """Everything behaves as told; ``nox -s tests -- --corpus PATH`` adds any capture."""
    install(session, "tests", "-e", ".[cli]")
    session.run("pytest", "tests", "-n", "auto", *session.posargs)


@nox.session
def standalone(session: nox.Session) -> None:
    """The built package works with its two dependencies and nothing else."""
    session.install(".")
    session.run("python", "-I", "-W", "error", "tests/standalone.py")
