# The image of the site: `docker build -t mydemo .`; compose.yaml runs it. docs/deploying.md says what it expects.
# tests/test_image.py runs each step, without an engine.

FROM python:3.13-slim-bookworm AS build
WORKDIR /app
# The packages change rarely and the code often: a layer each. No pip in the image, and nothing without a known hash.
RUN ["python", "-m", "venv", "--without-pip", ".venv"]
COPY requirements.lock ./
RUN ["python", "-m", "pip", "--python", ".venv", "install", "--no-cache-dir", "--disable-pip-version-check", \
     "--require-hashes", "--only-binary", ":all:", "-r", "requirements.lock"]
COPY manage.py gunicorn.conf.py ./
COPY counter ./counter
COPY demo_site ./demo_site
RUN [".venv/bin/python", "-m", "compileall", "-q", "manage.py", "gunicorn.conf.py", "counter", "demo_site"]
# The static files of the admin, for a web server in front; the site also serves them itself. The document and the key
# are for this step only: neither becomes part of the image.
COPY deploy/local/document.json /tmp/document.json
RUN ["env", "DEMO_CONFIG_FILE=/tmp/document.json", "DJANGO_SECRET_KEY=of-this-step", "DATABASE_URL=sqlite://:memory:", \
     ".venv/bin/python", "manage.py", "collectstatic", "--noinput"]
RUN ["chmod", "-R", "a+rX", ".local"]

FROM python:3.13-slim-bookworm
WORKDIR /app
# The only place to write to, for DEMO_CONFIG_SNAPSHOT: mount a volume there. All else may be read-only.
RUN ["install", "-d", "-o", "10001", "-g", "10001", "/var/lib/mydemo"]
COPY --from=build /app/.venv ./.venv
COPY --from=build /app/manage.py /app/gunicorn.conf.py ./
COPY --from=build /app/.local ./.local
COPY --from=build /app/counter ./counter
COPY --from=build /app/demo_site ./demo_site
ENV PATH=/app/.venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GUNICORN_BIND=0.0.0.0:8000 \
    DEMO_CONFIG_SNAPSHOT=/var/lib/mydemo/snapshot
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["python", "-S", "-c", \
     "import http.client, os, sys; port = int(os.environ['GUNICORN_BIND'].rpartition(':')[2]); site = http.client.HTTPConnection('127.0.0.1', port, timeout=2); site.request('GET', '/livez'); sys.exit(site.getresponse().status != 200)"]
# The workers' heartbeats are in shared memory: /tmp may be missing, or a disk that hangs.
CMD ["gunicorn", "--worker-tmp-dir", "/dev/shm", "demo_site.asgi"]
