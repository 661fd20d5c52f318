"""Every role of the manifests, started as its pod would be: with its user, command, environment, secrets, rights and probes.

Secrets are laid out as Kubernetes lays them out: links, readable by a group. The init container's own command makes of them
what Weir takes. Each role speaks to the broker by a certificate of its own, with the rights of its KafkaUser and no others. All
together judge a gateway's log, until the enforcer has written what came of it, and end in order within their grace.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding, AclBindingFilter, AclOperation, AclPermissionType, AdminClient, ResourcePatternType, ResourceType,
)

import check

PATIENCE_S = 120

# The gateway's log in the values, and what the enforcer writes when accounts of it were judged and acted on.
LOG = "api.jsonl"
WRITTEN = ("audit_log.jsonl", "enforcement_actions.jsonl", "campaigns.jsonl")

# What a build without the feature `ebpf` says.
UNTRACED = "this build of Weir cannot trace"


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(type=kind) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Place:
    """Stands for a pod's file system: what is mounted somewhere lies below a directory of ours."""

    def __init__(self, root, secrets, group):
        self.root, self.secrets, self.group = Path(root), secrets, group

    def mount(self, spec, container):
        mounts = {mount["mountPath"]: mount["name"] for mount in container.get("volumeMounts", [])}
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        self.mounts = {}
        for path, name in mounts.items():
            target = self.root / name
            if not target.exists():
                target.mkdir()
                # What is empty is everybody's, as an emptyDir is.
                target.chmod(0o777)
                self.lay_out(target, volumes.get(name, {}))
            self.mounts[path] = target

    def lay_out(self, target, volume):
        """As Kubernetes does: the files lie in a directory of a moment, and what is seen are links."""
        kind = next((kind for kind in ("secret", "projected", "configMap") if kind in volume), None)
        if kind is None:
            return
        moment = target / "..2026_11_26"
        moment.mkdir()
        (target / "..data").symlink_to(moment.name)
        for name, _, items in check.sources(volume):
            files = self.secrets[name]
            for key, path in items or [(name, name) for name in files]:
                (moment / path).write_text(files[key])
                (moment / path).chmod(volume[kind]["defaultMode"])
                if self.group is not None:
                    os.chown(moment / path, 0, self.group)
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


def confined(spec, container):
    """What runs a command as the container would: its user and its groups, and no capability but those that it is given.

    Only root can become somebody else: others run it as they are. It ends with us, however we end.
    """
    begun = ["setpriv", "--pdeathsig", "KILL"]
    if os.geteuid() != 0:
        return begun
    pod, added = spec["securityContext"], container["securityContext"]["capabilities"].get("add", [])
    bounds = ",".join(["-all", *(f"+{capability.lower()}" for capability in added)])
    groups = ",".join(str(group) for group in [pod.get("fsGroup", 0), *pod.get("supplementalGroups", [])])
    return [*begun, "--no-new-privs", f"--bounding-set={bounds}", f"--reuid={pod['runAsUser']}",
            f"--regid={pod['runAsGroup']}", f"--groups={groups}"]


