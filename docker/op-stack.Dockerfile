# op-node and op-batcher at the versions that the interop tests run against.
FROM golang:1.26-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*
COPY tests/interop/prepare.sh tests/interop/superchain_zip.py /src/
RUN /src/prepare.sh /out

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/bin/op-node /out/bin/op-batcher /usr/local/bin/
