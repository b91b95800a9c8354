"""Coverage-guided fuzzing of everything that reads what a client sends.

A target is a module below `targets/`: its function `run` gets bytes, has them read as if a client had sent them, and
asserts what must hold for any bytes. `application` is what most targets send them to, `fuzzer` runs one target under
atheris, and `python -m fuzz` several of them. docs/fuzzing.md says how to use it, corpus/README.md what is kept.
"""

from pathlib import Path

TARGETS = ("connection", "requests", "forms", "images", "v1", "v2")
CORPUS = Path(__file__).parent / "corpus"
FOUND = Path(__file__).parent.parent.parent / "build/fuzz"  # what runs have found: inputs that reach new code, or fail
