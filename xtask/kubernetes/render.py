"""The chart as Helm renders it, deploy/k8s as Kustomize builds it, and deploy/k8s as the chart gives it.

The chart is the one source: deploy/k8s/base is the chart with its default values, and a component is what one value adds.
"""

import subprocess
from pathlib import Path

import yaml

# What `helm template` tells charts: its own default is a version that nobody runs.
KUBERNETES = "1.34"

# deploy/k8s/base, and what each component adds to it.
BASE = ["kafka.resources=false"]
COMPONENTS = {
    "strimzi": ["kafka.resources=true"],
    "trace": ["kafka.resources=false", "collector.log.enabled=false", "collector.trace.enabled=true"],
    "export": ["kafka.resources=false", "export.enabled=true"],
    "keda": ["kafka.resources=false", "processor.autoscale.enabled=true"],
    "monitoring": ["kafka.resources=false", "monitoring.enabled=true"],
}
# Objects that a component changes, or leaves out, instead of adding them: its kustomization.yaml has the patch.
PATCHED = {
    "keda": {("Deployment", "weir-processor")},
    "trace": {("DaemonSet", "weir-collector"), ("ServiceAccount", "weir-collector")},
}

HEADER = "# Rendered from deploy/helm/weir by `cargo xtask kubernetes render`: change it there.\n"


def output(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


class Renderer:
    def __init__(self, root, helm, kustomize):
        self.root, self.helm, self.kustomize = Path(root), helm, kustomize
        self.chart = self.root / "deploy/helm/weir"

    def helm_text(self, *more):
        return output(self.helm, "template", "weir", self.chart, "--namespace", "weir", "--kube-version", KUBERNETES, *more)

    def helm_objects(self, *more):
        return objects(self.helm_text(*more))

    def refusal(self, *more):
        """What Helm says of values that it refuses."""
        command = [self.helm, "template", "weir", self.chart, "--kube-version", KUBERNETES, *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stderr if done.returncode != 0 else ""

    def lint(self):
        output(self.helm, "lint", "--strict", self.chart)

    def kustomize_objects(self, directory):
        return objects(output(self.kustomize, "build", self.root / "deploy/k8s" / directory))

    def kubernetes_files(self):
        """Every rendered file of deploy/k8s, by its path."""
        base = documents(self.helm_text(*settings(BASE)))
        files = {"base/weir.yaml": join(base.values())}
        for name, values in COMPONENTS.items():
            ours = documents(self.helm_text(*settings(values)))
            changed = {identity for identity in base if ours.get(identity) != base[identity]}
            if changed != PATCHED.get(name, set()):
                raise SystemExit(f"the component {name} changes {sorted(changed)}, which no patch says")
            files[f"components/{name}/weir.yaml"] = join(
                text for identity, text in ours.items() if identity not in base
            )
        return files


def settings(values):
    return [word for value in values for word in ("--set", value)]


def objects(text):
    return [document for document in yaml.safe_load_all(text) if document]


def documents(text):
    """Each document's text, by kind and name, in the order in which Helm gives them."""
    found = {}
    for part in text.split("\n---\n"):
        document = yaml.safe_load(part)
        if document:
            lines = [line for line in part.removeprefix("---\n").splitlines() if not line.startswith("# Source: ")]
            found[(document["kind"], document["metadata"]["name"])] = "\n".join(lines).strip() + "\n"
    return found


def join(texts):
    return HEADER + "".join("---\n" + text for text in texts)
