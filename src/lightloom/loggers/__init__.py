"""Loggers that a resumed run continues."""
