"""``python -m bench.encode``: instructions and nanoseconds of masking and encoding, by the Rust benchmark ``encode``.

Instructions are counted by callgrind over two runs that differ only in how often they do the operation, so that starting the process does
not count.
"""

import json
import re
import subprocess
import tempfile
from pathlib import Path

from bench.results import Result, write

HOUSE = Path(__file__).resolve().parent.parent
BUILD = ["cargo", "bench", "--locked", "--quiet", "-p", "indelible-core", "--bench", "encode", "--no-run", "--message-format=json"]
OPERATIONS = {"encode": "encode an event", "redact": "mask one body", "redact_and_encode": "mask two bodies and encode"}
ITERATIONS = 200


def executable() -> str:
    built = subprocess.run(BUILD, cwd=HOUSE, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = [
        message.get("executable") for message in map(json.loads, built.splitlines()) if message.get("target", {}).get("name") == "encode"
    ]
    return next(path for path in found if path)


def count(binary: str, operation: str, iterations: int) -> int:
    with tempfile.NamedTemporaryFile(prefix="indelible-bench-") as counts:
        command = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={counts.name}"]
        subprocess.run([*command, binary, "--iterations", str(iterations), operation], check=True, capture_output=True)
        text = Path(counts.name).read_text()
    totals = re.findall(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
    return max(map(int, totals))


def main() -> None:
    binary = executable()
    printed = subprocess.run([binary], check=True, stdout=subprocess.PIPE, text=True).stdout
    print(printed, end="")
    for operation, title in OPERATIONS.items():
        instructions = (count(binary, operation, 2 * ITERATIONS) - count(binary, operation, ITERATIONS)) / ITERATIONS
        print(f"{title:<40} {instructions:>8.0f} instructions")
        write(Result("", f"{title}, instructions", instructions, ""))
    for title, nanoseconds in re.findall(r"^(.*?) +(\d+) ns$", printed, re.MULTILINE):
        write(Result("", title, float(nanoseconds), "ns"))


if __name__ == "__main__":
    main()
