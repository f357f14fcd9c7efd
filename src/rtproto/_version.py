"""The version is said once, here."""

__version__ = "0.1.0"
