# A host of workers, and the control plane: both are the same program. Build it in the top folder of the repository:
#   docker build -f deploy/worker.Dockerfile -t dispatch-mcp-worker .
# With CLAUDE=1 it has Claude Code too; what commands of tasks need (compilers, pytest) goes into an image of your own
# that begins FROM this one.
FROM python:3.12-slim

ARG CLAUDE=0
RUN apt-get update \
 && apt-get install -y --no-install-recommends git ca-certificates tini \
 && if [ "$CLAUDE" = 1 ]; then \
      apt-get install -y --no-install-recommends nodejs npm && npm install -g @anthropic-ai/claude-code; \
    fi \
 && rm -rf /var/lib/apt/lists/*

COPY . /src
RUN pip install --no-cache-dir "/src[temporal,otel]" && rm -rf /src

RUN useradd --create-home --uid 10001 worker && install -d -m 700 -o worker /var/lib/dispatch
USER worker
WORKDIR /var/lib/dispatch
ENV DISPATCH_MCP_HOME=/var/lib/dispatch \
    DISPATCH_MCP_ENGINE=temporal

# Programs of tasks are children of the worker; tini buries those whose parent has died.
ENTRYPOINT ["tini", "--", "dispatch-mcp"]
CMD ["worker", "--engine", "temporal", "--queue", "agents", "--slots", "4"]
