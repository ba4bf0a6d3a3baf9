"""The seeds of the tests that learn: others with each LIGHTLOOM_TEST_SEED, as `make test-portable` sets it."""

import os

BLOCK = 1000  # wider than the seeds that one test counts through


def seed(own: int = 0) -> int:
    """A test's own seed, in the block of the environment's number; its own without one."""
    return own + BLOCK * int(os.environ.get("LIGHTLOOM_TEST_SEED", "0"))
