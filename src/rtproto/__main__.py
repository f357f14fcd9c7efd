"""``rtproto`` and ``python -m rtproto`` are the same command; without its extra it says what to install."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from rtproto.cli import cli  # noqa: PLC0415 - the core does not need it

        cli()
    except ModuleNotFoundError as missing:
        if str(missing.name).partition(".")[0] not in {"click", "rich"}:
            raise
        sys.exit("rtproto: the command line needs its extra: pip install 'rtproto[cli]'")


if __name__ == "__main__":
    main()
