"""Faults that are planted in sound manifests, and the rule that must name each: a rule that finds nothing proves nothing."""

import copy


def find(objects, kind, name):
    return next(thing for thing in objects if thing["kind"] == kind and thing["metadata"]["name"] == name)


def pod(objects, kind, name):
    return find(objects, kind, name)["spec"]["template"]["spec"]


def weir(objects, kind, name):
    return pod(objects, kind, name)["containers"][0]


def volume(objects, kind, name, which):
    return next(v for v in pod(objects, kind, name)["volumes"] if v["name"] == which)


def policy(objects, name):
    return find(objects, "NetworkPolicy", name)["spec"]


def drop(objects, kind, name):
    objects.remove(find(objects, kind, name))


def acls(objects, user):
    return find(objects, "KafkaUser", user)["spec"]["authorization"]["acls"]


def port(objects, name, which):
    return next(port for port in weir(objects, "Deployment", name)["ports"] if port["name"] == which)


def unsay(objects, name, flag, *instead):
    """Takes a flag from a command line, or has it say something else."""
    args = weir(objects, "Deployment", name)["args"]
    args[:] = [word for word in args if not word.startswith(flag + "=")] + [f"{flag}={value}" for value in instead]


# What is done to the manifests, and what must be said of it.
FAULTS = [
    ("schemas", "a field that Kubernetes does not know", lambda o: pod(o, "Deployment", "weir-processor").update(hostPid=True)),
    ("schemas", "a number that is a text", lambda o: find(o, "Deployment", "weir-decide")["spec"].update(replicas="two")),
    ("schemas", "a field that Strimzi does not know", lambda o: find(o, "KafkaTopic", "weir.events")["spec"].update(partition=3)),
    ("schemas", "an operation that Kafka has not", lambda o: acls(o, "weir-decide")[0].update(operations=["Reed"], operation="Reed")),
    ("schemas", "a field that KEDA does not know", lambda o: find(o, "ScaledObject", "weir-processor")["spec"].update(minReplicas=1)),
    ("schemas", "an alert without an expression", lambda o: find(o, "PrometheusRule", "weir")["spec"]["groups"][1]["rules"][0].pop("expr")),
    ("privileges", "a privileged tracer", lambda o: weir(o, "DaemonSet", "weir-trace")["securityContext"].update(privileged=True)),
    ("privileges", "one capability more", lambda o: weir(o, "DaemonSet", "weir-trace")["securityContext"]["capabilities"]["add"].append("NET_ADMIN")),
    ("privileges", "one capability less", lambda o: weir(o, "DaemonSet", "weir-trace")["securityContext"]["capabilities"]["add"].remove("PERFMON")),
    ("privileges", "a capability of a processor", lambda o: weir(o, "Deployment", "weir-processor")["securityContext"]["capabilities"].update(add=["BPF"])),
    ("privileges", "capabilities that are kept", lambda o: weir(o, "Deployment", "weir-decide")["securityContext"].pop("capabilities")),
    ("privileges", "a root that can be written to", lambda o: weir(o, "StatefulSet", "weir-enforcer")["securityContext"].pop("readOnlyRootFilesystem")),
    ("privileges", "an enforcer that runs as root", lambda o: pod(o, "StatefulSet", "weir-enforcer")["securityContext"].update(runAsNonRoot=False)),
    ("privileges", "a collector that sees the node's processes", lambda o: pod(o, "DaemonSet", "weir-collector").update(hostPID=True)),
    ("privileges", "the node's network", lambda o: pod(o, "DaemonSet", "weir-trace").update(hostNetwork=True)),
    ("privileges", "a log of the node that can be written to", lambda o: [m.pop("readOnly") for m in weir(o, "DaemonSet", "weir-collector")["volumeMounts"] if m["name"] == "gateway-log"]),
    ("privileges", "a directory of the node", lambda o: pod(o, "Deployment", "weir-decide")["volumes"].append({"name": "etc", "hostPath": {"path": "/etc"}})),
    ("privileges", "no seccomp profile", lambda o: pod(o, "DaemonSet", "weir-trace")["securityContext"].pop("seccompProfile")),
    ("tokens", "a token", lambda o: pod(o, "Deployment", "weir-decide").update(automountServiceAccountToken=True)),
    ("tokens", "another's account", lambda o: pod(o, "Deployment", "weir-decide").update(serviceAccountName="weir-enforcer")),
    ("tokens", "an account that is not there", lambda o: drop(o, "ServiceAccount", "weir-processor")),
    ("tokens", "a right that nobody needs", lambda o: o.append({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "all"}, "rules": []})),
    ("secrets_by_role", "the enforcer's keys in a collector", lambda o: volume(o, "DaemonSet", "weir-collector", "keys")["secret"].update(secretName="weir-keys-enforcer")),
    ("secrets_by_role", "the operator's keys", lambda o: pod(o, "StatefulSet", "weir-enforcer")["volumes"].append({"name": "more", "secret": {"secretName": "weir-keys-operator"}})),
    ("secrets_by_role", "another role's user on the brokers", lambda o: volume(o, "Deployment", "weir-decide", "kafka")["projected"]["sources"][1]["secret"].update(name="weir-enforcer")),
    ("secrets_by_role", "the clients' authority for the brokers'", lambda o: volume(o, "Deployment", "weir-decide", "kafka")["projected"]["sources"][0]["secret"].update(name="weir-decide")),
    ("secrets_by_role", "the clients' authority in KEDA", lambda o: find(o, "TriggerAuthentication", "weir-processor")["spec"]["secretTargetRef"][0].update(name="weir-processor")),
    ("secrets_by_role", "a secret in the environment", lambda o: weir(o, "Deployment", "weir-export").setdefault("env", []).append({"name": "WEIR_NODE", "valueFrom": {"secretKeyRef": {"name": "weir-hec", "key": "token"}}})),
    ("secrets_by_role", "no user on the brokers", lambda o: drop(o, "KafkaUser", "weir-export")),
    ("references", "a ConfigMap that is not there", lambda o: weir(o, "Deployment", "weir-processor")["envFrom"][0]["configMapRef"].update(name="weird")),
    ("references", "a port of a probe that is not there", lambda o: weir(o, "Deployment", "weir-decide")["readinessProbe"]["httpGet"].update(port="health")),
    ("references", "a volume that is not there", lambda o: weir(o, "StatefulSet", "weir-enforcer")["volumeMounts"].append({"name": "cache", "mountPath": "/cache"})),
    ("references", "a service that selects nobody", lambda o: find(o, "Service", "weir-decide")["spec"]["selector"].update({"app.kubernetes.io/component": "decision"})),
    ("references", "a service's port that is not there", lambda o: find(o, "Service", "weir-decide")["spec"]["ports"][0].update(targetPort="grpc")),
    ("references", "pods that nobody selects", lambda o: find(o, "Deployment", "weir-decide")["spec"]["selector"]["matchLabels"].update({"app.kubernetes.io/name": "weird"})),
    ("references", "a budget for nobody", lambda o: find(o, "PodDisruptionBudget", "weir-decide")["spec"]["selector"]["matchLabels"].update({"app.kubernetes.io/component": "x"})),
    ("references", "a monitor of a port that is not there", lambda o: find(o, "ServiceMonitor", "weir")["spec"]["endpoints"][0].update(port="http")),
    ("references", "scaling of nothing", lambda o: find(o, "ScaledObject", "weir-processor")["spec"]["scaleTargetRef"].update(name="weir-process")),
    ("references", "two who say how many", lambda o: find(o, "Deployment", "weir-processor")["spec"].update(replicas=3)),
    ("health", "a probe of what is not answered", lambda o: weir(o, "Deployment", "weir-decide")["readinessProbe"]["httpGet"].update(path="/healthz")),
    ("health", "a liveness that asks whether it is ready", lambda o: weir(o, "Deployment", "weir-processor")["livenessProbe"]["httpGet"].update(path="/health/ready")),
    ("health", "too little time to drain", lambda o: pod(o, "Deployment", "weir-processor").update(terminationGracePeriodSeconds=10)),
    ("health", "metrics on another port", lambda o: find(o, "ConfigMap", "weir")["data"].update(WEIR_METRICS_ADDR="0.0.0.0:9100")),
    ("health", "a server that ends while gateways ask it", lambda o: weir(o, "Deployment", "weir-decide").pop("lifecycle")),
    ("resources", "two images of one name", lambda o: weir(o, "DaemonSet", "weir-trace").update(image="weir:0.1.0-ebpf")),
    ("resources", "no limit of memory", lambda o: weir(o, "Deployment", "weir-processor")["resources"]["limits"].clear()),
    ("resources", "whatever image is newest", lambda o: weir(o, "Deployment", "weir-export").update(image="weir:latest")),
    ("keys_of_configuration", "a key that is none", lambda o: find(o, "ConfigMap", "weir")["data"].update(WEIR_KAFKA_BROKERS="kafka:9092")),
    ("keys_of_configuration", "a key that is none, of one role", lambda o: weir(o, "DaemonSet", "weir-trace")["env"].append({"name": "WEIR_CPU_BUDGETS", "value": "2%"})),
    ("tenants", "a tracer of nobody", lambda o: (find(o, "ConfigMap", "weir")["data"].pop("WEIR_TENANT"), [env.remove(entry) for env in [weir(o, "DaemonSet", "weir-trace")["env"]] for entry in list(env) if entry["name"] == "WEIR_TENANT"])),
    ("commands", "a flag that is none", lambda o: weir(o, "Deployment", "weir-processor")["args"].append("--standbye")),
    ("commands", "a flag of another role", lambda o: weir(o, "Deployment", "weir-processor")["args"].append("--act-redis=redis:6379")),
    ("commands", "a role that is none", lambda o: weir(o, "DaemonSet", "weir-collector")["args"].__setitem__(0, "collector")),
    ("commands", "another role's command", lambda o: weir(o, "Deployment", "weir-decide")["args"].__setitem__(0, "run")),
    ("network", "nothing is denied by default", lambda o: drop(o, "NetworkPolicy", "weir-default-deny")),
    ("network", "ingress from everybody", lambda o: policy(o, "weir-decide")["ingress"][0].pop("from")),
    ("network", "ingress from every namespace", lambda o: policy(o, "weir-decide")["ingress"][0].update({"from": [{}]})),
    ("network", "egress to every port", lambda o: policy(o, "weir-enforcer")["egress"][0].pop("ports")),
    ("network", "no way to Redis", lambda o: policy(o, "weir-enforcer")["egress"].pop(0)),
    ("network", "no way to a port that goes without saying", lambda o: [args.__setitem__(at, "--act-webhook-url=https://keys.keys.svc/weir") for args in [weir(o, "StatefulSet", "weir-enforcer")["args"]] for at, word in enumerate(args) if word.startswith("--act-webhook-url")]),
    ("network", "no way to LiteLLM", lambda o: policy(o, "weir-enforcer")["egress"].pop(2)),
    ("network", "no way to the brokers", lambda o: policy(o, "weir-all")["egress"].pop(1)),
    ("network", "no way for gateways", lambda o: policy(o, "weir-decide")["ingress"].clear()),
    ("network", "a port that is not there", lambda o: policy(o, "weir-decide")["ingress"][0]["ports"].append({"protocol": "TCP", "port": "grpc"})),
    ("alerts_heard", "a port that is not for datagrams", lambda o: port(o, "weir-decide", "alerts").pop("protocol")),
    ("alerts_heard", "a port that nobody listens on", lambda o: unsay(o, "weir-decide", "--fastpath-listen")),
    ("alerts_heard", "alerts that nobody sends", lambda o: unsay(o, "weir-processor", "--fastpath-send-to")),
    ("alerts_heard", "alerts to a port that is not heard", lambda o: unsay(o, "weir-processor", "--fastpath-send-to", "weir-decide-alerts:8889")),
    ("alerts_heard", "alerts to one server of several", lambda o: find(o, "Service", "weir-decide-alerts")["spec"].pop("clusterIP")),
    ("alerts_heard", "a service that is not for datagrams", lambda o: find(o, "Service", "weir-decide-alerts")["spec"]["ports"][0].pop("protocol")),
    ("alerts_heard", "no way in for alerts", lambda o: drop(o, "NetworkPolicy", "weir-alerts-heard")),
    ("alerts_heard", "no way out for alerts", lambda o: drop(o, "NetworkPolicy", "weir-alerts-sent")),
    ("alerts_heard", "alerts from every role", lambda o: policy(o, "weir-alerts-heard")["ingress"][0]["from"][0]["podSelector"]["matchLabels"].pop("app.kubernetes.io/component")),
    ("alerts_heard", "alerts from another namespace", lambda o: policy(o, "weir-alerts-heard")["ingress"][0]["from"].append({"namespaceSelector": {}})),
    ("alerts_heard", "a journal that is nowhere", lambda o: [env.remove(entry) for env in [weir(o, "Deployment", "weir-decide")["env"]] for entry in list(env) if entry["name"] == "WEIR_DATA_DIR"]),
    ("alerts_heard", "keys of alerts that nobody uses", lambda o: unsay(o, "weir-decide", "--fastpath-keys-file")),
    ("secrets_by_role", "keys of alerts in the enforcer", lambda o: pod(o, "StatefulSet", "weir-enforcer")["volumes"].append({"name": "alerts", "secret": {"secretName": "weir-fastpath"}})),
    ("topics", "a topic that is missing", lambda o: drop(o, "KafkaTopic", "weir.audit")),
    ("topics", "a history that is compacted", lambda o: find(o, "KafkaTopic", "weir.verdicts")["spec"]["config"].update({"cleanup.policy": "compact"})),
    ("topics", "two partitions of one order", lambda o: find(o, "KafkaTopic", "weir.members")["spec"].update(partitions=2)),
    ("topics", "partitions that differ", lambda o: find(o, "KafkaTopic", "weir.links")["spec"].update(partitions=7)),
    ("topics", "a right to the audit chain", lambda o: acls(o, "weir-processor").append({"resource": {"type": "topic", "name": "weir.audit", "patternType": "literal"}, "operations": ["Write"]})),
    ("topics", "a right that is missing", lambda o: acls(o, "weir-decide").pop(0)),
    ("topics", "a group that nobody is in", lambda o: find(o, "ScaledObject", "weir-processor")["spec"]["triggers"][0]["metadata"].update(consumerGroup="weir-account")),
    ("topics", "persistent lag that counts", lambda o: find(o, "ScaledObject", "weir-processor")["spec"]["triggers"][0]["metadata"].pop("excludePersistentLag")),
    ("topics", "a count that is no whole number", lambda o: find(o, "ScaledObject", "weir-processor")["spec"]["triggers"][0]["metadata"].update(lagThreshold="1e+06")),
    ("alerts", "an alert that is not the tested one", lambda o: find(o, "PrometheusRule", "weir")["spec"]["groups"][1]["rules"][0].update(expr="vector(0)")),
    ("alerts", "a job with another name", lambda o: find(o, "ServiceMonitor", "weir")["spec"]["endpoints"][0].pop("relabelings")),
]

