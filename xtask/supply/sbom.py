"""Whether a bill of materials is one, and names what is in the binary.

    sbom.py BILL CRATES

CRATES is what `cargo tree` says that the binary is made of, `name vVERSION` a line.
"""

import json
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def main():
    text = Path(sys.argv[1]).read_text()
    bill = json.loads(text)
    error = JsonStrictValidator(SchemaVersion.from_version(bill["specVersion"])).validate_str(text)
    if error is not None:
        sys.exit(f"{sys.argv[1]} is no bill of materials: {str(error).splitlines()[0]}")
    listed = {(part["name"], part["version"]) for part in bill["components"]}
    root = bill["metadata"]["component"]
    crates = set()
    for line in Path(sys.argv[2]).read_text().splitlines():
        name, version = line.split()[:2]
        crates.add((name, version.removeprefix("v")))
    missing = sorted(crates - listed - {(root["name"], root["version"])})
    if missing:
        sys.exit(f"in the binary and not in the bill: {missing}")
    unlicensed = sorted(part["name"] for part in bill["components"] if not part.get("licenses"))
    if unlicensed:
        sys.exit(f"without a licence in the bill: {unlicensed}")
    print(f"{len(listed)} components, all {len(crates)} crates of the binary among them, each with its licence")


if __name__ == "__main__":
    main()
