"""The garbage collector, set for a process that makes many short-lived objects in bulk."""

import gc


def collect_seldom() -> None:
    """What is there by now stays: it is not looked at any more. The rest is looked at after 100,000 new objects in
    place of 700, because a batch makes as many geometries, and each look would go through all of them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
