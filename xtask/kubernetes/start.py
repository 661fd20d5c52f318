"""Every command line of the manifests, as its pod would be started: with its environment, its secrets and its probes.

Secrets are made by `weir keys make` and laid out as Kubernetes lays them out: links, readable by a group. The init
container's own command makes of them what Weir takes. A role has to become ready, by the probes of its pod, and to end in
order when it is told to, within its grace.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import check

PATIENCE_S = 120

# What a build without the feature `ebpf` says.
UNTRACED = "this build of Weir cannot trace"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Place:
    """Stands for a pod's file system: what is mounted somewhere lies below a directory of ours."""

    def __init__(self, root, secrets):
        self.root, self.secrets = Path(root), secrets

    def mount(self, spec, container):
        mounts = {mount["mountPath"]: mount["name"] for mount in container.get("volumeMounts", [])}
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        self.mounts = {}
        for path, name in mounts.items():
            target = self.root / name
            if not target.exists():
                target.mkdir()
                if "secret" in volumes.get(name, {}):
                    self.lay_out(target, volumes[name]["secret"])
            self.mounts[path] = target

    def lay_out(self, target, secret):
        """As Kubernetes does: the files lie in a directory of a moment, and what is seen are links."""
        moment = target / "..2026_11_26"
        moment.mkdir()
        (target / "..data").symlink_to(moment.name)
        files = self.secrets[secret["secretName"]]
        names = [(item["key"], item["path"]) for item in secret.get("items", [])] or [(name, name) for name in files]
        for key, path in names:
            (moment / path).write_text(files[key])
            (moment / path).chmod(secret["defaultMode"])
            (target / path).symlink_to(f"..data/{path}")

    def here(self, text):
        """A text with the paths of the pod, with those of ours."""
        secrets = [path for path in self.mounts if path.startswith("/secret/")]
        places = {path: str(target) for path, target in self.mounts.items()}
        places["/secret/*"] = " ".join(places[path] for path in secrets)
        paths = "|".join(map(re.escape, sorted(places, key=len, reverse=True)))
        return re.sub(rf"(?<![\w/.-])({paths})(?![\w.-])", lambda found: places[found[1]], text)


def environment(objects, container, place, changes):
    said = dict(check.config(objects)) if container.get("envFrom") else {}
    for entry in container.get("env", []):
        said[entry["name"]] = entry.get("value", "somebody-0")
    said = {name: place.here(str(value)) for name, value in said.items()}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
    return {**clean, **said, **changes}


class Starter:
    def __init__(self, weir, keys, brokers, files):
        """`keys` is what `weir keys make` made; `files` has those of a user of `brokers`."""
        self.weir, self.brokers, self.files = weir, brokers, Path(files)
        read = lambda directory: {f.name: f.read_text() for f in Path(directory).iterdir() if f.is_file()}
        ours = {"ca.crt": "ca.pem", "user.crt": "client.pem", "user.key": "client.key"}
        user = {name: (self.files / file).read_text() for name, file in ours.items()}
        self.secrets = {
            "weir-keys-collector": read(Path(keys) / "collector"),
            "weir-keys-enforcer": read(Path(keys) / "enforcer"),
            "weir-webhook": {"secret": "not one of anybody's\n"},
            "weir-hec": {"token": "not one of anybody's\n"},
            **{user_name: user for _, user_name, _ in check.ROLES.values()},
        }

    def make_topics(self, prefix):
        """As Strimzi would, with as few partitions and copies as may be."""
        files = self.files
        said = {
            "WEIR_BROKERS": self.brokers, "WEIR_KAFKA_PREFIX": prefix, "WEIR_PARTITIONS": "1",
            "WEIR_KAFKA_REPLICATION": "1", "WEIR_KAFKA_SECURITY_PROTOCOL": "ssl", "WEIR_KAFKA_CA_FILE": str(files / "ca.pem"),
            "WEIR_KAFKA_CERT_FILE": str(files / "client.pem"), "WEIR_KAFKA_KEY_FILE": str(files / "client.key"),
        }
        subprocess.run([self.weir, "topology", "apply"], env={**os.environ, **said}, check=True, stdout=subprocess.DEVNULL)

    def started(self, objects, prefix):
        """The pods that do not become ready, or do not end in order."""
        self.make_topics(prefix)
        for thing, role, spec in check.pods(objects):
            who = check.name_of(thing)
            with tempfile.TemporaryDirectory() as root:
                place = Place(root, self.secrets)
                for container in spec.get("initContainers", []):
                    place.mount(spec, container)
                    command = [place.here(word) for word in container["command"]]
                    done = subprocess.run(command, capture_output=True, text=True, check=False)
                    if done.returncode != 0:
                        yield f"{who}, {container['name']}: {done.stderr.strip()}"
                container = spec["containers"][0]
                place.mount(spec, container)
                yield from self.run(who, role, objects, spec, container, place, prefix)

    def run(self, who, role, objects, spec, container, place, prefix):
        port = free_port()
        # What differs from a cluster: addresses that are there, and topics of this run.
        changes = {
            "WEIR_METRICS_ADDR": f"127.0.0.1:{port}", "WEIR_BROKERS": self.brokers,
            "WEIR_KAFKA_PREFIX": prefix, "WEIR_NODE": f"check-{role}",
        }
        words = [place.here(str(word)) for word in container["args"]]
        words = [word.replace("0.0.0.0:50051", "127.0.0.1:0") for word in words]
        log_path = Path(place.root) / "log"
        with open(log_path, "w") as log:
            process = subprocess.Popen(
                [self.weir, *words], env=environment(objects, container, place, changes),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=place.root,
            )
        try:
            deadline, waiting = time.monotonic() + PATIENCE_S, ["startupProbe", "livenessProbe", "readinessProbe"]
            while waiting and process.poll() is None and time.monotonic() < deadline:
                if answers(port, container[waiting[0]]["httpGet"]["path"]):
                    waiting.pop(0)
                else:
                    time.sleep(0.1)
            said = log_path.read_text()
            if waiting and UNTRACED in said and "CI" not in os.environ:
                print(f"{who} was not started: this build cannot trace", file=sys.stderr)
                return
            if waiting:
                yield f"{who}: its {waiting[0]} was not answered: {log_path.read_text()[-2000:]}"
                return
            process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(spec["terminationGracePeriodSeconds"])
            except subprocess.TimeoutExpired:
                yield f"{who} does not end within its grace"
                return
            if code != 0:
                yield f"{who} ended with {code}: {log_path.read_text()[-2000:]}"
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def answers(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=3) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
