"""What must hold of manifests: each rule is a function that gives the faults that it finds, as sentences.

A rule is given all objects of one rendering, and the facts that it compares them with.
"""

import re
import subprocess

import jsonschema
import kubernetes_validate

from render import KUBERNETES

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")

# By role: the secret of keys that it may have, the user on the brokers, and the other secrets.
ROLES = {
    "collector": ("weir-keys-collector", "weir-collector", set()),
    "trace": ("weir-keys-collector", "weir-collector", set()),
    "processor": (None, "weir-processor", {"weir-fastpath"}),
    "enforcer": ("weir-keys-enforcer", "weir-enforcer", {"weir-webhook", "weir-litellm"}),
    "decide": ("weir-keys-collector", "weir-decide", {"weir-fastpath"}),
    "export": (None, "weir-export", {"weir-hec"}),
}
# The secret with the authority that signed the brokers' certificates: that of a user's own secret signed the clients'.
BROKERS_AUTHORITY = "kafka-cluster-ca-cert"
# The command of each role, and its unit for systemd.
COMMANDS = {
    "collector": "collect", "trace": "collect", "processor": "process",
    "enforcer": "enforce", "decide": "decide", "export": "export",
}
# The only pod with capabilities, and the only one that sees the node's processes.
TRACER = "trace"
CAPABILITIES = {"BPF", "PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH", "CHECKPOINT_RESTORE", "SYS_ADMIN"}
# Directories of the node that a role may see, all read-only; the gateway's log is where the values say.
HOST_PATHS = {"collector": {"gateway-log"}, "trace": {"tracefs"}}


class Facts:
    """What the rest of the repository and the binary say."""

    def __init__(self, weir, topology, alerts, keys, grace_s, sensing, crds):
        self.weir, self.topology, self.alerts, self.keys = weir, topology, alerts, keys
        self.grace_s, self.sensing, self.crds = grace_s, sensing, crds


def faults(objects, facts):
    return [f"{rule.__name__}: {fault}" for rule in RULES for fault in rule(objects, facts)]


# Reading objects.


def name_of(thing):
    return f"{thing['kind']} {thing['metadata']['name']}"


def of_kind(objects, *kinds):
    return [thing for thing in objects if thing["kind"] in kinds]


def pods(objects):
    """Every workload with its role and its pod's specification."""
    for thing in of_kind(objects, *WORKLOADS):
        template = thing["spec"]["template"]
        yield thing, template["metadata"]["labels"].get("app.kubernetes.io/component"), template["spec"]


def containers(spec):
    return spec.get("initContainers", []) + spec["containers"]


def selects(selector, labels):
    wanted, any_of = (selector or {}).get("matchLabels", {}), (selector or {}).get("matchExpressions", [])
    has_any = all(term["operator"] == "In" and labels.get(term["key"]) in term["values"] for term in any_of)
    return has_any and all(labels.get(label) == value for label, value in wanted.items())


def selected(objects, selector):
    return [
        (thing, spec)
        for thing, _, spec in pods(objects)
        if selects(selector, thing["spec"]["template"]["metadata"]["labels"])
    ]


def port_names(spec):
    return {port["name"]: port["containerPort"] for container in spec["containers"] for port in container.get("ports", [])}


def config(objects):
    return next((thing["data"] for thing in of_kind(objects, "ConfigMap") if thing["metadata"]["name"] == "weir"), {})


def sources(volume):
    """What a volume is made of: a secret's name, or a ConfigMap's, whether it is a secret, and its keys with the names of their files."""
    found = [(part["secret"], "secret") for part in volume.get("projected", {}).get("sources", []) if "secret" in part]
    found += [(volume[kind], kind) for kind in ("secret", "configMap") if kind in volume]
    for source, kind in found:
        items = [(item["key"], item["path"]) for item in source.get("items", [])]
        yield source.get("secretName") or source["name"], kind == "secret", items


def asks_vault(spec):
    return flag(spec["containers"][0].get("args", []), "--keys-from") == "vault"


def account_tokens(spec):
    """The tokens of its account that a pod has, each for whom it names."""
    parts = [part for volume in spec.get("volumes", []) for part in volume.get("projected", {}).get("sources", [])]
    return [part["serviceAccountToken"] for part in parts if "serviceAccountToken" in part]


