/**
 * A node as a server: Node.js ports, the node, its public door, log and metrics, put together once for the command line and
 * for embedding. What is opened is closed in reverse order, also when opening fails half-way.
 */
import { Scope } from "../base/scope.ts";
import type { NodeConfig } from "../config/node-config.ts";
import { ETCD_VERSION } from "../coordination/coordination.ts";
import { fanOut } from "../host/fan-out.ts";
import { lmdbOpener } from "../host/lmdb-engine.ts";
import { MetricsObserver } from "../host/metrics-observer.ts";
import { openNodePorts } from "../host/node-ports.ts";
import { AlthingNode } from "../node/node.ts";
import type { Observer } from "../ports/observer.ts";
import { checkReach } from "./address.ts";
import { type Door, openDoor } from "./door.ts";

export interface ServerOptions {
  readonly node: NodeConfig;
  /** The data folder; made if it is missing. */
  readonly dir: string;
  /** `host:port` of the public port; port 0 picks a free one. */
  readonly listen: string;
  /** Allows addresses beyond loopback without encryption and credentials. */
  readonly insecure: boolean;
  readonly observer: Observer;
  /** This package's version. */
  readonly version: string;
  /** Export memory, CPU and event-loop metrics of the process; off where the process is somebody else's. */
  readonly processMetrics: boolean;
}

export class Server {
  readonly node: AlthingNode;
  readonly #door: Door;
  readonly #scope: Scope;

  constructor(node: AlthingNode, door: Door, scope: Scope) {
    this.node = node;
    this.#door = door;
    this.#scope = scope;
  }

  /** `host:port` of the public port. */
  get address(): string {
    return this.#door.address;
  }

  get peerAddress(): string {
    return this.node.peerAddress;
  }

  /** Resolves with the reason when the node cannot go on; the owner then closes the server. */
  get failed(): Promise<unknown> {
    return this.node.failed;
  }

  async close(): Promise<void> {
    await this.#scope.close();
  }
}

/** Fails as `AlthingNode.open` and `openDoor` do. */
export async function openServer(options: ServerOptions): Promise<Server> {
  // Both addresses, and before anything is opened: the peer port takes no credentials either.
  for (const address of [options.listen, options.node.peerListen]) checkReach(address, options);
  await using scope = new Scope();
  const metrics = new MetricsObserver({ processMetrics: options.processMetrics });
  const observer = fanOut(options.observer, metrics);
  const ports = await openNodePorts({ folder: options.dir, observer });
  const node = scope.own(await AlthingNode.open(ports, lmdbOpener(options.dir), options.node));
  const stopSampling = metrics.onCollect(() => sample(metrics, node));
  scope.defer(() => {
    stopSampling();
  });
  const door = scope.own(
    await openDoor({
      address: options.listen,
      insecure: options.insecure,
      coordination: node.coordination,
      limits: options.node.limits,
      observer,
      metrics: () => metrics.collect(),
      health: { livez: () => [], readyz: () => node.unreadiness() },
      version: { etcdServer: ETCD_VERSION, etcdCluster: "3.4.0", althing: options.version },
    }),
  );
  return new Server(node, door, scope.move());
}

function sample(metrics: MetricsObserver, node: AlthingNode): void {
  const { group } = node.status();
  const labels = { group: 1 };
  metrics.set("groupLeader", group.role === "leader" ? 1 : 0, labels);
  metrics.set("groupTerm", group.term, labels);
  metrics.set("groupCommitIndex", group.commit, labels);
  metrics.set("groupAppliedIndex", group.applied, labels);
  metrics.set("groupPendingCommands", group.pendingCommands, labels);
  metrics.set("groupSessions", group.sessions, labels);
  metrics.set("walHasRoom", group.diskFull ? 0 : 1);
}
