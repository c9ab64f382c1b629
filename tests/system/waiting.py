"""Waiting for a condition, rather than for a time."""

import time


def wait_until(condition, timeout=10.0, what="the condition", pause=0.02):
    """The first true result of condition(); AssertionError after the timeout."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s in vain for {what}")
        time.sleep(pause)
