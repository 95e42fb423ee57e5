# syntax=docker/dockerfile:1
# Holdfast as it runs in production: no server, no pip, no compiler, no root, and nothing that it writes to but its state.
#
#   docker build --tag holdfast --build-arg VERSION="$(git describe --always)" .
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges \
#     --volume holdfast-state:/var/lib/holdfast --volume "$PWD/holdfast.yaml:/etc/holdfast/holdfast.yaml:ro" \
#     --publish 127.0.0.1:9464:9464 holdfast
#
# docs/how-to-deploy.md has the rest. Name the base by its digest where builds must be the same for ever.
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
WORKDIR /src
COPY deploy/build.sh deploy/build.sh
COPY pyproject.toml README.md requirements.lock requirements-build.lock ./
COPY monitor monitor
COPY docs/runbooks docs/runbooks
RUN --mount=type=cache,target=/root/.cache/pip deploy/build.sh /opt/holdfast

FROM ${PYTHON}
# What runs installs nothing.
RUN python -m pip uninstall --quiet --yes setuptools wheel pip \
    && rm -rf /usr/local/lib/python3.11/ensurepip /root/.cache \
    && groupadd --gid 10001 holdfast \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /var/lib/holdfast \
       --shell /usr/sbin/nologin holdfast \
    && install --directory --owner 10001 --group 10001 --mode 0755 /var/lib/holdfast \
    && install --directory --mode 0755 /etc/holdfast

COPY --from=build /opt/holdfast /opt/holdfast
ARG VERSION=unknown
LABEL org.opencontainers.image.title="Holdfast" \
      org.opencontainers.image.description="Does the data that we acknowledged still come back: whole, in order, on time, and only to its owner?" \
      org.opencontainers.image.documentation="docs/how-to-deploy.md" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm"
# HOLDFAST_HTTP__LISTEN wins over the configuration's http.listen, so that HEALTHCHECK asks where the daemon listens.
ENV PATH=/opt/holdfast/bin:/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOLDFAST_HTTP__LISTEN=0.0.0.0:9464
USER 10001:10001
WORKDIR /var/lib/holdfast
VOLUME /var/lib/holdfast
EXPOSE 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=3s --start-period=30s --retries=3 CMD ["python", "-m", "monitor.alive"]
ENTRYPOINT ["holdfast"]
CMD ["run"]
