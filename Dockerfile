# Two stages: wheels are installed where uv is, and only the result goes into the image that runs.
FROM python:3.12-slim AS build
WORKDIR /app
RUN pip install --no-cache-dir uv==0.13.9
# With OpenTelemetry: --build-arg REQUIREMENTS=requirements-telemetry.txt
ARG REQUIREMENTS=requirements.txt
COPY requirements.txt requirements-telemetry.txt ./
RUN python -m venv /venv && uv pip install --python /venv/bin/python --require-hashes --only-binary :all: --compile-bytecode -r $REQUIREMENTS
COPY . .
RUN PRODUCTION=1 ENV_FILE=/dev/null DATA_DIR=/tmp/build SECRET_KEY=build /venv/bin/python manage.py collectstatic --noinput \
    && chmod -R a+rX /app /venv /tmp/build  # whatever umask the clone was made with

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /data app && mkdir /data && chown app /data
COPY --from=build /venv /venv
COPY --from=build /app /app
COPY --from=build /tmp/build/static /app/static
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PRODUCTION=1 ENV_FILE=/dev/null DATA_DIR=/data STATIC_ROOT=/app/static
USER app
EXPOSE 8000
CMD ["python", "manage.py", "web", "--host", "0.0.0.0", "--port", "8000"]