def secrets(spec):
    return {name for volume in spec.get("volumes", []) for name, is_secret, _ in sources(volume) if is_secret}


def authorities(spec):
    """The secrets from which a pod has whom it believes about brokers."""
    return {name for volume in spec.get("volumes", []) for name, _, items in sources(volume) if ("ca.crt", "ca.crt") in items}


def flag(words, name):
    """The value of a flag of a command line, `--name value` or `--name=value`."""
    for at, word in enumerate(words):
        if word == name and at + 1 < len(words):
            return words[at + 1]
        if word.startswith(name + "="):
            return word.split("=", 1)[1]
    return None


# The rules.


def schemas(objects, facts):
    """Every object is one that Kubernetes, or the operator that it is for, takes; unknown fields are faults."""
    for thing in objects:
        crd = facts.crds.get((thing["apiVersion"], thing["kind"]))
        try:
            if crd is not None:
                jsonschema.Draft202012Validator(crd).validate(thing)
            else:
                kubernetes_validate.validate(thing, KUBERNETES, strict=True)
        except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
            where = "/".join(str(part) for part in error.path)
            yield f"{name_of(thing)}: {where}: {error.message[:300]}"
        except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.VersionNotSupportedError) as error:
            yield f"{name_of(thing)}: {error.message}"


def privileges(objects, facts):
    """No pod may do more than its role needs, and only the one that traces has any capability."""
    for thing, role, spec in pods(objects):
        who, is_tracer = name_of(thing), role == TRACER
        if spec.get("hostNetwork") or spec.get("hostIPC"):
            yield f"{who} shares the node's network or memory"
        if bool(spec.get("hostPID")) != is_tracer:
            yield f"{who}: hostPID is for the tracer, and only for it"
        pod = spec.get("securityContext", {})
        if pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{who} has not the runtime's seccomp profile"
        if not is_tracer and not (pod.get("runAsNonRoot") and pod.get("runAsUser")):
            yield f"{who} may run as root"
        for container in containers(spec):
            context, what = container.get("securityContext", {}), f"{who}, container {container['name']}"
            if context.get("privileged"):
                yield f"{what} is privileged"
            if context.get("allowPrivilegeEscalation") is not False:
                yield f"{what} may gain privileges"
            if context.get("readOnlyRootFilesystem") is not True:
                yield f"{what} can write to its root"
            capabilities = context.get("capabilities", {})
            if capabilities.get("drop") != ["ALL"]:
                yield f"{what} keeps capabilities of the runtime's choice"
            allowed = CAPABILITIES if is_tracer and container["name"] == "weir" else set()
            if set(capabilities.get("add", [])) != allowed:
                yield f"{what} has capabilities {capabilities.get('add', [])}, not {sorted(allowed)}"
            if any(key in context for key in ("runAsUser", "runAsNonRoot", "seccompProfile")):
                yield f"{what} has a user or a profile of its own"
        mounts = {mount["name"]: mount for container in containers(spec) for mount in container.get("volumeMounts", [])}
        for volume in spec.get("volumes", []):
            if "hostPath" not in volume:
                continue
            if volume["name"] not in HOST_PATHS.get(role, set()):
                yield f"{who} sees {volume['hostPath']['path']} of the node"
            elif not mounts.get(volume["name"], {}).get("readOnly"):
                yield f"{who} can write to {volume['hostPath']['path']} of the node"
    for capability in CAPABILITIES:
        if f"CAP_{capability}" not in facts.sensing:
            yield f"docs/sensing.md does not say why CAP_{capability} is needed"