class Pod:
    """A process with the command, the environment, the secrets and the probes of a pod."""

    def __init__(self, thing, role, spec, place):
        self.who, self.role, self.spec, self.place = check.name_of(thing), role, spec, place
        self.container, self.port, self.process = spec["containers"][0], free_port(), None
        self.log_path = place.root / "log"

    def prepare(self):
        """Runs the init containers; what they say when they fail."""
        for container in self.spec.get("initContainers", []):
            self.place.mount(self.spec, container)
            command = [self.place.here(word) for word in container["command"]]
            # Kubernetes may run it again.
            for _ in range(2):
                done = subprocess.run([*confined(self.spec, container), *command], capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    return f"{self.who}, {container['name']}: {done.stderr.strip()}"
        self.place.mount(self.spec, self.container)
        return None

    def start(self, weir, objects, changes, alerts):
        """Where alerts are heard is an address of ours."""
        words = [self.place.here(str(word)) for word in self.container["args"]]
        words = [word.replace("0.0.0.0:50051", "127.0.0.1:0") for word in words]
        words = [re.sub(r"^(--fastpath-(?:listen|send-to))=.*", rf"\1={alerts}", word) for word in words]
        changes = {"WEIR_METRICS_ADDR": f"127.0.0.1:{self.port}", "WEIR_NODE": f"check-{self.role}", **changes}
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(
                [*confined(self.spec, self.container), weir, *words], env=environment(objects, self.container, self.place, changes),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.place.root,
            )

    def said(self):
        return self.log_path.read_text()

    def is_untraced(self):
        return UNTRACED in self.said() and "CI" not in os.environ

    def becomes_ready(self):
        """The probe that is not answered, in the order in which a node asks them."""
        deadline, waiting = time.monotonic() + PATIENCE_S, ["startupProbe", "livenessProbe", "readinessProbe"]
        while waiting and self.process.poll() is None and time.monotonic() < deadline:
            if answers(self.port, self.container[waiting[0]]["httpGet"]["path"]):
                waiting.pop(0)
            else:
                time.sleep(0.1)
        return waiting[0] if waiting else None

    def end(self):
        """What is wrong with how it ends."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(self.spec["terminationGracePeriodSeconds"])
            except subprocess.TimeoutExpired:
                return f"{self.who} does not end within its grace"
        if self.process.returncode != 0:
            return f"{self.who} ended with {self.process.returncode}: {self.said()[-2000:]}"
        return None


class Starter:
    def __init__(self, weir, keys, brokers, files, prefix):
        """`keys` is what `weir keys make` made; `files` has the authority whom `brokers` trust."""
        self.weir, self.brokers, self.files, self.prefix = weir, brokers, Path(files), prefix
        read = lambda directory: {f.name: f.read_text() for f in Path(directory).iterdir() if f.is_file()}
        users = {user for _, user, _ in check.ROLES.values()}
        self.secrets = {
            "weir-keys-collector": read(Path(keys) / "collector"),
            "weir-keys-enforcer": read(Path(keys) / "enforcer"),
            "weir-webhook": {"secret": "not one of anybody's\n"},
            "weir-tenants": {"acme.toml": 'failure_mode = "closed"\n', "north.toml": ""},
            "weir-litellm": {"key": "sk-not-one-of-anybodys\n"},
            "weir-fastpath": {"keys.toml": self.alert_keys()},
            "weir-hec": {"token": "not one of anybody's\n"},
            "weir-policy-trust": {"somebody.pub": (Path(keys) / "enforcer/sign.pub").read_text()},
            check.BROKERS_AUTHORITY: {"ca.crt": (self.files / "ca.pem").read_text()},
            **{user: self.certify(user) for user in users},
        }

    def certify(self, user):
        """The secret of a user as Strimzi makes it: its certificate names it, and the authority in it is not the one that signs brokers."""
        with tempfile.TemporaryDirectory() as place:
            crt, key = Path(place) / "user.crt", Path(place) / "user.key"
            subprocess.run(
                ["openssl", "req", "-x509", "-days", "1", "-noenc", "-subj", f"/CN={user}", "-newkey", "ec",
                 "-pkeyopt", "ec_paramgen_curve:P-256", "-config", self.files / "openssl.cnf", "-extensions", "client",
                 "-CA", self.files / "ca.pem", "-CAkey", self.files / "ca.key", "-keyout", key, "-out", crt],
                check=True, capture_output=True,
            )
            another = Path(place) / "another.crt"
            subprocess.run(
                ["openssl", "req", "-x509", "-days", "1", "-noenc", "-subj", "/CN=clients-ca", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:P-256", "-keyout", Path(place) / "another.key", "-out", another],
                check=True, capture_output=True,
            )
            return {"ca.crt": another.read_text(), "user.crt": crt.read_text(), "user.key": key.read_text()}

    def alert_keys(self):
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "keys.toml"
            subprocess.run([self.weir, "keys", "fastpath", path, "--sender", "processor"], check=True, stdout=subprocess.DEVNULL)
            return path.read_text()

    def client(self):
        """What a client of the broker is told who may do everything until rights are given."""
        ours = {"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "client.key"}
        return {key: str(self.files / file) for key, file in ours.items()}

    def make_topics(self):
        """As Strimzi would, with as few partitions and copies as may be."""
        said = {"WEIR_BROKERS": self.brokers, "WEIR_KAFKA_PREFIX": self.prefix, "WEIR_PARTITIONS": "1",
                "WEIR_KAFKA_REPLICATION": "1", "WEIR_KAFKA_SECURITY_PROTOCOL": "ssl"}
        said |= {f"WEIR_KAFKA_{key.upper()}": value for key, value in self.client().items()}
        subprocess.run([self.weir, "topology", "apply"], env={**os.environ, **said}, check=True, stdout=subprocess.DEVNULL)

    def admin(self):
        client = self.client()
        return AdminClient({
            "bootstrap.servers": self.brokers, "security.protocol": "ssl", "ssl.ca.location": client["ca_file"],
            "ssl.certificate.location": client["cert_file"], "ssl.key.location": client["key_file"],
        })

    def clear(self):
        """Takes back what this run made on the brokers: rights first, because they keep us from the topics."""
        admin = self.admin()
        wanted = [AclBindingFilter(*named, None, None, AclOperation.ANY, AclPermissionType.ANY) for named in self.given]
        for taken in (admin.delete_acls(wanted) if wanted else {}).values():
            taken.result(timeout=30)
        made = [topic for topic in admin.list_topics(timeout=30).topics if topic.startswith(self.prefix)]
        for gone in (admin.delete_topics(made) if made else {}).values():
            gone.result(timeout=30)

    def give_rights(self, objects):
        """As Strimzi would: those of the KafkaUsers, and nobody else has any on these names."""
        kinds = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactionalId": ResourceType.TRANSACTIONAL_ID}
        patterns = {"literal": ResourcePatternType.LITERAL, "prefix": ResourcePatternType.PREFIXED}
        operations = {"Describe": AclOperation.DESCRIBE, "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
                      "Read": AclOperation.READ, "Write": AclOperation.WRITE}
        # Of what is read and written, Describe is said twice.
        rights = {
            AclBinding(kinds[acl["resource"]["type"]], self.prefix + acl["resource"]["name"],
                       patterns[acl["resource"]["patternType"]], f"User:CN={user['metadata']['name']}", "*",
                       operations[operation], AclPermissionType.ALLOW)
            for user in check.of_kind(objects, "KafkaUser")
            for acl in user["spec"]["authorization"]["acls"]
            for operation in acl["operations"]
        }
        # The broker leaves to everybody what nobody has a right to. So somebody has, to every name of this run.
        rights |= {
            AclBinding(kind, self.prefix, ResourcePatternType.PREFIXED, "User:nobody", "*", AclOperation.READ, AclPermissionType.ALLOW)
            for kind in kinds.values()
        }
        self.given = {(right.restype, right.name, right.resource_pattern_type) for right in rights}
        admin = self.admin()
        for given in admin.create_acls(list(rights)).values():
            given.result(timeout=30)

    def run(self, objects, lines):
        """The faults of all roles together: they start, judge the lines of a gateway's log, and end in order."""
        self.given = set()
        try:
            self.make_topics()
            self.give_rights(objects)
            yield from self.run_roles(objects, lines)
        finally:
            try:
                self.clear()
            except KafkaException as error:
                # Not instead of what was found.
                print(f"what begins with {self.prefix} is left on the brokers: {error}", file=sys.stderr)

    def run_roles(self, objects, lines):
        with tempfile.TemporaryDirectory() as root:
            # Users that are not root come here too.
            Path(root).chmod(0o755)
            weir = shutil.copy(self.weir, root)
            pods = []
            for thing, role, spec in check.pods(objects):
                (Path(root) / role).mkdir()
                group = spec["securityContext"].get("fsGroup") if os.geteuid() == 0 else None
                pods.append(Pod(thing, role, spec, Place(Path(root) / role, self.secrets, group)))
            try:
                yield from self.run_pods(weir, pods, objects, lines)
            finally:
                for pod in pods:
                    if pod.process is not None and pod.process.poll() is None:
                        pod.process.kill()
                        pod.process.wait()

    def run_pods(self, weir, pods, objects, lines):
        failed = [failure for failure in (pod.prepare() for pod in pods) if failure]
        if failed:
            yield from failed
            return
        alerts = f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
        for pod in pods:
            pod.start(weir, objects, {"WEIR_BROKERS": self.brokers, "WEIR_KAFKA_PREFIX": self.prefix}, alerts)
        for pod in list(pods):
            probe = pod.becomes_ready()
            if probe and pod.is_untraced():
                print(f"{pod.who} was not started: this build cannot trace", file=sys.stderr)
                pods.remove(pod)
            elif probe:
                yield f"{pod.who}: its {probe} was not answered: {pod.said()[-2000:]}"
                return
        by_role = {pod.role: pod for pod in pods}
        log, output = by_role["collector"].place.root / "gateway-log", by_role["enforcer"].place.root / "output"
        (log / LOG).write_text(lines)
        deadline = time.monotonic() + PATIENCE_S
        while not all((output / file).is_file() and (output / file).stat().st_size for file in WRITTEN):
            if time.monotonic() > deadline:
                yield f"nothing came of a gateway's log in the enforcer's files: {[p.said()[-500:] for p in pods]}"
                return
            time.sleep(0.2)
        for pod in pods:
            if pod.process.poll() is None and not answers(pod.port, "/health/ready"):
                yield f"{pod.who} is not ready any more: {pod.said()[-2000:]}"
            refused = [line for line in pod.said().splitlines() if "uthoriz" in line]
            if refused:
                yield f"{pod.who} has not the rights that it needs: {refused[0][:500]}"
        yield from (fault for fault in (pod.end() for pod in pods) if fault)


def answers(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=3) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False