# What is done to manifests whose roles have their keys from Vault.
FAULTS_OF_VAULT = [
    ("tokens", "a token for Kubernetes", lambda o: token(o).pop("audience")),
    ("tokens", "a token that is good for long", lambda o: token(o).update(expirationSeconds=86400)),
    ("tokens", "a token beside keys that are files", lambda o: arg(o, "--keys-from", "files")),
    ("tokens", "no token for Vault", lambda o: volume(o, "StatefulSet", "weir-enforcer", "vault")["projected"]["sources"].pop(0)),
    ("secrets_by_role", "keys in a secret beside Vault", lambda o: pod(o, "StatefulSet", "weir-enforcer")["volumes"].append({"name": "keys", "secret": {"secretName": "weir-keys-enforcer"}})),
    ("secrets_by_role", "another's role at Vault", lambda o: arg(o, "--vault-kubernetes-role", "weir-collector")),
    ("network", "no way to Vault", lambda o: policy(o, "weir-vault")["podSelector"]["matchExpressions"][0]["values"].remove("enforcer")),
    ("network", "no way to Vault's port", lambda o: arg(o, "--vault-address", "https://vault.vault.svc:8300")),
    ("commands", "a place of Vault that is none", lambda o: arg(o, "--vault-mounts", "secret")),
]


