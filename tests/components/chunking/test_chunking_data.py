import subprocess
import sys

import pytest

from places import ROOT
from shared import needs_data

INVARIANTS = ROOT / "benchmarks" / "invariants.py"


@pytest.mark.data
@pytest.mark.slow
@needs_data("chroma-chunking")
@needs_data("korquad1-dev")
@needs_data("scifact")
@needs_data("documents")
def test_every_option_keeps_its_promises_on_a_sample_of_all_evaluation_sets() -> None:
    """Of each set every 40th document; `benchmarks/invariants.py` without `--every` reads all."""
    done = subprocess.run(
        [sys.executable, str(INVARIANTS), "--every", "40"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no promise broken" in done.stdout
