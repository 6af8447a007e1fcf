# The image of all four app processes; docker-compose.yml says which one a container runs.
FROM python:3.13-slim

WORKDIR /trident
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .
RUN pip install --no-cache-dir --no-deps --no-build-isolation -e . \
    && useradd --system trident \
    && install -d -o trident /var/lib/trident

ENV TRIDENT_HOME=/var/lib/trident
USER trident
