# An exported model.onnx as a page and an API, without torch: docker build -f deploy/slim.Dockerfile -t lightloom-slim .
FROM python:3.12-slim
WORKDIR /app
COPY requirements.lock deploy/requirements-slim.in ./
# The lock says which versions; --no-deps with it would bring torch, so only what is asked for is resolved, within it.
RUN sed -E '/^ *--hash/d; s/ *\\$//' requirements.lock > constraints.txt \
    && pip install --no-cache-dir --requirement requirements-slim.in --constraint constraints.txt
COPY pyproject.toml README.md LICENSE setup.py ./
COPY configs configs
COPY src src
RUN useradd --create-home --uid 1000 serve && mkdir -p /models /logs && chown serve /logs
USER serve
ENV PYTHONPATH=/app/src PYTHONUNBUFFERED=1 LIGHTLOOM_LOG_DIR=/logs
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["python", "src/serve.py", "host=0.0.0.0"]
CMD ["ckpt_path=/models/model.onnx"]
