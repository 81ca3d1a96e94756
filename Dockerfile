# The images of the project: operator, gateway, worker (a user's worker image is FROM the last).
# Every target runs as a numeric non-root user, on a read-only root, on any UID of group 0.
ARG BASE=python:3.13-slim

# The locked dependencies, in layers that are rebuilt only when the lock changes. All modules are
# compiled here with hash-based bytecode: pods cannot write any and should start fast.
FROM ${BASE} AS dependencies
WORKDIR /src
RUN python3 -m venv /opt/asyncendpoints
ENV PATH=/opt/asyncendpoints/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements/core.txt ./
RUN pip install --quiet --require-hashes --no-compile -r core.txt \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/asyncendpoints/lib

FROM dependencies AS dependencies-operator
COPY requirements/operator.txt ./
RUN pip install --quiet --require-hashes --no-compile -r operator.txt \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/asyncendpoints/lib

# The project itself, as the wheel that users install.
FROM ${BASE} AS wheel
WORKDIR /src
COPY requirements/build.txt ./
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --quiet --no-cache-dir \
    --disable-pip-version-check --require-hashes -r build.txt
COPY pyproject.toml README.md LICENSE ./
COPY core core
COPY console console
COPY gateway gateway
COPY worker worker
COPY operator operator
COPY cli cli
COPY sdk sdk
RUN /opt/build/bin/python -m hatchling build --target wheel --directory /dist

FROM dependencies AS build
COPY --from=wheel /dist /dist
RUN pip install --quiet --no-deps --no-index --no-compile /dist/*.whl \
    && python3 -m compileall -q --invalidation-mode unchecked-hash \
    /opt/asyncendpoints/lib/python3*/site-packages/asyncendpoints*

# Most images that install more packages are built on the worker's: pip is an eighth of the others.
# For these, docs/tracing.md uses the pip of the base image.
FROM build AS build-gateway
RUN rm -r /opt/asyncendpoints/bin/pip* /opt/asyncendpoints/lib/python3*/site-packages/pip \
    /opt/asyncendpoints/lib/python3*/site-packages/pip-*

FROM dependencies-operator AS build-operator
COPY --from=wheel /dist /dist
RUN pip install --quiet --no-deps --no-index --no-compile /dist/*.whl \
    && python3 -m compileall -q --invalidation-mode unchecked-hash \
    /opt/asyncendpoints/lib/python3*/site-packages/asyncendpoints* \
    && rm -r /opt/asyncendpoints/bin/pip* /opt/asyncendpoints/lib/python3*/site-packages/pip \
    /opt/asyncendpoints/lib/python3*/site-packages/pip-*

FROM ${BASE} AS base
ENV PATH=/opt/asyncendpoints/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:0
ENTRYPOINT ["asyncendpoints"]

FROM base AS operator
# Its 40 threads share one heap of malloc: with one each, 10 MB of freed memory stay in them.
ENV MALLOC_ARENA_MAX=1
COPY --from=build-operator /opt/asyncendpoints /opt/asyncendpoints
CMD ["operator"]

FROM base AS gateway
COPY --from=build-gateway /opt/asyncendpoints /opt/asyncendpoints
CMD ["gateway", "--help"]

FROM base AS worker
COPY --from=build /opt/asyncendpoints /opt/asyncendpoints
# An image built on this one copies its handlers to /app.
ENV PYTHONPATH=/app
WORKDIR /app
CMD ["worker", "--help"]
