"""One target under atheris: `python -m fuzz.fuzzer TARGET`, followed by flags, files or folders of libFuzzer.

Only Python code is instrumented, so coverage leads through the service, werkzeug and what Pillow parses in Python, but
not through what is compiled: llhttp, zlib, msgspec, and the codecs of Pillow.
"""

import importlib
import sys
from collections.abc import Iterable

import atheris
from atheris.import_hook import HookManager

from fuzz import FOUND

INSTRUMENTED = {"service", "werkzeug", "PIL"}
# An input may take 10 seconds, and the process 1024 MB, of which the models take 120. The seed is the same each time.
FLAGS = ["-timeout=10", "-rss_limit_mb=1024", "-seed=1", "-print_final_stats=1"]


def main(name: str, flags: list[str]) -> None:
    """Run until a flag says so, or an input fails; libFuzzer ends the process itself."""
    # Operands of comparisons guide mutations as well. But atheris 3.0 never frees the result of a comparison, which for
    # two images is an image.
    operands = name != "images"
    with HookManager(INSTRUMENTED, set(), enable_loader_override=True, trace_dataflow=operands):
        target = importlib.import_module(f"fuzz.targets.{name}")
    FOUND.mkdir(parents=True, exist_ok=True)
    dictionary = FOUND / f"{name}.dict"
    dictionary.write_text(dictionary_of(target.WORDS))
    again = f"{sys.executable} -m fuzz.fuzzer {name}"  # by which libFuzzer starts itself, to merge and to minimise
    files = [f"-dict={dictionary}", f"-artifact_prefix={FOUND / name}-"]
    atheris.Setup([again, *FLAGS, *files, *flags], target.run)
    atheris.Fuzz()


def dictionary_of(words: Iterable[bytes]) -> str:
    """The words in libFuzzer's format, one a line, each byte as hexadecimal digits."""
    return "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
