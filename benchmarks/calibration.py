"""What the strengths of the causes are worth as probabilities: refits KNOTS of src/unplateau/calibration.py.

    python benchmarks/calibration.py

Fitted on the planted corpus of this folder; the errors are of maps that were fitted without the text that
the runs were trained on. docs/accuracy.md shows them beside runs that no map was fitted on.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from accuracy_parts import calibration, judge, planted
from accuracy_parts.page import number

from unplateau.calibration import KNOTS


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        results = judge.each(judge.judged, planted.corpus(Path(scratch)))
    found = calibration.pairs(results)
    knots = calibration.isotonic(found)
    print("KNOTS = (")
    print("".join(f"    {knot},\n" for knot in knots) + ")")
    print("as they stand in the code" if knots == KNOTS else "the code has others: put these there")
    unfit = calibration.left_out(found)
    for name, chosen in (("all", lambda _: True), ("not refuted", lambda p: p.verdict != "refuted")):
        raw = calibration.expected_error([(p.strength, p.held) for p in found if chosen(p)])
        new = calibration.expected_error([(value, p.held) for p, value in unfit if chosen(p)])
        n = sum(chosen(p) for p in found)
        print(
            f"{name}: expected calibration error {number(raw)} of strengths, {number(new)} left out by text, n = {n}"
        )


if __name__ == "__main__":
    main()