def token(objects):
    sources = volume(objects, "StatefulSet", "weir-enforcer", "vault")["projected"]["sources"]
    return next(source["serviceAccountToken"] for source in sources if "serviceAccountToken" in source)


def arg(objects, name, value):
    """Has the enforcer's command line say this in place of what it says."""
    args = weir(objects, "StatefulSet", "weir-enforcer")["args"]
    args[:] = [word for word in args if not word.startswith(name + "=")] + [f"{name}={value}"]


# Values that the chart must refuse, and what it must say of them.
REFUSED = [
    *((f"{name}=[]", name.split(".")[1]) for name in (
        "kafka.peers", "network.gateways", "network.prometheus", "network.dns", "network.redis", "network.webhook", "network.litellm", "network.vault", "network.siem",
    )),
    ("network.gateways=[{}]", "gateways"),
    ("network.dns=null", "dns"),
    ("collector.trace.enabled=true", "twice"),
    ('collector={"log":{"enabled":false},"trace":{"enabled":true}},tenants="weir-tenants"', "collector.trace.tenant"),
    ('collector.trace.cpuBudget="two"', "cpuBudget"),
    ("enforcer.litellmRpmLimit=0", "litellmRpmLimit"),
    ("processor.replicas=13", "kafka.partitions"),
    ("enforcer.replicas=13", "kafka.partitions"),
    ('processor.autoscale={"enabled":true,"replicasMax":13}', "kafka.partitions"),
    ('processor.autoscale={"enabled":true,"replicasMax":1}', "replicasMax"),
    ('fastpath={"enabled":true},processor.replicas=8', "fastpath.enabled"),
    *((f'fastpath={{"enabled":true,"{name}":null}}', name) for name in ("port", "holds", "keysSecret")),
    ('fastpath={"enabled":true,"holds":"always"}', "holds"),
    ('fastpath={"enabled":true,"keysSecret":""}', "keysSecret"),
    ('fastpath={"enabled":true,"port":88}', "port"),
    ('vault={"address":"http://vault:8200"}', "address"),
    ('vault={"address":"https://vault:8200","roles":{"enforcer":""}}', "enforcer"),
    ('vault={"address":"https://vault:8200","audience":""}', "audience"),
    ('extraConfig={"WEIR_KEYS_FROM":"vault"}', "another value of the chart"),
    ('extraConfig={"WEIR_BROKERS":"elsewhere:9092"}', "another value of the chart"),
    ('extraConfig={"brokers":"elsewhere:9092"}', "extraConfig"),
]


def taken(renderer):
    """The values that the chart did not refuse, or of which it said something else."""
    for value, words in REFUSED:
        said = renderer.refusal("--set-json", value)
        if words not in said:
            yield f"the chart with {value} must be refused with a word on {words}, and is not: {said}"


def missed(objects, of_vault, facts, rules):
    """The planted faults that their rule did not find."""
    by_name = {rule.__name__: rule for rule in rules}
    planted = [(objects, fault) for fault in FAULTS] + [(of_vault, fault) for fault in FAULTS_OF_VAULT]
    for sound, (rule, what, plant) in planted:
        broken = copy.deepcopy(sound)
        plant(broken)
        if not list(by_name[rule](broken, facts)):
            yield f"{what} is not found by the rule {rule}"
    for rule in by_name.keys() - {rule for rule, _, _ in FAULTS}:
        yield f"no fault is planted for the rule {rule}"
