{{/* The name of every namespaced object. */}}
{{- define "pgsweep.operator" -}}
{{ printf "%s-operator" (.Release.Name | replace "." "-" | trunc 54 | trimSuffix "-") }}
{{- end }}

{{/* The name of what reaches beyond the release's namespace. */}}
{{- define "pgsweep.clusterWide" -}}
{{ printf "pgsweep:%s:%s" .Release.Namespace .Release.Name }}
{{- end }}

{{/* The same for what must have the name of a DNS subdomain. */}}
{{- define "pgsweep.admission" -}}
{{ printf "pgsweep.%s.%s" .Release.Namespace .Release.Name }}
{{- end }}

{{- define "pgsweep.selectorLabels" -}}
app.kubernetes.io/name: pgsweep
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "pgsweep.labels" -}}
{{ include "pgsweep.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* An image by digest, else by tag, else by the version of the chart. Takes image and chart. */}}
{{- define "pgsweep.image" -}}
{{- if .image.digest -}}
{{ printf "%s@%s" .image.repository .image.digest }}
{{- else -}}
{{ printf "%s:%s" .image.repository (.image.tag | default .chart.AppVersion) }}
{{- end -}}
{{- end }}

{{/* Where the policy of `helm test` lives: a namespace that the operator watches. */}}
{{- define "pgsweep.testNamespace" -}}
{{ first (append .Values.watchNamespaces .Release.Namespace) }}
{{- end }}

{{- define "pgsweep.test" -}}
{{ printf "%s-test" (.Release.Name | replace "." "-" | trunc 44 | trimSuffix "-") }}
{{- end }}

{{/* Not the operator's: neither its Service nor its other selectors may find the pod of the test. */}}
{{- define "pgsweep.testLabels" -}}
app.kubernetes.io/name: pgsweep
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: test
{{- end }}

{{/* What fails stays, until the next test, so that its log can be read. */}}
{{- define "pgsweep.testHook" -}}
helm.sh/hook: test
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
