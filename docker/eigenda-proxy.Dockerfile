# EigenDA's proxy from its source, at the commit whose REST contract this project's client and memstore were checked against.
FROM golang:1.26-bookworm AS build
RUN git clone --filter=blob:none https://github.com/Layr-Labs/eigenda /src && git -C /src checkout 61019b4e
WORKDIR /src/api/proxy
RUN go build -o /eigenda-proxy ./cmd/server

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /eigenda-proxy /usr/local/bin/eigenda-proxy
ENTRYPOINT ["eigenda-proxy"]
