"""What ``torch.compile`` needs beside torch."""

import os
import shutil
import sys


def missing_compiler() -> str | None:
    """The name of the C++ compiler that is called for, or None where it is found."""
    name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    return None if shutil.which(name) else name