def tokens(objects, _):
    """Nobody has a token for Kubernetes, and nothing gives anybody a right there; whoever asks Vault for keys has a short one for that."""
    for thing in of_kind(objects, "ServiceAccount"):
        if thing.get("automountServiceAccountToken") is not False:
            yield f"{name_of(thing)} gives its token to pods"
    accounts = {thing["metadata"]["name"] for thing in of_kind(objects, "ServiceAccount")}
    for thing, role, spec in pods(objects):
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{name_of(thing)} has a token"
        held = account_tokens(spec)
        if len(held) != int(asks_vault(spec)):
            yield f"{name_of(thing)} has {len(held)} tokens of its account, and asks Vault: {asks_vault(spec)}"
        for token in held:
            # Without an audience it is one for Kubernetes.
            if not token.get("audience") or "kubernetes" in token["audience"] or token.get("expirationSeconds", 3600) > 600:
                yield f"{name_of(thing)} has a token for {token.get('audience')} of {token.get('expirationSeconds')} s"
        if spec.get("serviceAccountName") != f"weir-{role}" or spec.get("serviceAccountName") not in accounts:
            yield f"{name_of(thing)}: the account {spec.get('serviceAccountName')} is not its own, or not there"
    for thing in of_kind(objects, "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"):
        yield f"{name_of(thing)} gives rights that nobody needs"


def secrets_by_role(objects, _):
    """No role has another's keys or user, and secrets are read by files alone."""
    for thing, role, spec in pods(objects):
        if role not in ROLES:
            yield f"{name_of(thing)}: {role} is no role"
            continue
        keys, user, others = ROLES[role]
        has_tls = config(objects).get("WEIR_KAFKA_SECURITY_PROTOCOL") == "ssl"
        allowed = {keys, user, BROKERS_AUTHORITY} | others
        for secret in secrets(spec) - allowed:
            yield f"{name_of(thing)} has the secret {secret}, which is not for {role}"
        if keys and (keys in secrets(spec)) == asks_vault(spec):
            yield f"{name_of(thing)}: its keys are either in {keys} or in Vault, which it asks: {asks_vault(spec)}"
        if asks_vault(spec):
            said = flag(spec["containers"][0]["args"], "--vault-kubernetes-role")
            if keys is None or said != keys.replace("weir-keys-", "weir-"):
                yield f"{name_of(thing)} is {said} at Vault"
        if authorities(spec) != ({BROKERS_AUTHORITY} if has_tls else set()):
            yield f"{name_of(thing)} believes {sorted(authorities(spec))} about brokers, whom {BROKERS_AUTHORITY} signs"
        if has_tls != (user in secrets(spec)):
            yield f"{name_of(thing)}: the user {user} goes together with TLS"
        for container in containers(spec):
            froms = [entry.get("valueFrom", {}) for entry in container.get("env", [])] + container.get("envFrom", [])
            if any("secretKeyRef" in entry or "secretRef" in entry for entry in froms):
                yield f"{name_of(thing)} has a secret in its environment"
    for thing in of_kind(objects, "TriggerAuthentication"):
        said = {entry["parameter"]: entry["name"] for entry in thing["spec"]["secretTargetRef"]}
        if said != {"ca": BROKERS_AUTHORITY, "cert": "weir-processor", "key": "weir-processor"}:
            yield f"{name_of(thing)} has {said}"
    users = {thing["metadata"]["name"] for thing in of_kind(objects, "KafkaUser")}
    if users:
        for _, user, _ in ROLES.values():
            if user not in users:
                yield f"there is no KafkaUser {user}"


