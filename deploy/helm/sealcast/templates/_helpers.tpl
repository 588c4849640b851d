{{- define "sealcast.name" -}}
{{- printf "%s" .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "sealcast.selector" -}}
app.kubernetes.io/name: sealcast
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sealcast.labels" -}}
{{ include "sealcast.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}
