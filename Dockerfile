# The image of all four app processes: a container runs the line of the Procfile that it is named.
FROM python:3.13-slim

WORKDIR /trident
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation -e . \
    && useradd --system --uid 10001 trident \
    && install -d -o trident /var/lib/trident

ENV TRIDENT_HOME=/var/lib/trident
USER trident
# `exec` puts the process in the shell's place, so that it gets the signals itself.
ENTRYPOINT ["/bin/sh", "-c", "eval \"exec $(sed -n \"s/^$0: //p\" Procfile)\""]
CMD ["web"]
