/**
 * One node as a server: the Node.js ports, the node, its public door, logs and metrics, put together. What is opened is
 * closed in reverse order, also when opening fails half-way.
 */
import { AlthingError } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import { Scope } from "../base/scope.ts";
import { isVoter } from "../consensus/contract/configuration.ts";
import { isLoopback, parseAddress } from "../doors/address.ts";
import { openDoor } from "../doors/door.ts";
import { fanOut } from "../host/fan-out.ts";
import { lmdbOpener } from "../host/lmdb-engine.ts";
import { LogObserver } from "../host/log-observer.ts";
import { MetricsObserver } from "../host/metrics-observer.ts";
import { openNodePorts } from "../host/node-ports.ts";
import { type AlthingNode, openNode } from "../node/node.ts";
import type { NodeSettings } from "./config/node-config.ts";
import { VERSION } from "./version.ts";

export interface Server {
  /** `host:port` of the public port. */
  readonly address: string;
  readonly peerAddress: string;
  /** Resolves with the reason when the node cannot go on. */
  readonly failed: Promise<unknown>;
  /** Hands leadership on, lets calls under way finish, flushes, and closes everything. */
  close(): Promise<void>;
}

export interface ServerHooks {
  /** The node's view of the leader, 0: none known. Called at once and on every change. */
  readonly onLeader: (leader: number, term: number) => void;
}

/** The etcd version whose protocol and behaviour the door follows. */
const ETCD_VERSION = "3.4.23";
const TRANSFER_MS = 1_000;

/** Fails with the errors of `openNode` and `openDoor`. */
export async function openServer(settings: NodeSettings, hooks: ServerHooks): Promise<Server> {
  const { node: config, dir, listen, insecure } = settings;
  demandSafePeerAddress(config.peerListen, insecure);
  await using scope = new Scope();
  const log = new LogObserver({ level: settings.logLevel, base: { node: config.id } });
  scope.defer(() => log.flush());
  const metrics = new MetricsObserver();
  const observer = fanOut(log, metrics);
  const ports = await openNodePorts({ folder: dir, observer });
  const node = scope.own(await openNode(ports, lmdbOpener(dir), config));
  let draining = false;
  const door = scope.own(
    await openDoor({
      address: listen,
      insecure,
      coordination: node.coordination,
      limits: config.limits,
      observer,
      metrics: async () => ({ contentType: metrics.registry.contentType, text: await metrics.registry.metrics() }),
      health: {
        livez: () => [],
        readyz: () => unreadiness(node, draining),
      },
      version: { etcdServer: ETCD_VERSION, etcdCluster: "3.4.0", althing: VERSION },
    }),
  );
  const tell = (): void => hooks.onLeader(node.group.leader ?? 0, node.group.term);
  scope.defer(node.group.onChange(tell));
  tell();
  observer.observe({
    type: "serving",
    level: "info",
    address: door.address,
    peerListen: config.peerListen,
    dir,
    version: VERSION,
  });
  const owned = scope.move();
  return {
    address: door.address,
    peerAddress: config.peerListen,
    failed: node.failed,
    async close() {
      draining = true;
      observer.observe({ type: "draining", level: "info" });
      await handOver(node);
      await owned.close();
    },
  };
}

/** The door refuses such an address for itself; the peer port is as open. */
function demandSafePeerAddress(address: string, insecure: boolean): void {
  if (insecure || isLoopback(parseAddress(address).host)) return;
  throw new AlthingError(
    "ADDRESS_UNSAFE",
    `Cannot listen on ${address} for other nodes: everyone who reaches it could take part, unencrypted; ` +
      "listen on 127.0.0.1, or pass --insecure if the network is trusted",
  );
}

function unreadiness(node: AlthingNode, draining: boolean): readonly string[] {
  const reasons: string[] = [];
  if (draining) reasons.push("the node is shutting down");
  if (node.group.leader === undefined) reasons.push("no leader is known");
  return reasons;
}

/**
 * A leader that ends hands its office to the voter that has most of the log, so that clients do not wait for an election.
 * If it cannot be done in time the others elect as they would after a crash.
 */
async function handOver(node: AlthingNode): Promise<void> {
  const { group } = node;
  if (!group.isLeader) return;
  const { peers, configuration } = group.status();
  const heirs = peers.filter(({ peer }) => peer !== group.nodeId && isVoter(configuration, peer));
  const heir = heirs.reduce<{ readonly peer: NodeId; readonly match: number } | undefined>(
    (best, { peer, match }) => (best === undefined || match > best.match ? { peer, match } : best),
    undefined,
  );
  if (heir === undefined) return;
  await group.transferLeader(heir.peer, { timeoutMs: TRANSFER_MS }).catch(() => undefined);
}