def references(objects, _):
    """Whatever is named is there: volumes, configuration, ports, labels, services."""
    maps = {thing["metadata"]["name"] for thing in of_kind(objects, "ConfigMap")}
    services = {thing["metadata"]["name"]: thing for thing in of_kind(objects, "Service")}
    for thing, _, spec in pods(objects):
        who, ports = name_of(thing), port_names(spec)
        if not selects(thing["spec"]["selector"], thing["spec"]["template"]["metadata"]["labels"]):
            yield f"{who} does not select its own pods"
        claims = {claim["metadata"]["name"] for claim in thing["spec"].get("volumeClaimTemplates", [])}
        volumes = {volume["name"] for volume in spec.get("volumes", [])} | claims
        used = set()
        for container in containers(spec):
            used |= {mount["name"] for mount in container.get("volumeMounts", [])}
            for source in container.get("envFrom", []):
                if source.get("configMapRef", {}).get("name") not in maps:
                    yield f"{who}: there is no ConfigMap {source.get('configMapRef', {}).get('name')}"
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                port = container.get(probe, {}).get("httpGet", {}).get("port")
                if port is not None and port not in ports:
                    yield f"{who}: its {probe} asks the port {port}, which it has not"
        for volume in used - volumes:
            yield f"{who} mounts {volume}, which is no volume of it"
        for volume in volumes - used:
            yield f"{who} has the volume {volume}, which nobody mounts"
        if thing["kind"] == "StatefulSet" and thing["spec"]["serviceName"] not in services:
            yield f"{who}: there is no Service {thing['spec']['serviceName']}"
    for service in services.values():
        backing = selected(objects, {"matchLabels": service["spec"]["selector"]})
        if not backing:
            yield f"{name_of(service)} selects nobody"
        for port in service["spec"]["ports"]:
            for thing, spec in backing:
                if port["targetPort"] not in port_names(spec):
                    yield f"{name_of(service)}: {name_of(thing)} has no port {port['targetPort']}"
    for budget in of_kind(objects, "PodDisruptionBudget"):
        if not selected(objects, budget["spec"]["selector"]):
            yield f"{name_of(budget)} selects nobody"
    for monitor in of_kind(objects, "ServiceMonitor"):
        watched = [s for s in services.values() if selects(monitor["spec"]["selector"], s["metadata"].get("labels", {}))]
        names = {port["name"] for service in watched for port in service["spec"]["ports"]}
        for endpoint in monitor["spec"]["endpoints"]:
            if endpoint["port"] not in names:
                yield f"{name_of(monitor)}: no Service that it selects has the port {endpoint['port']}"
    workloads = {(t["kind"], t["metadata"]["name"]): t for t in of_kind(objects, *WORKLOADS)}
    authentications = {thing["metadata"]["name"] for thing in of_kind(objects, "TriggerAuthentication")}
    for scaled in of_kind(objects, "ScaledObject"):
        target = workloads.get(("Deployment", scaled["spec"]["scaleTargetRef"]["name"]))
        if target is None:
            yield f"{name_of(scaled)} scales nothing"
        elif "replicas" in target["spec"]:
            yield f"{name_of(target)} says how many, and so does {name_of(scaled)}"
        for trigger in scaled["spec"]["triggers"]:
            reference = trigger.get("authenticationRef", {}).get("name")
            if reference is not None and reference not in authentications:
                yield f"{name_of(scaled)}: there is no TriggerAuthentication {reference}"


def health(objects, facts):
    """Probes ask what Weir answers, and a pod that is told to stop has the time that a unit has."""
    paths = {"startupProbe": "/health/live", "livenessProbe": "/health/live", "readinessProbe": "/health/ready"}
    for thing, role, spec in pods(objects):
        container = spec["containers"][0]
        for probe, path in paths.items():
            if container.get(probe, {}).get("httpGet", {}).get("path") != path:
                yield f"{name_of(thing)}: its {probe} does not ask {path}"
        address = config(objects).get("WEIR_METRICS_ADDR", ":")
        if str(port_names(spec).get("metrics")) != address.rsplit(":", 1)[1]:
            yield f"{name_of(thing)}: its port metrics is not the one of WEIR_METRICS_ADDR, {address}"
        if role == "decide" and "preStop" not in container.get("lifecycle", {}):
            yield f"{name_of(thing)} ends before gateways have heard that it does"
        grace = spec.get("terminationGracePeriodSeconds", 30)
        wanted = facts.grace_s[COMMANDS.get(role, "collect")]
        if grace < wanted:
            yield f"{name_of(thing)} is killed after {grace} s, its unit after {wanted}"


def resources(objects, _):
    """Every container says what it needs, and how much memory it may take; an image's name is one image."""
    tags = {}
    for thing, _, spec in pods(objects):
        for container in containers(spec):
            image, _, tag = container["image"].rpartition(":")
            if tags.setdefault(image, tag) != tag:
                yield f"{name_of(thing)}: {image} is {tag} and {tags[image]}: Kustomize changes images by name, and would make both the same"
            said = container.get("resources", {})
            if not {"cpu", "memory"} <= said.get("requests", {}).keys() or "memory" not in said.get("limits", {}):
                yield f"{name_of(thing)}, container {container['name']}: requests or the limit of memory are missing"
            if container["image"].endswith(":latest") or ":" not in container["image"]:
                yield f"{name_of(thing)}, container {container['name']}: {container['image']} is whatever is newest"


