{{- /* What templates share. A part that needs the role is given (dict "root" $ "role" "NAME"). */ -}}

{{- define "weir.labels" -}}
app.kubernetes.io/name: weir
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "weir.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* The secret with the authority that signed the brokers' certificates. The one in a user's own secret signed the clients'. */ -}}
{{- define "weir.kafka.ca" -}}
{{ .Values.kafka.caSecret | default (printf "%s-cluster-ca-cert" .Values.kafka.cluster) }}
{{- end }}

{{- /* The port of `url`, which may be host:port, or `port` where that is given. */ -}}
{{- define "weir.port" -}}
{{- if .port }}{{ int64 .port }}
{{- else }}
{{- $host := .url }}
{{- if contains "://" .url }}{{ $host = (urlParse .url).host }}{{ end }}
{{- regexFind ":[0-9]+$" $host | trimPrefix ":" | default (ternary "80" "443" (hasPrefix "http://" .url)) }}
{{- end }}
{{- end }}

{{- /* Nobody's user, for pods that need no more. */ -}}
{{- define "weir.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "weir.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- /* /health/live says whether the loops that do the work go round, with patience for all honest pauses; /health/ready whether the
process can do its work now. */ -}}
{{- define "weir.probes" -}}
startupProbe:
  httpGet: { path: /health/live, port: metrics }
  periodSeconds: 5
  failureThreshold: 24
livenessProbe:
  httpGet: { path: /health/live, port: metrics }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /health/ready, port: metrics }
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}

{{- /* The command line's words on where the role's keys are: with Vault it logs in by the token of its account, which is for nobody else. */ -}}
{{- define "weir.keys" -}}
{{- with .root.Values.vault }}
{{- if .address -}}
- --keys-from=vault
- --vault-address={{ .address }}
{{- if .ca }}
- --vault-ca-file=/run/vault/ca.crt
{{- end }}
{{- with .namespace }}
- --vault-namespace={{ . }}
{{- end }}
- --vault-mount={{ .mount }}
- --vault-path={{ .path }}
- --vault-kubernetes-role={{ index .roles $.vault }}
- --vault-kubernetes-mount={{ .authMount }}
- --vault-kubernetes-token-file=/run/vault/token
{{- else -}}
- --keys-dir=/run/weir/keys
{{- end }}
{{- end }}
{{- end }}

{{- /* What of a role's is copied, beside its keys where those are a secret. */ -}}
{{- define "weir.places" -}}
{{- $places := list -}}
{{- if not .Values.vault.address }}{{ $places = append $places "keys" }}{{ end }}
{{- if .Values.kafka.tls }}{{ $places = append $places "kafka" }}{{ end }}
{{- toJson $places }}
{{- end }}

{{- /* The role's secrets, which the init container copies: Weir takes only files that nobody but their owner can read, and a
secret's are of root and its group. What changes in them counts from the next start. */ -}}
{{- define "weir.secrets.init" -}}
- name: secrets
  image: {{ include "weir.image" .root }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [sh, -c, "umask 077; for place in /secret/*; do mkdir -p /run/weir/${place##*/} && cp -Lf $place/* /run/weir/${place##*/}/ || exit 1; done"]
  securityContext:
    {{- include "weir.containerSecurity" .root | nindent 4 }}
  resources:
    requests: { cpu: 10m, memory: 16Mi }
    limits: { memory: 64Mi }
  volumeMounts:
    - { name: own, mountPath: /run/weir }
    {{- range .places }}
    - { name: {{ . }}, mountPath: /secret/{{ . }}, readOnly: true }
    {{- end }}
    {{- if .root.Values.policyTrust }}
    - { name: trust, mountPath: /secret/trust, readOnly: true }
    {{- end }}
{{- end }}

{{- define "weir.secrets.volumes" -}}
- name: own
  emptyDir: { medium: Memory, sizeLimit: {{ ternary "64Mi" "1Mi" (has "tenants" .places) }} }
{{- if has "keys" .places }}
- name: keys
  secret: { secretName: {{ .keys }}, defaultMode: 0440, optional: false }
{{- end }}
{{- with .root.Values.vault }}
{{- if and .address $.keys }}
- name: vault
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: { audience: {{ .audience }}, expirationSeconds: 600, path: token }
      {{- with .ca }}
      - configMap: { name: {{ . }}, items: [{ key: ca.crt, path: ca.crt }] }
      {{- end }}
{{- end }}
{{- end }}
{{- if has "kafka" .places }}
- name: kafka
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ include "weir.kafka.ca" .root }}
          items: [{ key: ca.crt, path: ca.crt }]
      - secret:
          name: weir-{{ .user }}
          items: [{ key: user.crt, path: user.crt }, { key: user.key, path: user.key }]
{{- end }}
{{- if has "webhook" .places }}
- name: webhook
  secret: { secretName: weir-webhook, defaultMode: 0440 }
{{- end }}
{{- if has "litellm" .places }}
- name: litellm
  secret: { secretName: weir-litellm, defaultMode: 0440 }
{{- end }}
{{- if has "fastpath" .places }}
- name: fastpath
  secret: { secretName: {{ .root.Values.fastpath.keysSecret }}, defaultMode: 0440 }
{{- end }}
{{- if has "hec" .places }}
- name: hec
  secret: { secretName: weir-hec, defaultMode: 0440 }
{{- end }}
{{- if has "tenants" .places }}
- name: tenants
  configMap: { name: {{ .root.Values.tenants }}, defaultMode: 0440 }
{{- end }}
{{- with .root.Values.policyTrust }}
- name: trust
  configMap: { name: {{ . }}, defaultMode: 0440 }
{{- end }}
{{- end }}

{{- define "weir.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "weir.labels" . | nindent 8 }}
{{- end }}
