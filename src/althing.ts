/**
 * `althing`: a node inside your own program.
 *
 * ```ts
 * import { start } from "althing";
 * await using node = await start({ dir: "data" });
 * await node.kv.put("greeting", "hello");
 * console.log(await node.kv.get("greeting"));
 * ```
 *
 * The same files and the same node as `althing node`; etcd clients reach it at `node.address`.
 */
import { fromUtf8, utf8 } from "./base/bytes.ts";
import { defaultLimits, defaultTimings, type Limits, type Timings } from "./config/limits.ts";
import { type AutoCompaction, type ConsensusEngine, type InitialMember, nodeDefaults } from "./config/node-config.ts";
import type { Coordination } from "./coordination/coordination.ts";
import { DeleteRangeRequest, PutRequest, RangeRequest } from "./coordination/messages.ts";
import { openServer, type Server } from "./doors/server.ts";
import type { AlthingNodeStatus } from "./node/node.ts";
import { type Observer, silentObserver } from "./ports/observer.ts";

export { AlthingError, type ErrorCode, errors } from "./base/errors.ts";
export { EtcdError } from "./coordination/etcd-error.ts";
export type { ObservedEvent, Observer } from "./ports/observer.ts";

/** The package's version; a test compares it with package.json. */
export const version = "0.1.0";

export interface StartOptions {
  /** The node's data folder; made if it is missing; one process at a time. */
  readonly dir: string;
  /** `host:port` of the public port. Default `127.0.0.1:0`: a free one. */
  readonly listen?: string;
  /** Default: this node alone is the cluster. */
  readonly cluster?: {
    /** This node's id among the members. */
    readonly id: number;
    readonly peerListen: string;
    /** The same list on every node of a new cluster; undefined: wait until a member adds this node. */
    readonly members: readonly InitialMember[] | undefined;
    readonly name?: string;
  };
  /** How the cluster agrees, the same on every node and for the life of its data. Default `raft`. */
  readonly consensus?: ConsensusEngine;
  /** Allows addresses beyond loopback without encryption and credentials. Default false. */
  readonly insecure?: boolean;
  readonly limits?: Partial<Limits>;
  readonly timings?: Partial<Timings>;
  readonly autoCompaction?: AutoCompaction;
  /** Told everything that happens; default: nobody. */
  readonly observer?: Observer;
}

/** Keys and values as text. For bytes, transactions, watches and leases use `coordination`, or any etcd client. */
export class KeyValue {
  readonly #coordination: Coordination;

  constructor(coordination: Coordination) {
    this.#coordination = coordination;
  }

  /** Resolves when the write is durable on a majority. Returns its revision. */
  async put(key: string, value: string): Promise<number> {
    const request = PutRequest.make({ key: utf8(key), value: utf8(value) });
    return (await this.#coordination.put(request)).header?.revision ?? 0;
  }

  /** Linearizable: sees every write that was acknowledged before the call. */
  async get(key: string): Promise<string | undefined> {
    const response = await this.#coordination.range(RangeRequest.make({ key: utf8(key) }));
    const [found] = response.kvs;
    return found === undefined ? undefined : fromUtf8(found.value);
  }

  /** Returns whether there was something to delete. */
  async delete(key: string): Promise<boolean> {
    const response = await this.#coordination.deleteRange(DeleteRangeRequest.make({ key: utf8(key) }));
    return response.deleted > 0;
  }
}

export class EmbeddedNode {
  readonly kv: KeyValue;
  /** Everything etcd's clients can ask, as methods. */
  readonly coordination: Coordination;
  readonly #server: Server;

  constructor(server: Server) {
    this.#server = server;
    this.coordination = server.node.coordination;
    this.kv = new KeyValue(this.coordination);
  }

  /** `host:port` for etcd clients. */
  get address(): string {
    return this.#server.address;
  }

  /** Resolves with the reason if the node cannot go on (a failed disk); close it then. */
  get failed(): Promise<unknown> {
    return this.#server.failed;
  }

  status(): AlthingNodeStatus {
    return this.#server.node.status();
  }

  close(): Promise<void> {
    return this.#server.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#server.close();
  }
}

/**
 * Starts a node in this process. It never ends the process and installs no signal handlers. Fails with AlthingError:
 * CONFIG_INVALID, ADDRESS_IN_USE, ADDRESS_UNSAFE, DATA_LOCKED, DATA_FOREIGN, DATA_NEWER, DATA_CORRUPT, GROUP_DAMAGED,
 * DISK_FULL, DISK_FAILED.
 */
export async function start(options: StartOptions): Promise<EmbeddedNode> {
  const { cluster } = options;
  const id = cluster?.id ?? 1;
  const peerListen = cluster?.peerListen ?? "127.0.0.1:0";
  const name = cluster?.name ?? `node-${id}`;
  const alone: InitialMember = { id, name, address: peerListen, clientUrls: [] };
  const server = await openServer({
    node: {
      ...nodeDefaults,
      id,
      name,
      peerListen,
      consensus: options.consensus ?? nodeDefaults.consensus,
      clientUrls: options.listen === undefined ? [] : [`http://${options.listen}`],
      initialMembers: cluster === undefined ? [alone] : cluster.members,
      limits: { ...defaultLimits, ...options.limits },
      timings: { ...defaultTimings, ...options.timings },
      autoCompaction: options.autoCompaction ?? nodeDefaults.autoCompaction,
    },
    dir: options.dir,
    listen: options.listen ?? "127.0.0.1:0",
    insecure: options.insecure ?? false,
    observer: options.observer ?? silentObserver,
    version,
    processMetrics: false,
  });
  return new EmbeddedNode(server);
}
