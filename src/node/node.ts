/**
 * One Althing node: the shared foundation, the meta group with etcd's data model on it, and the services above. The same
 * code runs on Node.js and in the simulator; doors and processes come around it.
 */
import { type AlthingError, hasCode } from "../base/errors.ts";
import { type Incarnation, META_GROUP, type NodeId } from "../base/ids.ts";
import { Scope } from "../base/scope.ts";
import type { AutoCompaction, NodeConfig } from "../config/node-config.ts";
import type { AutoCompactionMode } from "../coordination/auto-compaction.ts";
import { Coordination } from "../coordination/coordination.ts";
import { Store, type StoreAnswer, type StoreQuery } from "../coordination/store.ts";
import type { StoreResult } from "../coordination/store-result.ts";
import type { Group } from "../group/group.ts";
import type { GroupStatus } from "../group/handle.ts";
import type { Ports } from "../ports/ports.ts";
import type { Engine, EngineOpener } from "../storage/engine/engine.ts";
import { clusterId, Foundation } from "./foundation.ts";
import { ResourceSampler } from "./resource-sampler.ts";
import { DamageKeeper, noOtherCopy, readDamageMark, removeDamageMark } from "./store-damage.ts";

const META_FOLDER = "meta";
const ENGINE_FOLDER = "meta/engine";

export interface AlthingNodeStatus {
  readonly id: NodeId;
  readonly name: string;
  readonly cluster: string;
  readonly group: GroupStatus;
  readonly revision: number;
  readonly keys: number;
  readonly engine: { readonly fileBytes: number; readonly usedBytes: number };
}

export class AlthingNode {
  readonly config: NodeConfig;
  readonly coordination: Coordination;
  readonly group: Group<StoreResult, StoreQuery, StoreAnswer>;
  readonly store: Store;
  /** Resolves with the reason when the node cannot go on; the owner then closes it. */
  readonly failed: Promise<unknown>;
  readonly #foundation: Foundation;
  readonly #engine: Engine;
  readonly #scope: Scope;

  private constructor(parts: {
    foundation: Foundation;
    engine: Engine;
    store: Store;
    group: Group<StoreResult, StoreQuery, StoreAnswer>;
    coordination: Coordination;
    scope: Scope;
  }) {
    this.config = parts.foundation.config;
    this.failed = parts.foundation.failed;
    this.#foundation = parts.foundation;
    this.#engine = parts.engine;
    this.store = parts.store;
    this.group = parts.group;
    this.coordination = parts.coordination;
    this.#scope = parts.scope;
  }

  /**
   * Resolves when the files are open and the peer port listens; a leader may take a moment longer.
   * Fails with CONFIG_INVALID, DATA_LOCKED, DATA_FOREIGN, DATA_NEWER, DATA_CORRUPT, GROUP_DAMAGED, ADDRESS_IN_USE,
   * DISK_FULL, DISK_FAILED.
   */
  static async open(ports: Ports, engines: EngineOpener, config: NodeConfig): Promise<AlthingNode> {
    await using scope = new Scope();
    const foundation = scope.own(await Foundation.open(ports, config));
    const { engine, store, group } = await openMeta(foundation, engines);
    scope.own(engine);
    scope.own(group);
    const sampler = new ResourceSampler(ports, engine);
    scope.defer(() => sampler.close());
    const coordination = scope.own(
      new Coordination({
        handle: group,
        store,
        ports,
        clusterId: BigInt(clusterId(config.cluster)),
        limits: config.limits,
        electionMs: config.timings.electionMs,
        callTimeoutMs: config.timings.callTimeoutMs,
        readLevel: config.timings.leaseMs > 0 ? "lease" : "linearizable",
        autoCompaction: compactionMode(config.autoCompaction),
      }),
    );
    scope.own(
      new DamageKeeper(ports, {
        store,
        folder: META_FOLDER,
        isAlone: () =>
          isAlone(config) || !group.members.some(({ id, role }) => role === "voter" && id !== group.nodeId),
        tell: () => coordination.tellDamage(),
        fail: (error) => foundation.fail(error),
      }),
    );
    return new AlthingNode({ foundation, engine, store, group, coordination, scope: scope.move() });
  }

  /** `host:port` of the peer port. */
  get peerAddress(): string {
    return this.#foundation.peers.address ?? this.config.peerListen;
  }

  /** The id of this node's data folder: another one after the disk was lost. */
  get incarnation(): Incarnation {
    return this.#foundation.identity.incarnation;
  }

  /** Why this node should not get requests now; empty: it may. */
  unreadiness(): readonly string[] {
    const { removedAsOf, damaged } = this.group.status();
    if (removedAsOf !== undefined) return ["this node was removed from the cluster"];
    const { damage, isWhole } = this.store;
    if (damage !== undefined) return ["the store is damaged, and the node about to stop"];
    const reasons: string[] = [];
    if (this.group.leader === undefined) reasons.push("no leader is known");
    if (damaged) reasons.push("damaged log entries are being repaired");
    if (!isWhole) reasons.push("a snapshot is being installed");
    return reasons;
  }

  status(): AlthingNodeStatus {
    return {
      id: this.group.nodeId,
      name: this.config.name,
      cluster: this.config.cluster,
      group: this.group.status(),
      revision: this.store.publishedRevision,
      keys: this.store.keyCount,
      engine: this.#engine.size(),
    };
  }

  /** Gives the leadership away, answers what is under way, writes a checkpoint, closes the files. */
  async close(): Promise<void> {
    await this.#scope.close();
  }
}

/**
 * Opens the store and its group. A damaged engine is only this node's copy: it is thrown away, and the group gives it back
 * (the log below the last checkpoint is missing then, so the node does not vote until it has). The last copy of all is kept
 * as it is.
 */
async function openMeta(
  foundation: Foundation,
  engines: EngineOpener,
): Promise<{ engine: Engine; store: Store; group: Group<StoreResult, StoreQuery, StoreAnswer> }> {
  const { ports, config } = foundation;
  const discard = async (damage: AlthingError, wasAlone = false): Promise<void> => {
    if (wasAlone || isAlone(config)) throw noOtherCopy(damage);
    ports.observer.observe({ type: "engine-discarded", level: "warn", why: damage.message });
    await engines.discard(ENGINE_FOLDER);
  };
  const marked = await readDamageMark(ports.disk, META_FOLDER);
  if (marked !== undefined) {
    await discard(marked.damage, marked.wasAlone);
    await removeDamageMark(ports.disk, META_FOLDER);
  }
  for (let tries = 1; ; tries++) {
    let engine: Engine | undefined;
    try {
      await ports.disk.makeFolder(META_FOLDER);
      if (foundation.hasLostLog && tries === 1) await engines.discard(ENGINE_FOLDER);
      engine = await engines.open(ENGINE_FOLDER);
      const store = new Store({ engine, kernels: ports.kernels, clock: ports.clock });
      const group = await foundation.openGroup(META_GROUP, { folder: META_FOLDER, machine: store });
      return { engine, store, group };
    } catch (error) {
      await engine?.close();
      if (!hasCode(error, "DATA_CORRUPT") || tries > 1) throw error;
      await discard(error);
    }
  }
}

/** No other node ever had a copy. */
function isAlone({ initialMembers }: NodeConfig): boolean {
  return initialMembers?.length === 1;
}

function compactionMode(config: AutoCompaction): AutoCompactionMode {
  switch (config.mode) {
    case "off":
      return { type: "off" };
    case "revision":
      return { type: "revision", retention: config.keep };
    case "periodic":
      return { type: "periodic", retentionMs: config.keep };
  }
}
