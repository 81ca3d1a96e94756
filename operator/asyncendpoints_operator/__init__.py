"""The Kubernetes operator; the only package that knows kopf and kubernetes."""
