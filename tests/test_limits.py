"""docs/limits.md is what docs/limits.py writes."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_page_is_up_to_date():
    script = "import runpy; print(runpy.run_path('docs/limits.py')['limits'](), end='')"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True)
    assert (ROOT / "docs" / "limits.md").read_text(encoding="utf-8") == done.stdout
