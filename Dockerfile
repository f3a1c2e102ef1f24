# The collector in a container: docs/cloud-run.md, README.md. Needs BuildKit (Docker 23 or newer), Podman or Buildah.

# Matomo's patterns for devices: data that are taken as they are, into a file of their own beside the program.
FROM python:3.13-slim-bookworm AS patterns
COPY devices /devices
RUN /devices/install.sh /patterns

FROM rust:1.95-slim-bookworm AS build
# The allocator's build wants make. Debian takes old versions away, so none is named.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
# What is compiled stays in caches of the builder, so that the next build compiles only what changed. The caches
# outlive this copy of the sources, whose times may be older: touched, our own code is always compiled anew.
RUN --mount=type=cache,id=real-streaming-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=real-streaming-target,target=/build/target,sharing=locked \
    touch src/lib.rs src/main.rs \
    && cargo build --release --locked --bin real-streaming \
    && cp target/release/real-streaming /build/real-streaming
COPY --from=patterns /patterns /patterns
RUN /build/real-streaming devices compile /patterns/*/device_detector /build/devices.bin

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="Real Streaming" \
      org.opencontainers.image.description="Web-event collector: GA4-shaped rows in your own storage, in seconds, without losing one" \
      org.opencontainers.image.licenses="MIT"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/real-streaming --shell /usr/sbin/nologin collector \
    && install --directory --owner=collector --group=collector /var/lib/real-streaming
# The authorities by which destinations elsewhere are believed.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /build/real-streaming /usr/local/bin/real-streaming
# Devices are told by it. Another one may take its place, by a mount or ENRICH__DEVICE_DATA (docs/devices.md).
COPY --from=build /build/devices.bin /usr/local/bin/devices.bin

# The log, the table and the dead letter; .env is read here too.
WORKDIR /var/lib/real-streaming
VOLUME /var/lib/real-streaming
# By number, so that a cluster which forbids root can tell that it is none.
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["real-streaming", "health"]
ENTRYPOINT ["real-streaming"]
CMD ["serve"]
