"""Figures of servers: how fast they accept, wait and start, and what is installed."""

from bench.figure import Figure, script


def submissions(quick: bool) -> list[Figure]:
    """Accepted submissions at 64 connections, beside a bare aiohttp echo of the same body."""
    size = ("--rounds", "1", "--seconds", "2") if quick else ("--rounds", "5", "--seconds", "3")
    found = script("bench_submit.py", *size)
    return [
        Figure("submissions, Redis, 64 connections", found["gateway_per_s"], "req/s"),
        Figure("aiohttp echo of the same body", found["echo_per_s"], "req/s"),
        Figure("submissions beside the echo", found["ratio"], "×", 0.8),
        Figure("submissions beside the echo, processor time", found["cpu_ratio"], "×"),
    ]


def asgi(quick: bool) -> list[Figure]:
    """asgi() under uvicorn, alone and mounted, beside a bare Starlette echo of the same body."""
    size = ("--rounds", "1", "--seconds", "2") if quick else ("--rounds", "5", "--seconds", "3")
    found = script("bench_asgi.py", *size)
    return [
        Figure("submissions, ASGI, Redis, 64 connections", found["asgi_per_s"], "req/s"),
        Figure("Starlette echo of the same body", found["echo_per_s"], "req/s"),
        Figure("ASGI beside the echo", found["asgi_ratio"], "×", 0.7),
        Figure("ASGI beside the echo, processor time", found["asgi_cpu_ratio"], "×"),
        Figure("ASGI mounted in Starlette beside the echo", found["mounted_ratio"], "×"),
    ]


def latency(quick: bool) -> list[Figure]:
    """From a submission to its handler's start, on an idle system."""
    found = script("bench_latency.py", "--samples", "100" if quick else "300", "--json")
    return [
        Figure("submit → handler started, idle, p50", found["p50 ms"], "ms", 1, at_least=False),
        Figure("submit → handler started, idle, p99", found["p99 ms"], "ms", 3, at_least=False),
        Figure("submit → handler started, idle, longest", found["max ms"], "ms"),
        Figure("end of a delay → handler started, idle, longest", found["delayed max ms"], "ms"),
        Figure("bare RPUSH → BLPOP with redis-py, idle, p50", found["bare p50 ms"], "ms"),
    ]


def waiting(quick: bool) -> list[Figure]:
    """A gateway that holds 1,000 long polls and 1,000 event streams, beside one that holds none."""
    found = script("bench_waiting.py", "--requests", "200" if quick else "2000")
    return [
        Figure("submission and read, 2,000 requests wait, p99", found["p99 ms"], "ms"),
        Figure("submission and read, none wait, p99", found["p99 ms without"], "ms"),
        Figure("… beside none", found["p99 ms"] / found["p99 ms without"], "×", 2, at_least=False),
        Figure("long poll, processor time of the gateway", found["poll us"], "µs"),
        Figure("event stream, the same", found["stream us"], "µs"),
        Figure("plain read over a new connection, the same", found["read us"], "µs"),
    ]


def start(quick: bool) -> list[Figure]:
    """From the start of `asyncendpoints run` to its first 202, beside uvicorn and Starlette."""
    found = script("bench_start.py", "--rounds", "1" if quick else "9")
    return [
        Figure("start of run until its first 202, memory", found["run ms"], "ms"),
        Figure("start of run until its first 202, Redis", found["run with Redis ms"], "ms"),
        Figure("start of uvicorn with a bare Starlette", found["uvicorn ms"], "ms"),
    ]


def packages(quick: bool) -> list[Figure]:
    """What `from asyncendpoints import handler` costs, and the sizes of what is installed."""
    found = script("bench_import.py", "--rounds", "5" if quick else "20")
    return [
        Figure("from asyncendpoints import handler", found["import_ms"], "ms", 30, at_least=False),
        Figure("the interpreter alone", found["python_ms"], "ms"),
        Figure("wheel, asyncendpoints", found["wheel_kib"], "KiB"),
        Figure("wheel, asyncendpoints-client", found["client_kib"], "KiB"),
        Figure("npm package, asyncendpoints-client", found["npm_kib"], "KiB"),
    ]
