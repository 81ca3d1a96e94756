# The images of the project: operator, gateway, worker (a user's worker image is FROM the last).
# Every target runs as a numeric non-root user, on a read-only root, on any UID of group 0.
ARG BASE=python:3.13-slim

FROM ${BASE} AS build
WORKDIR /src
RUN python3 -m venv /opt/asyncendpoints
ENV PATH=/opt/asyncendpoints/bin:$PATH PIP_NO_CACHE_DIR=1
COPY pyproject.toml README.md LICENSE ./
COPY core core
COPY gateway gateway
COPY worker worker
COPY operator operator
COPY cli cli
RUN pip install --quiet .

FROM build AS build-operator
RUN pip install --quiet ".[operator]"

FROM ${BASE} AS base
ENV PATH=/opt/asyncendpoints/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 65532:0
ENTRYPOINT ["asyncendpoints"]

FROM base AS operator
COPY --from=build-operator /opt/asyncendpoints /opt/asyncendpoints
CMD ["operator"]

FROM base AS gateway
COPY --from=build /opt/asyncendpoints /opt/asyncendpoints
CMD ["gateway", "--help"]

FROM base AS worker
COPY --from=build /opt/asyncendpoints /opt/asyncendpoints
# Handlers are copied to /app by the image built on this one.
ENV PYTHONPATH=/app
WORKDIR /app
CMD ["worker", "--help"]
