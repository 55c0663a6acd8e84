# The vault and the worker, an image each:
#   docker build --target vault -t pawl .
#   docker build --target worker -t pawl-sync .
# Bases are named by digest. To renew one: docker buildx imagetools inspect debian:bookworm-slim
# Without an engine, tests/deploy/by_hand runs the same lines in a clean Debian.

FROM rust:1.95-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082 AS build
RUN apt-get update && apt-get install -y --no-install-recommends libpq-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# What is not ours changes seldom: a layer of its own.
COPY .cargo/config.toml .cargo/
COPY Cargo.toml Cargo.lock ./
COPY benches/Cargo.toml benches/Cargo.toml
RUN mkdir -p src/bin/pawl-demo tests/it benches/src benches/tests/oracles \
    && touch src/lib.rs tests/it/main.rs benches/tests/oracles/main.rs \
    && for main in src/main.rs src/bin/pawl-sync.rs src/bin/pawl-demo/main.rs benches/src/main.rs; do echo 'fn main() {}' >"$main"; done \
    && cargo build --locked --profile dist --features postgres,aws --lib \
    && cargo build --locked --profile dist --lib
COPY migrations migrations
COPY policies policies
COPY src src
# The worker is built without the vault's database: no libpq in its image.
RUN touch src/lib.rs src/main.rs src/bin/pawl-sync.rs && mkdir /out \
    && cargo build --locked --profile dist --features postgres,aws --bin pawl && cp target/dist/pawl /out/ \
    && cargo build --locked --profile dist --bin pawl-sync && cp target/dist/pawl-sync /out/

FROM debian:bookworm-slim@sha256:7c7b2c966bc9ee8cedfeef67e0e279108992c77681fa595db4a9d65c06ccc587 AS vault
LABEL org.opencontainers.image.title="pawl" org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libpq5 && rm -rf /var/lib/apt/lists/* \
    && install -d -m 0700 -o 65532 -g 65532 /var/lib/pawl /keys
COPY --from=build /out/pawl /usr/local/bin/pawl
COPY deploy/sbom/pawl.cdx.json /usr/share/doc/pawl/
ENV PAWL_MODE=production PAWL_DATA_DIR=/var/lib/pawl PAWL_LISTEN=0.0.0.0:7295 PAWL_OPS_LISTEN=127.0.0.1:7296
WORKDIR /var/lib/pawl
USER 65532:65532
EXPOSE 7295
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["pawl", "ready"]
ENTRYPOINT ["pawl"]
CMD ["serve"]

FROM debian:bookworm-slim@sha256:7c7b2c966bc9ee8cedfeef67e0e279108992c77681fa595db4a9d65c06ccc587 AS worker
LABEL org.opencontainers.image.title="pawl-sync" org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && install -d -m 0700 -o 65532 -g 65532 /sink
COPY --from=build /out/pawl-sync /usr/local/bin/pawl-sync
COPY deploy/sbom/pawl-sync.cdx.json /usr/share/doc/pawl-sync/
WORKDIR /sink
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["pawl-sync"]
CMD ["--help"]
