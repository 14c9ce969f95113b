# One image; its arguments choose the process: docker run farebox -m services.ingest.main
ARG BASE=python:3.11-slim
FROM ${BASE} AS build
WORKDIR /build
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY protos protos
COPY services services
COPY gateway gateway
COPY farebox farebox
# Wheels only: the result needs no compiler, and neither does the build.
RUN python -m venv /opt/farebox \
 && /opt/farebox/bin/pip install --no-cache-dir --only-binary :all: --requirement requirements.lock \
 && /opt/farebox/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM ${BASE}
COPY --from=build /opt/farebox /opt/farebox
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/farebox/bin/python"]
