"""deploy/helm and deploy/k8s, checked or rendered.

    main.py check   what is shipped, against the schemas, the rules of check.py, and the binary
    main.py render  writes what is made of other files: the chart's files, and deploy/k8s

Every rendering is checked: the chart with its default values and with those of its directory `ci`, and every overlay.
"""

import argparse
import json
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

import check
import faults
from render import Renderer, output
from start import Starter


def strict(schema):
    """A schema of a CRD that refuses fields which it does not name, as `kubectl` does."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
    if "properties" in schema and schema.get("type") == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def crds(files):
    """The schemas of custom resources, by version and kind."""
    found = {}
    for file in files:
        crd = yaml.safe_load(Path(file).read_text())["spec"]
        for version in crd["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            found[(f"{crd['group']}/{version['name']}", crd["names"]["kind"])] = schema
    return found


def made_files(root, weir):
    """Every file that is made of others, by its path: its text."""
    chart = "deploy/helm/weir/files/"
    return {
        chart + "topology.json": output(weir, "topology", "list"),
        chart + "weir-alerts.yml": (root / "deploy/prometheus/weir-alerts.yml").read_text(),
    }


def rendered_files(renderer):
    return {f"deploy/k8s/{path}": text for path, text in renderer.kubernetes_files().items()}


def drift(root, wanted):
    for path, text in wanted.items():
        if not (root / path).is_file() or (root / path).read_text() != text:
            yield f"{path} is not what it is made of: cargo xtask kubernetes render"


def facts(root, weir, crd_files):
    units = {}
    for unit in (root / "deploy/systemd").glob("*.service"):
        text = unit.read_text()
        units[re.search(r"^ExecStart=\S+ (\w+)", text, re.M)[1]] = int(re.search(r"^TimeoutStopSec=(\d+)$", text, re.M)[1])
    return check.Facts(
        weir=weir,
        topology=json.loads(output(weir, "topology", "list")),
        alerts=yaml.safe_load((root / "deploy/prometheus/weir-alerts.yml").read_text()),
        keys=set(re.findall(r"`(WEIR_\w+)`", output(weir, "config"))),
        grace_s=units, sensing=(root / "docs/sensing.md").read_text(), crds=crds(crd_files),
    )


def renderings(renderer):
    yield "the chart", renderer.helm_objects()
    for values in sorted((renderer.chart / "ci").glob("*.yaml")):
        yield f"the chart with {values.name}", renderer.helm_objects("--values", values)
    # What `helm upgrade --reuse-values` makes of a release that was installed before there was such a section.
    yield "the chart without the section fastpath", renderer.helm_objects("--set-json", "fastpath=null")
    for overlay in sorted((renderer.root / "deploy/k8s/overlays").iterdir()):
        yield f"the overlay {overlay.name}", renderer.kustomize_objects(overlay)
    yield "the base", renderer.kustomize_objects("base")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["check", "render"])
    for name in ("root", "weir", "helm", "kustomize"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--crd", action="append", default=[])
    parser.add_argument("--brokers", help="a broker with mutual TLS, to start every role on")
    parser.add_argument("--kafka-files", help="the directory with the files of its user")
    arguments = parser.parse_args()
    root, weir = Path(arguments.root), arguments.weir
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    renderer = Renderer(root, arguments.helm, arguments.kustomize)
    if arguments.what == "render":
        # The chart's own files come first: the rest is rendered from them.
        for wanted in (lambda: made_files(root, weir), lambda: rendered_files(renderer)):
            for path, text in wanted().items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
        return 0
    found, summary = checked(root, renderer, facts(root, weir, arguments.crd))
    if not found and arguments.brokers:
        found = started(renderer, weir, arguments)
        summary += ", every role started"
    for fault in found:
        print(fault, file=sys.stderr)
    print(summary)
    return 1 if found else 0


def checked(root, renderer, known):
    """The faults of what is shipped, and what was looked at."""
    found = [*drift(root, made_files(root, known.weir)), *drift(root, rendered_files(renderer))]
    chart = yaml.safe_load((renderer.chart / "Chart.yaml").read_text())
    if output(known.weir, "--version").split() != ["weir", chart["appVersion"]]:
        found.append(f"the chart is for weir {chart['appVersion']}, which is not the binary's version")
    renderer.lint()
    count = 0
    for name, objects in renderings(renderer):
        found += [f"{name}: {fault}" for fault in check.faults(objects, known)]
        count += len(objects)
    found += [*faults.missed(everything(renderer), of_vault(renderer), known, check.RULES), *faults.taken(renderer)]
    return found, f"{count} objects in all renderings, {len(check.RULES)} rules, {len(faults.FAULTS) + len(faults.FAULTS_OF_VAULT)} planted faults, {len(faults.REFUSED)} refused values"


def everything(renderer):
    return renderer.helm_objects("--values", renderer.chart / "ci/everything-values.yaml")


def of_vault(renderer):
    return renderer.helm_objects("--values", renderer.chart / "ci/vault-values.yaml")


def started(renderer, weir, arguments):
    """The faults of roles that are started as their pods start them."""

    with tempfile.TemporaryDirectory() as keys:
        subprocess.run([weir, "keys", "make", keys], check=True, stdout=subprocess.DEVNULL)
        starter = Starter(weir, keys, arguments.brokers, arguments.kafka_files, f"kubernetes-{secrets.token_hex(6)}-")
        lines = (renderer.root / "examples/access.jsonl").read_text()
        return list(starter.run(everything(renderer), lines))


if __name__ == "__main__":
    sys.exit(main())
