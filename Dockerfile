# A first image: what runs in production, without the demo's servers and without build tools. Part 5 hardens it.
FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements-demo.lock requirements.lock pyproject.toml README.md ./
COPY monitor monitor
RUN python -m venv /build && /build/bin/pip install --quiet --require-hashes -r requirements-demo.lock \
    && /build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python -m venv /opt/holdfast \
    && /opt/holdfast/bin/pip install --quiet --require-hashes -r requirements.lock \
    && /opt/holdfast/bin/pip install --quiet --no-deps /wheels/*.whl

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/holdfast --create-home holdfast
COPY --from=build /opt/holdfast /opt/holdfast
ENV PATH=/opt/holdfast/bin:$PATH PYTHONUNBUFFERED=1 HOLDFAST_HTTP__LISTEN=0.0.0.0:9464
USER holdfast
WORKDIR /var/lib/holdfast
VOLUME /var/lib/holdfast
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=3s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/healthz', timeout=2)"]
ENTRYPOINT ["holdfast"]
CMD ["run"]