def keys_of_configuration(objects, facts):
    """Every WEIR_ variable is a key of the configuration."""
    said = dict.fromkeys(config(objects))
    for _, _, spec in pods(objects):
        for container in containers(spec):
            said |= dict.fromkeys(entry["name"] for entry in container.get("env", []))
    for key in said:
        if key not in facts.keys:
            yield f"{key} is no key of the configuration"


def tenants(objects, _):
    """Where tenants are registered, who traces says whose that is: nothing that is traced names a tenant."""
    for thing, role, spec in pods(objects):
        if role != TRACER:
            continue
        said = {**config(objects), **{entry["name"]: entry.get("value") for entry in spec["containers"][0].get("env", [])}}
        is_anyones = said.get("WEIR_TENANTS_ALLOW_ANONYMOUS") == "true"
        if said.get("WEIR_TENANTS_DIR") and not said.get("WEIR_TENANT") and not is_anyones:
            yield f"{name_of(thing)} would not start: with WEIR_TENANTS_DIR it needs a WEIR_TENANT"


def commands(objects, facts):
    """Every command line is one that the binary takes, and the role's own: what stands before `--help` is read first."""
    for thing, role, spec in pods(objects):
        for container in spec["containers"]:
            words = [str(word) for word in container["args"]]
            done = subprocess.run([facts.weir, *words, "--help"], capture_output=True, text=True, check=False)
            if done.returncode != 0 or words[0] != COMMANDS.get(role):
                yield f"{name_of(thing)}: weir {' '.join(words)}: {done.stderr.strip()}"


def network(objects, _):
    """Nobody is reached, and nobody reaches out, but where a rule says so; and where a pod has to go a rule says so."""
    policies = of_kind(objects, "NetworkPolicy")
    closed = [p for p in policies if set(p["spec"]["policyTypes"]) == {"Ingress", "Egress"}
              and not p["spec"].get("ingress") and not p["spec"].get("egress")]
    for thing, role, spec in pods(objects):
        labels = thing["spec"]["template"]["metadata"]["labels"]
        if not any(selects(policy["spec"]["podSelector"], labels) for policy in closed):
            yield f"{name_of(thing)} is open to everybody: no policy denies by default"
        ours = [policy for policy in policies if selects(policy["spec"]["podSelector"], labels)]
        out = {port["port"] for p in ours for rule in p["spec"].get("egress", []) for port in rule.get("ports", [])}
        into = {port["port"] for p in ours for rule in p["spec"].get("ingress", []) for port in rule.get("ports", [])}
        words = [word for container in spec["containers"] for word in container.get("args", [])]
        urls = [flag(words, name) for name in ("--act-redis", "--decide-redis", "--act-webhook-url", "--act-litellm-url", "--export-hec-url", "--vault-address")]
        places = [*config(objects).get("WEIR_BROKERS", "").split(","), *(url for url in urls if url)]
        for place in places:
            port = re.search(r":(\d+)(/|$)", place)
            usual = 443 if place.startswith("https:") else 80
            if (int(port[1]) if port else usual) not in out:
                yield f"{name_of(thing)} cannot reach {place}"
        if 53 not in out:
            yield f"{name_of(thing)} cannot ask for names"
        for port in port_names(spec):
            if port not in into:
                yield f"{name_of(thing)}: nobody can reach its port {port}"
        for port in into - port_names(spec).keys():
            if role is not None and port != "metrics":
                yield f"{name_of(thing)} has no port {port}, which a policy opens"
    for policy in policies:
        if not selected(objects, policy["spec"]["podSelector"]):
            yield f"{name_of(policy)} selects nobody"
        for side, peers in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(side, []):
                if not rule.get(peers) or not rule.get("ports") or any(not peer for peer in rule[peers]):
                    yield f"{name_of(policy)}: a rule of its {side} is for everybody or for every port"


