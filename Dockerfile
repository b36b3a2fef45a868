# Two ways to the same image:
#   make image                               the binary built on this host; pulls nothing
#   docker build --target release --build-arg VERSION=… .   built inside, from the golang image
# Both end in scratch: one static binary, no shell, no user but 65532, nothing to write to.

FROM scratch AS host
COPY bin/gamed /gamed
USER 65532:65532
# players, mesh, gossip (tcp and udp), admin
EXPOSE 7300 7301 7302 7302/udp 7303
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s --retries=3 CMD ["/gamed", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/gamed"]

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /gamed ./cmd/gamed

FROM scratch AS release
COPY --from=build /gamed /gamed
USER 65532:65532
EXPOSE 7300 7301 7302 7302/udp 7303
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s --retries=3 CMD ["/gamed", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/gamed"]
