# docker build -t lightloom . && docker run --rm -v "$PWD/logs:/app/logs" lightloom train model=mlp
# With CUDA: docker build --build-arg TORCH=default ..., and docker run --gpus all --shm-size=8g ...
FROM python:3.12-slim
ARG TORCH=cpu
WORKDIR /app
COPY requirements.lock pyproject.toml setup.py README.md LICENSE ./
COPY tools/environment.py tools/
COPY src src
COPY configs configs
RUN python tools/environment.py --torch ${TORCH}
ENV PATH="/app/.venv/bin:$PATH"
ENTRYPOINT ["lightloom"]
CMD ["train"]