def alerts_heard(objects, _):
    """Alerts go by UDP to all who listen, who hear nobody but their senders; where none are sent no port is open for them."""
    policies = of_kind(objects, "NetworkPolicy")
    services = {thing["metadata"]["name"]: thing["spec"] for thing in of_kind(objects, "Service")}
    everybody = [(thing, spec, thing["spec"]["template"]["metadata"]["labels"], spec["containers"][0].get("args", [])) for thing, _, spec in pods(objects)]
    sending = [one for one in everybody if flag(one[3], "--fastpath-send-to")]
    hearing = [one for one in everybody if flag(one[3], "--fastpath-listen")]
    for thing, spec, labels, words in everybody:
        heard = {int(port_of(place)) for place in [flag(words, "--fastpath-listen")] if place}
        ports = {port["name"]: port["containerPort"] for port in spec["containers"][0].get("ports", []) if port.get("protocol") == "UDP"}
        opened = {ports.get(port["port"], port["port"]) for _, port in rules_by_udp(policies, labels, "ingress", "from")}
        if set(ports.values()) != heard or opened != heard:
            yield f"{name_of(thing)} hears alerts on {heard}, has the ports {set(ports.values())} for UDP, and policies open {opened}"
        has_keys = "weir-fastpath" in secrets(spec) and flag(words, "--fastpath-keys-file") == "/run/weir/fastpath/keys.toml"
        if has_keys != any(one[0] is thing for one in sending + hearing):
            yield f"{name_of(thing)} has keys of alerts: {has_keys}, which go together with sending or hearing them"
        directory = {entry["name"]: entry.get("value") for entry in spec["containers"][0].get("env", [])}.get("WEIR_DATA_DIR")
        written = {mount["mountPath"] for mount in spec["containers"][0].get("volumeMounts", []) if not mount.get("readOnly")}
        if heard and directory not in written:
            yield f"{name_of(thing)} cannot write down whom it holds: {directory} is no volume of it"
        for peer, _ in rules_by_udp(policies, labels, "ingress", "from"):
            if set(peer) != {"podSelector"} or any(selects(peer["podSelector"], one[2]) for one in everybody if one not in sending):
                yield f"{name_of(thing)} hears others than those who send alerts: {peer}"
    for thing, _, labels, words in sending:
        for place in flag(words, "--fastpath-send-to").split(","):
            host, port = place.rsplit(":", 1)
            service = services.get(host, {"ports": []})
            if service.get("clusterIP") != "None" or ("UDP", int(port)) not in {(p.get("protocol"), p["port"]) for p in service["ports"]}:
                yield f"{name_of(thing)}: {place} stands for no port for UDP of all servers"
            for server, _, theirs, said in hearing:
                if not selects({"matchLabels": service.get("selector", {"": ""})}, theirs) or port_of(flag(said, "--fastpath-listen")) != port:
                    yield f"{name_of(server)} does not hear what is sent to {place}"
                if not any(selects(peer.get("podSelector"), labels) for peer, _ in rules_by_udp(policies, theirs, "ingress", "from")):
                    yield f"{name_of(server)} lets {name_of(thing)} not in"
                out = rules_by_udp(policies, labels, "egress", "to")
                if not any(selects(peer.get("podSelector"), theirs) and to["port"] == int(port) for peer, to in out if set(peer) == {"podSelector"}):
                    yield f"{name_of(thing)} is not let out to {name_of(server)}"
    if bool(sending) != bool(hearing):
        yield f"{len(sending)} send alerts, and {len(hearing)} hear them"


def port_of(place):
    return place.rsplit(":", 1)[1]


def rules_by_udp(policies, labels, side, peers):
    """Each peer and port for UDP that policies open to pods with these labels."""
    for policy in policies:
        if selects(policy["spec"]["podSelector"], labels):
            for rule in policy["spec"].get(side, []):
                for port in rule.get("ports", []):
                    if port.get("protocol") == "UDP":
                        yield from ((peer, port) for peer in rule.get(peers, [{}]))


