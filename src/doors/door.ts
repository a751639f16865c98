/**
 * A node's public port, whole: the listener, gRPC with etcd's services, the JSON gateway, health and metrics.
 * Owns the sockets; everything it serves belongs to others.
 */
import type { Limits } from "../config/limits.ts";
import type { Observer } from "../ports/observer.ts";
import { checkReach, isLoopback, parseAddress } from "./address.ts";
import { Gateway } from "./etcd/gateway.ts";
import type { EtcdService } from "./etcd/service.ts";
import { etcdSurface } from "./etcd/services.ts";
import { ByteBudget } from "./grpc/byte-budget.ts";
import { GrpcServer } from "./grpc/grpc-server.ts";
import { healthService } from "./grpc/health-service.ts";
import type { HealthSource, VersionInfo } from "./http/health.ts";
import { HttpServer } from "./http/http-server.ts";
import { Listener } from "./listener.ts";

export interface DoorOptions {
  /** `host:port`; port 0 picks a free one. */
  readonly address: string;
  /** Allows an address beyond loopback although nothing is encrypted and nobody is asked who they are. */
  readonly insecure?: boolean;
  readonly coordination: EtcdService;
  readonly limits: Limits;
  readonly observer: Observer;
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
  readonly health: HealthSource;
  readonly version: VersionInfo;
  /** For tests of slow clients. Defaults: 10 s to show a protocol, 10 s for HTTP headers, 30 s for a request's body. */
  readonly timings?: {
    readonly detectionMs?: number;
    readonly headersMs?: number;
    readonly requestArrivalMs?: number;
    readonly keepaliveMs?: number;
    readonly keepaliveTimeoutMs?: number;
  };
}

export interface Door {
  /** With the port filled in. */
  readonly address: string;
  readonly connections: number;
  /** Takes no more, lets calls under way finish for `graceMs` (default 1 s), ends the streams, and cuts the rest. */
  close(options?: { readonly graceMs?: number }): Promise<void>;
}

/** etcd adds this to its request limit for what stands around a request in a message. */
const MESSAGE_OVERHEAD_BYTES = 512 * 1024;

/** Opens the port. Fails with ADDRESS_UNSAFE, ADDRESS_IN_USE, CONFIG_INVALID. */
export async function openDoor(options: DoorOptions): Promise<Door> {
  const { address, limits, observer, health, timings = {} } = options;
  const { host } = parseAddress(address);
  checkReach(address, { insecure: options.insecure === true });

  const { services, routes } = etcdSurface(options.coordination);
  const isServing = (): boolean => health.livez().length === 0 && health.readyz().length === 0;
  const messageBytesMax = limits.requestBytesMax + MESSAGE_OVERHEAD_BYTES;
  const grpc = new GrpcServer({
    services: {
      ...services,
      "grpc.health.v1.Health": healthService(isServing, new Set(Object.keys(services))),
    },
    observer,
    messageBytesMax,
    streamsPerConnectionMax: limits.streamsPerConnectionMax,
    unfinishedBytesMax: limits.pendingBytesMax,
    ...timings,
  });
  const gateway = new Gateway({
    routes,
    bodyBytesMax: messageBytesMax * 2, // base64 makes four bytes of three; the names are short
    budget: new ByteBudget(limits.pendingBytesMax),
    observer,
  });
  const http = new HttpServer({
    health,
    version: options.version,
    metrics: options.metrics,
    observer,
    trustHosts: !isLoopback(host),
    mounts: { "/v3": (path, request, response) => gateway.serve(path, request, response) },
    ...(timings.headersMs === undefined ? {} : { headersMs: timings.headersMs }),
  });

  let listener: Listener;
  try {
    listener = await Listener.open({
      address,
      connectionsMax: limits.connectionsMax,
      observer,
      ...(timings.detectionMs === undefined ? {} : { detectionMs: timings.detectionMs }),
      http1: (socket) => http.take(socket),
      http2: (socket) => grpc.take(socket),
    });
  } catch (error) {
    http.close();
    await grpc.close(0);
    throw error;
  }

  let closing: Promise<void> | undefined;
  const close = async (graceMs: number): Promise<void> => {
    listener.stopAccepting();
    gateway.close();
    http.close();
    await Promise.all([grpc.close(graceMs), listener.drain(graceMs)]);
    await listener.close();
  };
  return {
    address: listener.address,
    get connections() {
      return listener.connections;
    },
    close: ({ graceMs = 1_000 } = {}) => (closing ??= close(graceMs)),
  };
}
