# The node, the default model, and what sets up a development network around it.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends clang libclang-dev cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin tributary

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates dict-devil dict-jargon python3 python3-pip \
    && rm -rf /var/lib/apt/lists/* && pip install --break-system-packages --no-cache-dir requests==2.34.2
COPY --from=build /src/target/release/tributary /usr/local/bin/tributary
RUN tributary model pull
COPY adapters /opt/tributary/adapters
COPY docker/setup.py /opt/tributary/docker/setup.py
COPY genesis/dev.json /opt/tributary/genesis/dev.json
COPY testdata/opstack /opt/tributary/testdata/opstack
COPY tests/interop/devnet /opt/tributary/tests/interop/devnet
WORKDIR /opt/tributary
EXPOSE 8545 8546 8551 8000 9001 30303
ENTRYPOINT ["tributary"]
