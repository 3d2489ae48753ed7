"""What a run does with the machine it is on.

Seen red: ``hold_memory`` without M_MMAP_MAX (each block is mapped anew: 16,384 faults), called on any device.
"""

import platform

import pytest
import torch

from unplateau.train import machine
from unplateau.train.machine import hold_memory

BLOCK = 1 << 26  # bytes
PAGE = 1 << 12


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the system's own allocator is left as it is")
@pytest.mark.usefixtures("one_thread")
def test_a_block_that_is_freed_is_not_asked_for_again():
    import resource

    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(BLOCK, dtype=torch.uint8)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    hold_memory(torch.device("cpu"))
    assert min(faults() for _ in range(10)) < BLOCK // PAGE // 2  # the first ones make room


def test_memory_is_left_as_it_is_on_a_card_and_under_another_library(monkeypatch):
    asked = []
    monkeypatch.setattr(machine.ctypes, "CDLL", asked.append)
    hold_memory(torch.device("cuda"))
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    hold_memory(torch.device("cpu"))

    assert asked == []
