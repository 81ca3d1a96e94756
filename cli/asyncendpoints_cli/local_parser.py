"""The commands that run, check and write endpoints and processes, with options and examples."""

import argparse
from typing import Final

from asyncendpoints_cli.command import Command, argument

KUBECONFIG: Final = argument(
    "--kubeconfig",
    metavar="PATH",
    help="kubeconfig file; default: the service account if run in a pod, else $KUBECONFIG, else "
    "~/.kube/config",
)
CONTEXT: Final = argument("--context", metavar="NAME", help="context in the kubeconfig file")

LOCAL: Final = (
    Command(
        name="run",
        summary="serve endpoints on this machine, with gateway and workers",
        description="Serves the endpoints in the files on this machine: an HTTP gateway, and "
        "workers that are scaled between minReplicas and maxReplicas by the number of jobs.",
        arguments=(
            argument(
                "files",
                nargs="+",
                metavar="FILE",
                help="YAML file with one or more AsyncEndpoint resources, or MODULE:NAME of an "
                "Endpoint in code, imported from the current directory",
            ),
        ),
        settings="run",
        examples=(
            ("asyncendpoints run endpoint.yaml", "everything in this process, jobs in memory"),
            (
                "asyncendpoints run endpoint.yaml --redis redis://127.0.0.1:6379/0",
                "jobs in Redis, workers in separate processes",
            ),
            ("asyncendpoints run shop:ep --reload", "an Endpoint in code: ep of shop.py"),
            ("asyncendpoints run *.yaml --port 0 --reload", "several, on free ports, with reload"),
            (
                "asyncendpoints run node.yaml --http-target http://127.0.0.1:3000/jobs",
                "handlers in another language, called over HTTP",
            ),
        ),
        notes=(
            "Each endpoint gets its own port, counted up from --port, and prints one line on "
            "stdout when it is ready; logs go to stderr. On a terminal it shows what is served and "
            "a line for each request and job. The module in worker.handlers is imported from the "
            "directory of the resource's file.",
            "Ctrl-C lets running jobs finish; a second Ctrl-C aborts them. Without --redis, jobs "
            "are kept in memory, and unfinished ones are lost when the process exits.",
            "At least one worker is kept, unless spec.replicas is 0 or spec.suspend is true.",
            "With --reload, the files and all Python files in their directories are watched: "
            "changed code and resources are applied within seconds, added endpoints are served, "
            "and removed ones are stopped. A change with a fault is not applied.",
        ),
    ),
    Command(
        name="gateway",
        summary="run the HTTP gateway of one endpoint",
        description="Runs the HTTP gateway of one endpoint: it accepts requests with 202 and "
        "reports the state of jobs. Jobs are run by `asyncendpoints worker`.",
        settings="gateway",
        examples=(
            (
                "asyncendpoints gateway --endpoint endpoint.yaml --redis redis://127.0.0.1:6379/0",
                "",
            ),
            (
                "asyncendpoints gateway --endpoint endpoint.yaml --host 0.0.0.0",
                "with $ASYNCENDPOINTS_REDIS_URL_FILE",
            ),
        ),
    ),
    Command(
        name="worker",
        summary="run the jobs of one endpoint",
        description="Runs the jobs of one endpoint until SIGTERM; then running jobs finish within "
        "the drain time, and others are released.",
        settings="worker",
        arguments=(
            # Used by `run` for its workers: they drain at the end of file on the death pipe, import
            # the handlers from the folder of the user's file instead of its copy, and write their
            # metrics to a file. --check only checks that every route has a handler.
            argument("--death-pipe", type=int, metavar="FD", help=argparse.SUPPRESS),
            argument("--folder", metavar="DIR", help=argparse.SUPPRESS),
            argument("--metrics-file", metavar="FILE", help=argparse.SUPPRESS),
            argument("--check", action="store_true", help=argparse.SUPPRESS),
        ),
        examples=(
            (
                "asyncendpoints worker --endpoint endpoint.yaml --redis redis://127.0.0.1:6379/0",
                "",
            ),
            (
                "asyncendpoints worker --endpoint endpoint.yaml --admin-port 9090",
                "with probes and metrics",
            ),
        ),
    ),
    Command(
        name="operator",
        summary="run the Kubernetes operator",
        description="Watches the AsyncEndpoint resources of a Kubernetes cluster and manages their "
        "gateways and workers. Requires: pip install 'asyncendpoints[operator]'.",
        settings="operator",
        arguments=(KUBECONFIG, CONTEXT),
        examples=(
            ("asyncendpoints operator", "in a pod, as the chart starts it"),
            (
                "asyncendpoints operator --kubeconfig ~/.kube/config",
                "on another machine, in the same leader election",
            ),
        ),
    ),
    Command(
        name="validate",
        summary="check files for faults",
        description="Checks files without running anything and prints every fault with its file, "
        "line, column and field. Endpoints in code are imported and checked: their routes, "
        "annotations and schemas. Exit status 0: all are valid; 2: they are not.",
        arguments=(
            argument(
                "files",
                nargs="+",
                metavar="FILE",
                help="YAML file with one or more AsyncEndpoint resources, or MODULE:NAME of an "
                "Endpoint in code",
            ),
            argument(
                "--cluster",
                action="store_true",
                help="also check the requirements of a cluster, such as worker.image",
            ),
            argument(
                "--handlers",
                action="store_true",
                help="also import the handlers: each job that the resource names has one, and the "
                "schemas of a route's body and result are those of its annotations; requires the "
                "extra [export]",
            ),
            argument(
                "--fix",
                action="store_true",
                help="with --handlers: write the schemas into the files, keeping their comments",
            ),
        ),
        examples=(
            ("asyncendpoints validate endpoint.yaml", ""),
            ("asyncendpoints validate shop:ep", "an Endpoint in code"),
            ("asyncendpoints validate endpoint.yaml --handlers --fix", "writes the schemas"),
            ("asyncendpoints validate --cluster deploy/*.yaml", "as for `kubectl apply`"),
        ),
    ),
    Command(
        name="init",
        summary="write a first project, with a route in code and its test",
        description="Writes jobs.py, an Endpoint with one route, and test_jobs.py into a folder, "
        "and prints what to run next. Nothing that exists is overwritten.",
        arguments=(
            argument(
                "folder",
                nargs="?",
                default=".",
                metavar="FOLDER",
                help="folder of the project, made if missing; default: this one",
            ),
            argument("--name", metavar="NAME", help="name of the endpoint; default: the folder's"),
        ),
        examples=(("asyncendpoints init greetings", ""),),
    ),
    Command(
        name="export",
        summary="write the resource of an Endpoint in code as YAML",
        description="Writes the AsyncEndpoint resource that an Endpoint in Python code describes. "
        "In an existing file the code's fields, and of each of its routes path, methods, job, "
        "schema and result, are updated; everything else, comments too, stays. Requires: pip "
        "install 'asyncendpoints[export]'.",
        arguments=(
            argument("endpoint", metavar="MODULE:NAME", help="where the Endpoint is: jobs:ep"),
            argument("-o", "--output", metavar="FILE", help="file to write; default: stdout"),
            argument("--image", metavar="IMAGE", help="worker.image"),
            argument(
                "--check",
                action="store_true",
                help="write nothing; exit status 1 if FILE differs from the code",
            ),
            argument(
                "--prune", action="store_true", help="remove routes of FILE that no function has"
            ),
        ),
        examples=(
            ("asyncendpoints export shop:ep", "to stdout"),
            (
                "asyncendpoints export shop:ep --image registry.example.com/shop:1 -o shop.yaml",
                "creates or updates the file",
            ),
            ("asyncendpoints export shop:ep -o shop.yaml --check", "in CI"),
        ),
        notes=("The module is imported from the current directory.",),
    ),
    Command(
        name="webhook-secret",
        summary="print the secret of a receiver that clients name",
        description="Prints the secret that signs requests to receivers of an origin that clients "
        "name by the header Job-Webhook. It is made from the origin and the secrets of "
        "spec.webhookRequests, a line for each of these.",
        arguments=(
            argument(
                "origin", metavar="ORIGIN", help="of the receiver's URL: https://hooks.example.com"
            ),
            argument(
                "--secrets",
                default="-",
                metavar="FILE",
                help="file with the secrets of spec.webhookRequests; default: stdin",
            ),
        ),
        examples=(
            ("asyncendpoints webhook-secret https://hooks.example.com --secrets secret", ""),
            ("asyncendpoints webhook-secret https://hooks.example.com < secret", ""),
        ),
        notes=(
            "Of an endpoint in a cluster, the secrets are in the Secret that spec.webhookRequests "
            "names: kubectl get secret … -o jsonpath and base64 -d.",
        ),
    ),
    Command(
        name="unpin",
        summary="resume autoscaling of an AsyncEndpoint in a cluster",
        description="Removes spec.replicas, which `kubectl scale` sets, from an AsyncEndpoint, so "
        "that autoscaling resumes. Requires: pip install 'asyncendpoints[operator]'.",
        arguments=(
            argument("name", metavar="NAME", help="name of the AsyncEndpoint"),
            argument(
                "-n",
                "--namespace",
                default=None,
                metavar="NAME",
                help="namespace of the AsyncEndpoint; default: that of the context",
            ),
            KUBECONFIG,
            CONTEXT,
        ),
        examples=(
            ("kubectl scale aep/reports --replicas=3", "pins it at 3"),
            ("asyncendpoints unpin reports", "resumes autoscaling"),
        ),
    ),
)
