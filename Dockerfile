# Portico for production: the binary on Debian, with a Postgres elsewhere (DATABASE_URL). The embedded Postgres is for one
# machine without an administrator; a container has neither the need nor a folder that outlives it.

FROM node:24-bookworm-slim AS portal
WORKDIR /src/portal
COPY portal/package.json portal/package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
COPY portal ./
RUN npm run build

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev make \
    && rm -rf /var/lib/apt/lists/*
COPY . .
COPY --from=portal /src/portal/dist portal/dist
# The caches make a second build short; the binary is copied out because a cache is no part of the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --release -p server --bin portico \
    && cp target/release/portico /usr/local/bin/portico

FROM debian:12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/portico --create-home --shell /usr/sbin/nologin portico
COPY --from=build /usr/local/bin/portico /usr/local/bin/portico
COPY docker/entrypoint.sh /usr/local/bin/portico-entrypoint
COPY docker/healthy.sh /usr/local/bin/portico-healthy
USER portico
WORKDIR /var/lib/portico
ENV PORTICO_DATA_DIR=/var/lib/portico/data \
    PORTICO_LISTEN=0.0.0.0:8080 \
    PORTICO_GATEWAY_LISTEN=0.0.0.0:8081 \
    PORTICO_PORTAL_LISTEN=0.0.0.0:8082
EXPOSE 8080 8081 8082
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s CMD ["portico-healthy", "8080", "/readyz"]
ENTRYPOINT ["portico-entrypoint"]
CMD ["serve"]
