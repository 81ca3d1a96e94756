{{/* The base of every object's name, at most 52 characters so that suffixes fit. */}}
{{- define "asyncendpoints.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "asyncendpoints.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: asyncendpoints
{{- end -}}

{{/* The base of names of roles and bindings outside of the release's namespace, unique to the release:
     neither a namespace nor a release has a ":". */}}
{{- define "asyncendpoints.clusterName" -}}
{{ .Release.Namespace }}:{{ include "asyncendpoints.fullname" . }}
{{- end -}}

{{/* Call with (dict "root" . "component" "operator"). */}}
{{- define "asyncendpoints.selector" -}}
app.kubernetes.io/name: asyncendpoints
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Of pods: nothing that changes with the version of the chart, so that no upgrade restarts them. */}}
{{- define "asyncendpoints.podLabels" -}}
app.kubernetes.io/part-of: asyncendpoints
{{ include "asyncendpoints.selector" . }}
{{- end -}}

{{- define "asyncendpoints.image" -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ with .image.digest }}@{{ . }}{{ end }}
{{- end -}}

{{/* The identity of this installation, which separates clusters that share a Redis. */}}
{{- define "asyncendpoints.installation" -}}
{{- if .Values.operator.installation -}}
{{ .Values.operator.installation }}
{{- else -}}
{{- $system := lookup "v1" "Namespace" "" "kube-system" -}}
{{- if $system -}}
{{ $system.metadata.uid }}
{{- else -}}
{{ printf "%s.%s" .Release.Namespace .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "asyncendpoints.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "asyncendpoints.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{- define "asyncendpoints.developmentRedis" -}}
{{- if and .Values.redis.development.enabled (not .Values.redis.existingSecret.name) -}}true{{- end -}}
{{- end -}}

{{/* At most 52 characters: pods of a StatefulSet have its name, "-" and a hash as a label, and Kubernetes
     refuses labels above 63. */}}
{{- define "asyncendpoints.redisName" -}}
{{ include "asyncendpoints.fullname" . | trunc 46 | trimSuffix "-" }}-redis
{{- end -}}

{{/* The Secret with the URL of the operator's own Redis; empty if there is none. */}}
{{- define "asyncendpoints.redisSecret" -}}
{{- if .Values.redis.existingSecret.name -}}
{{ .Values.redis.existingSecret.name }}
{{- else if include "asyncendpoints.developmentRedis" . -}}
{{ .Values.redis.development.existingSecret | default (include "asyncendpoints.redisName" .) }}
{{- end -}}
{{- end -}}

{{- define "asyncendpoints.redisKey" -}}
{{- if .Values.redis.existingSecret.name -}}{{ .Values.redis.existingSecret.key }}{{- else -}}url{{- end -}}
{{- end -}}

{{/* The Secret of the console of all endpoints: its tokens, and how it connects to Redis. */}}
{{- define "asyncendpoints.consoleSecret" -}}
{{ (.Values.console).existingSecret | default (printf "%s-console" (include "asyncendpoints.fullname" .)) }}
{{- end -}}

{{- define "asyncendpoints.redisConfig" -}}
appendonly yes
appendfsync {{ .Values.redis.development.appendfsync }}
maxmemory {{ .Values.redis.development.maxmemory }}
maxmemory-policy noeviction
save ""
dir /data
aclfile /data/users.acl
{{- end -}}

{{- define "asyncendpoints.podSecurity" -}}
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "asyncendpoints.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* The permissions of the operator, explained in docs/security.md. Writing is `create` and `patch`
     (server-side apply); `delete` is for optional objects that the resource no longer has. */}}
{{- define "asyncendpoints.rules" -}}
- apiGroups: [asyncendpoints.io]
  resources: [asyncendpoints]
  verbs: [get, list, watch]
- apiGroups: [asyncendpoints.io]
  resources: [asyncendpoints/status]
  verbs: [get, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, serviceaccounts, configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
# Watched for terminated containers; only the deletion cost is patched, and only terminating pods
# are deleted of which nothing but sidecars runs.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [list, create, patch]
# Whether another operator of the same class is still there.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get]
# The Redis URL of an endpoint's own ACL user. Neither get nor list: this does not allow reading.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, delete]
{{- end }}