def topics(objects, facts):
    """Topics, users and scaling are what the topology says, and nothing else."""
    prefix = config(objects).get("WEIR_KAFKA_PREFIX", "")
    found = {thing["metadata"]["name"]: thing["spec"] for thing in of_kind(objects, "KafkaTopic")}
    if found:
        wanted = {prefix + topic["name"]: topic for topic in facts.topology["topics"]}
        for name in wanted.keys() ^ found.keys():
            yield f"the topic {name} is not both in the topology and in the manifests"
        shared = {found[name]["partitions"] for name in wanted.keys() & found.keys() if wanted[name]["partitions"] == "shared"}
        if len(shared) != 1:
            yield f"topics that share a count of partitions have {sorted(shared)}"
        for name in wanted.keys() & found.keys():
            spec, topic = found[name], wanted[name]
            settings = dict(topic["settings"])
            if spec["replicas"] < 3:
                settings["min.insync.replicas"] = "1"
            if spec["config"] != settings:
                yield f"the settings of the topic {name} are not the topology's"
            if topic["partitions"] != "shared" and spec["partitions"] != topic["partitions"]:
                yield f"the topic {name} has {spec['partitions']} partitions, not {topic['partitions']}"
    users = {thing["metadata"]["name"]: thing["spec"] for thing in of_kind(objects, "KafkaUser")}
    if users:
        wanted = {f"weir-{role['name']}": rights(role, prefix) for role in facts.topology["roles"]}
        for name in wanted.keys() ^ users.keys():
            yield f"the user {name} is not both in the topology and in the manifests"
        for name in wanted.keys() & users.keys():
            has = set()
            for acl in users[name]["authorization"]["acls"]:
                what = acl["resource"]
                has |= {(what["type"], what["name"], what["patternType"], operation) for operation in acl["operations"]}
            for right in sorted(has ^ wanted[name]):
                yield f"the user {name} and the topology differ in {right}"
    groups = {f"{prefix}weir-weir-{stage}": stage for stage in ("account", "cluster", "campaign")}
    names = {prefix + topic["name"] for topic in facts.topology["topics"]}
    for scaled in of_kind(objects, "ScaledObject"):
        for trigger in scaled["spec"]["triggers"]:
            said = trigger["metadata"]
            if said["consumerGroup"] not in groups or said["topic"] not in names:
                yield f"{name_of(scaled)} looks at {said['consumerGroup']} and {said['topic']}"
            if said.get("excludePersistentLag") != "true":
                yield f"{name_of(scaled)} counts a lag that more processors do not help"
            if not re.fullmatch(r"[1-9][0-9]*", said["lagThreshold"]):
                yield f"{name_of(scaled)}: {said['lagThreshold']} is no count of records"
            if said["bootstrapServers"] != config(objects).get("WEIR_BROKERS"):
                yield f"{name_of(scaled)} asks other brokers than the processors"


def rights(role, prefix):
    """What a role of the topology may do, as Strimzi says it."""
    allowed = set()
    for topic in role["reads"]:
        allowed |= {("topic", prefix + topic, "literal", operation) for operation in ("Describe", "DescribeConfigs", "Read")}
    for topic in role["writes"]:
        allowed |= {("topic", prefix + topic, "literal", operation) for operation in ("Describe", "Write")}
    for name in role["names"]:
        allowed |= {("group", prefix + name, "prefix", operation) for operation in ("Describe", "Read")}
        allowed |= {("transactionalId", prefix + name, "prefix", operation) for operation in ("Describe", "Write")}
    return allowed | {("group", prefix + role["readers"], "literal", operation) for operation in ("Describe", "Read")}


def alerts(objects, facts):
    """The rules are those that are shipped for Prometheus and tested there."""
    for rule in of_kind(objects, "PrometheusRule"):
        if rule["spec"]["groups"] != facts.alerts["groups"]:
            yield f"{name_of(rule)} is not deploy/prometheus/weir-alerts.yml"
    for monitor in of_kind(objects, "ServiceMonitor"):
        for endpoint in monitor["spec"]["endpoints"]:
            jobs = [r["replacement"] for r in endpoint.get("relabelings", []) if r.get("targetLabel") == "job"]
            if jobs != ["weir"]:
                yield f"{name_of(monitor)}: the job is not called weir, as the alerts ask"


RULES = [
    schemas, privileges, tokens, secrets_by_role, references, health, resources, keys_of_configuration,
    tenants, commands, network, alerts_heard, topics, alerts,
]
