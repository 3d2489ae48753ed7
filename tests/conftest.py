"""What all tests share. CI draws the same examples each time, so that a red run is a change's fault; developers draw new ones."""

import os

import pytest
from hypothesis import settings

from browser import chromium, chromium_of_module  # noqa: F401 - fixtures

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(scope="module")
def one_thread():
    """torch on one thread: faster for what is small, and the same sums on every machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
