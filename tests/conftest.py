"""What every test starts from."""

import os
import signal
from pathlib import Path

# A runner started in the background ignores Ctrl-C, and so would every process of a test.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Read when Triton is imported, which some builds of PyTorch do by themselves: without a
# card its kernels are interpreted.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")
