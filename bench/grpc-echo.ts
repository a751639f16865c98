/**
 * The floor under every gRPC number of a node: a stand-alone server that answers `etcdserverpb.KV/Put` at once with a
 * constant, through the listener and the gRPC server of the real door and nothing else. Load it with h2load:
 *
 *     node bench/grpc-echo.ts --port 7411 --put /tmp/put.bin
 *     h2load -n 100000 -c 8 -m 32 -H 'content-type: application/grpc' -H 'te: trailers' -d /tmp/put.bin \
 *       http://127.0.0.1:7411/etcdserverpb.KV/Put
 *
 * `--put FILE` writes the request body first: the gRPC prefix and a PutRequest of a 4-byte key and a 256-byte value.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { GrpcServer } from "../src/doors/grpc/grpc-server.ts";
import { frameMessage } from "../src/doors/grpc/message.ts";
import { FRAME_HEADROOM } from "../src/doors/grpc/method.ts";
import { Listener } from "../src/doors/listener.ts";
import { silentObserver } from "../src/ports/observer.ts";

const { values } = parseArgs({ options: { port: { type: "string", default: "7411" }, put: { type: "string" } } });

if (values.put !== undefined) {
  const key = Buffer.from("key1");
  const value = Buffer.alloc(256, "x");
  writeFileSync(
    values.put,
    frameMessage(Buffer.concat([Buffer.from([0x0a, key.length]), key, Buffer.from([0x12, 0x80, 0x02]), value])),
  );
}

/** A PutResponse as a cluster sends it: header of cluster id, member id, revision and term. */
const answer = Buffer.concat([Buffer.alloc(FRAME_HEADROOM), Buffer.alloc(22, 0x08)]);

const server = new GrpcServer({
  services: { "etcdserverpb.KV": { Put: { type: "unary", handle: (_, call) => call.replyFramed(answer) } } },
  observer: silentObserver,
  messageBytesMax: 2_097_152,
  streamsPerConnectionMax: 1_000,
  unfinishedBytesMax: 64 * 1024 * 1024,
});
await Listener.open({
  address: `127.0.0.1:${values.port}`,
  connectionsMax: 1_000,
  observer: silentObserver,
  http1: (socket) => socket.destroy(),
  http2: (socket) => server.take(socket),
});
process.on("SIGTERM", () => process.exit(0));
