{{/* The name of every object. */}}
{{- define "session-api.name" -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- if contains .Chart.Name $release -}}
{{ $release | trunc 54 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" ($release | trunc 42 | trimSuffix "-") .Chart.Name }}
{{- end -}}
{{- end }}

{{- define "session-api.selectorLabels" -}}
app.kubernetes.io/name: session-api
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: server
{{- end }}

{{- define "session-api.commonLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "session-api.labels" -}}
{{ include "session-api.selectorLabels" . }}
{{ include "session-api.commonLabels" . }}
{{- end }}

{{/* Not the server's: neither its Service nor its other selectors may find the pod of the migration. */}}
{{- define "session-api.migrationLabels" -}}
app.kubernetes.io/name: session-api
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: migration
{{- end }}

{{/* An image by digest, else by tag, else by the version of the chart. */}}
{{- define "session-api.image" -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end -}}
{{- end }}

{{/* A variable from a Secret. Takes its name and the Secret's name and key. */}}
{{- define "session-api.fromSecret" -}}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret.name }}
      key: {{ .secret.key }}
{{- end }}

{{/* What the server and the migration read alike. Takes the root and the Secret of the URL. */}}
{{- define "session-api.connect" -}}
{{ include "session-api.fromSecret" (dict "variable" "DATABASE_URL" "secret" .urlSecret) }}
{{- with .root.Values.database.caSecret }}
{{- if .name }}
{{ include "session-api.fromSecret" (dict "variable" "PGSWEEP_DATABASE_CA" "secret" .) }}
{{- end }}
{{- end }}
- name: PGSWEEP_CONNECT_TIMEOUT
  value: {{ .root.Values.database.connectTimeout | quote }}
- name: PGSWEEP_LOG_LEVEL
  value: {{ .root.Values.logLevel | quote }}
- name: PGSWEEP_LOG_FORMAT
  value: {{ .root.Values.logFormat }}
{{- end }}

{{/* A pod that needs nothing. No fixed uid: the image names one that is not root, and a cluster may
choose its own. */}}
{{- define "session-api.podSecurity" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "session-api.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
