"""Cards: peak dense FLOP/s by number format, memory, and the vendor's sheet that says so.

Dense means without sparsity. Consumer cards run float16 matrices at half rate where they accumulate
in float32, which is what autocast does; that half is the number here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

T = 1e12  # FLOP/s
GIB = 1 << 30  # bytes


@dataclass(frozen=True, slots=True)
class Card:
    """One card.

    >>> card = find("NVIDIA GeForce RTX 4070")
    >>> card.name, card.memory >> 30, f"{card.peak('float16'):.3g}"
    ('RTX 4070', 12, '5.83e+13')
    """

    name: str
    pattern: str  # in lower case, bounded by what is no letter or digit
    half: float  # TFLOP/s of float16 and bfloat16 matrices, accumulated in float32
    single: float  # TFLOP/s of float32 without matrix units
    gib: int  # 0 where the name fits cards of several sizes
    sheet: str
    bfloat16: bool = True  # False: bfloat16 is emulated

    @property
    def memory(self) -> int:
        return self.gib * GIB

    @property
    def source(self) -> str:
        return f"{self.name}: {self.sheet}"

    def peak(self, dtype: str) -> float:
        """FLOP/s for matrices of ``dtype``; float32 is counted without TF32."""
        half = dtype == "float16" or (dtype == "bfloat16" and self.bfloat16)
        return (self.half if half else self.single) * T


TURING, AMPERE = "NVIDIA Turing architecture whitepaper", "NVIDIA Ampere GA102 architecture whitepaper"
ADA, BLACKWELL = "NVIDIA Ada GPU architecture whitepaper", "NVIDIA RTX Blackwell GPU architecture whitepaper"
#: where a pattern is part of another, the longer stands first
CARDS = (
    Card("H100 NVL", r"h100[ -]?nvl", 835.0, 60.0, 94, "NVIDIA H100 data sheet"),
    Card("H100 PCIe", r"h100[ -]?pcie", 756.0, 51.0, 80, "NVIDIA H100 data sheet"),
    Card("H100 SXM", r"h100(?:[ -]?sxm\d?|[ -]80gb hbm3)?", 989.4, 67.0, 80, "NVIDIA H100 data sheet"),
    Card("H200", r"h200", 989.4, 67.0, 141, "NVIDIA H200 data sheet"),
    Card("H800", r"h800", 989.4, 67.0, 80, "NVIDIA H100 data sheet, the same chip"),
    Card("B200", r"g?b200", 2250.0, 80.0, 180, "NVIDIA DGX B200 data sheet"),
    Card("A100 80GB", r"a100[ -](?:sxm\d?|pcie)?[ -]?80gb?", 312.0, 19.5, 80, "NVIDIA A100 data sheet"),
    Card("A100 40GB", r"a100[ -](?:sxm\d?|pcie)?[ -]?40gb?", 312.0, 19.5, 40, "NVIDIA A100 data sheet"),
    Card("A100", r"a100", 312.0, 19.5, 0, "NVIDIA A100 data sheet"),
    Card(
        "V100 32GB", r"v100[ -](?:sxm\d?|pcie)?[ -]?32gb?", 125.0, 15.7, 32, "NVIDIA V100 data sheet", False
    ),
    Card(
        "V100 16GB", r"v100[ -](?:sxm\d?|pcie)?[ -]?16gb?", 125.0, 15.7, 16, "NVIDIA V100 data sheet", False
    ),
    Card("V100", r"v100", 125.0, 15.7, 0, "NVIDIA V100 data sheet", False),
    Card("L40S", r"l40s", 362.0, 91.6, 48, "NVIDIA L40S data sheet"),
    Card("L40", r"l40", 181.0, 90.5, 48, "NVIDIA L40 data sheet"),
    Card("L4", r"l4", 121.0, 30.3, 24, "NVIDIA L4 data sheet"),
    Card("A10G", r"a10g", 70.0, 31.5, 24, "NVIDIA A10G data sheet"),
    Card("A10", r"a10", 125.0, 31.2, 24, "NVIDIA A10 data sheet"),
    Card("A40", r"a40", 149.7, 37.4, 48, "NVIDIA A40 data sheet"),
    Card("RTX A6000", r"a6000", 154.8, 38.7, 48, "NVIDIA RTX A6000 data sheet"),
    Card("T4", r"t4", 65.0, 8.1, 16, "NVIDIA T4 data sheet", False),
    Card("P100", r"p100", 21.2, 10.6, 16, "NVIDIA P100 data sheet, no matrix units", False),
    Card("MI300X", r"mi300x", 1307.4, 163.4, 192, "AMD Instinct MI300X data sheet"),
    Card("MI250X", r"mi250x", 383.0, 47.9, 128, "AMD Instinct MI250X data sheet"),
    Card("RTX 5090", r"5090", 209.5, 104.8, 32, BLACKWELL),
    Card("RTX 5080", r"5080", 112.6, 56.3, 16, BLACKWELL),
    Card("RTX 5070 Ti", r"5070[ -]?ti", 87.9, 43.9, 16, BLACKWELL),
    Card("RTX 5070", r"5070", 61.7, 30.9, 12, BLACKWELL),
    Card("RTX 4090", r"4090", 165.2, 82.6, 24, ADA),
    Card("RTX 4080 Super", r"4080[ -]?super", 104.4, 52.2, 16, ADA),
    Card("RTX 4080", r"4080", 97.5, 48.7, 16, ADA),
    Card("RTX 4070 Ti Super", r"4070[ -]?ti[ -]?super", 88.2, 44.1, 16, ADA),
    Card("RTX 4070 Ti", r"4070[ -]?ti", 80.2, 40.1, 12, ADA),
    Card("RTX 4070 Super", r"4070[ -]?super", 70.9, 35.5, 12, ADA),
    Card("RTX 4070", r"4070", 58.3, 29.1, 12, ADA),
    Card("RTX 4060 Ti", r"4060[ -]?ti", 44.1, 22.1, 8, ADA),
    Card("RTX 4060", r"4060", 30.2, 15.1, 8, ADA),
    Card("RTX 3090 Ti", r"3090[ -]?ti", 80.0, 40.0, 24, AMPERE),
    Card("RTX 3090", r"3090", 71.0, 35.6, 24, AMPERE),
    Card("RTX 3080 Ti", r"3080[ -]?ti", 68.2, 34.1, 12, AMPERE),
    Card("RTX 3080", r"3080", 59.5, 29.8, 10, AMPERE),
    Card("RTX 3070", r"3070", 40.6, 20.3, 8, AMPERE),
    Card("RTX 3060 Ti", r"3060[ -]?ti", 32.4, 16.2, 8, AMPERE),
    Card("RTX 3060", r"3060", 25.5, 12.7, 12, AMPERE),
    Card("RTX 2080 Ti", r"2080[ -]?ti", 53.8, 13.4, 11, TURING, False),
)
#: nanoGPT's estimate_mfu divides by this, whatever the card
A100_BF16 = 312.0 * T  # FLOP/s, "A100 GPU bfloat16 peak flops is 312 TFLOPS" (nanoGPT, model.py)
NAME = 200  # characters of a name that are looked at


def find(name: str) -> Card | None:
    """The card that ``name`` speaks of; None where it names none, or a card that is not in the table.

    >>> find("125M-single-parquet-4070").name, find("run-14070-b"), find("llama-1024")
    ('RTX 4070', None, None)
    """
    low = name[:NAME].lower().replace("_", "-")
    return next((c for c in CARDS if re.search(rf"(?<![a-z0-9.]){c.pattern}(?![a-z0-9])", low)), None)
