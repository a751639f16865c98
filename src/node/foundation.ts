/**
 * What all groups of a node share: the data folder, the write-ahead log, the connections to other nodes.
 * The same code runs on Node.js and in the simulator: everything of the world comes in through `ports`.
 */
import { AlthingError, hasCode } from "../base/errors.ts";
import { Deferred } from "../base/deferred.ts";
import { type GroupId, META_GROUP, type NodeId, nodeId } from "../base/ids.ts";
import { Scope } from "../base/scope.ts";
import { checkNodeConfig, type NodeConfig } from "../config/node-config.ts";
import { type Configuration, decodeConfiguration, incomingVoters } from "../consensus/contract/configuration.ts";
import type { CoreFactory } from "../consensus/contract/core.ts";
import { RecordKind } from "../consensus/contract/record.ts";
import { recoverPaxos } from "../consensus/paxos/recover.ts";
import { recoverRaft } from "../consensus/raft/raft.ts";
import { Group } from "../group/group.ts";
import { Peers } from "../group/peers.ts";
import type { StateMachine } from "../group/state-machine.ts";
import { sleep } from "../ports/clock.ts";
import type { Ports } from "../ports/ports.ts";
import type { WalRecovery } from "../storage/wal/contract.ts";
import { Wal } from "../storage/wal/wal.ts";
import { type Identity, markJoined, openDataFolder, renewIncarnation } from "./data-folder.ts";

const FULL_RETRY_MS = 1_000;
const WAL_FOLDER = "wal";
const cores: Readonly<Record<NodeConfig["consensus"], CoreFactory>> = { raft: recoverRaft, paxos: recoverPaxos };

export class Foundation {
  readonly ports: Ports;
  readonly config: NodeConfig;
  readonly peers: Peers;
  readonly wal: Wal;
  /** Resolves with the reason when the node cannot go on; the owner then closes it. */
  readonly failed: Promise<unknown>;
  readonly #failed: Deferred<unknown>;
  readonly #recovery: WalRecovery;
  readonly #scope: Scope;
  /** False once the node has lost its log: then others must add it again (F1 of `data-folder.ts`). */
  readonly #isFounder: boolean;
  #identity: Identity;
  #marking: Promise<void> | undefined;
  #closing = false;

  private constructor(
    ports: Ports,
    config: NodeConfig,
    parts: {
      identity: Identity;
      peers: Peers;
      wal: Wal;
      recovery: WalRecovery;
      isFounder: boolean;
      scope: Scope;
    },
  ) {
    this.ports = ports;
    this.config = config;
    this.#identity = parts.identity;
    this.#isFounder = parts.isFounder;
    this.peers = parts.peers;
    this.wal = parts.wal;
    this.#recovery = parts.recovery;
    this.#scope = parts.scope;
    this.#failed = new Deferred();
    this.failed = this.#failed.promise;
  }

  /** Fails with CONFIG_INVALID, the errors of `openDataFolder`, ADDRESS_IN_USE, DISK_FULL, DISK_FAILED. */
  static async open(ports: Ports, config: NodeConfig): Promise<Foundation> {
    checkNodeConfig(config);
    const scope = new Scope();
    try {
      return await Foundation.#openIn(scope, ports, config);
    } catch (error) {
      await scope.close().catch(() => undefined); // a disk that fails to open a file fails to close it too
      throw error;
    }
  }

  static async #openIn(scope: Scope, ports: Ports, config: NodeConfig): Promise<Foundation> {
    const folder = await openDataFolder(ports, {
      nodeId: config.id,
      cluster: config.cluster,
      consensus: config.consensus,
    });
    scope.own(folder.lock);
    let { identity } = folder;
    let { wal, recovery } = await openWal(ports, config);
    const loss = lossOf(recovery, identity);
    const isFounder = loss === undefined;
    if (loss !== undefined) {
      await wal.close();
      if (isAlone(recovery, config)) {
        throw new AlthingError(
          "GROUP_DAMAGED",
          `Cannot open the node: ${loss}, and there is no other copy; restore from a backup`,
        );
      }
      identity = await renewIncarnation(ports, identity); // durable before anything goes: what is left then has no vote
      ports.observer.observe({ type: "log-lost", level: "warn", node: config.id, why: loss });
      for (const name of await ports.disk.list(WAL_FOLDER)) await ports.disk.remove(`${WAL_FOLDER}/${name}`);
      ({ wal, recovery } = await openWal(ports, config));
    }
    scope.own(wal);
    await ports.disk.syncDirectory(""); // the names of the folders themselves
    const peers = new Peers(ports, {
      clusterId: clusterId(config.cluster),
      nodeId: nodeId(config.id),
      incarnation: identity.incarnation,
      consensus: config.consensus,
    });
    scope.own(peers);
    await peers.listen(config.peerListen);
    return new Foundation(ports, config, { identity, peers, wal, recovery, isFounder, scope: scope.move() });
  }

  /** The log was lost: whatever state is left is thrown away, and the group gives it back (F1 of `data-folder.ts`). */
  get hasLostLog(): boolean {
    return !this.#isFounder;
  }

  get identity(): Identity {
    return this.#identity;
  }

  get nodeId(): NodeId {
    return nodeId(this.config.id);
  }

  /** Opens a group on this node. Its folder is for checkpoints and incoming snapshots. */
  async openGroup<Result, Query, Answer>(
    group: GroupId,
    options: {
      readonly folder: string;
      readonly machine: StateMachine<Result, Query, Answer>;
      /** An unusual engine of the configured kind: other quorums, for example. */
      readonly core?: CoreFactory;
    },
  ): Promise<Group<Result, Query, Answer>> {
    const { config } = this;
    const damage = this.#recovery.damage;
    // What a checkpoint holds is older than what the lost log had acknowledged: the node begins again from its peers.
    if (!this.#isFounder) await this.ports.disk.remove(`${options.folder}/checkpoint`);
    const opened = await Group.open(this.ports, {
      group,
      folder: options.folder,
      machine: options.machine,
      nodeId: this.nodeId,
      incarnation: this.identity.incarnation,
      core: options.core ?? cores[config.consensus],
      wal: this.wal,
      records: this.#recovery.groups.get(group) ?? [],
      damage: damage.filter((d) => d.record === undefined || d.record.group === group),
      peers: this.peers,
      bootstrap: this.#bootstrap(),
      self: { name: config.name, clientUrls: config.clientUrls },
      priority: config.priority,
      limits: config.limits,
      timings: config.timings,
      snapshotBytesPerSecond: config.snapshotBytesPerSecond,
      fatal: (error) => this.fail(error),
    });
    const stop = opened.onChange(() => {
      if (opened.applied === 0) return;
      stop();
      this.#markJoined();
    });
    return opened;
  }

  #markJoined(): void {
    if (this.#identity.joined || this.#marking !== undefined) return;
    this.#marking = this.#keepMarking().catch((error: unknown) => this.fail(error));
  }

  /** A full disk passes; the mark only guards against a later loss. */
  async #keepMarking(): Promise<void> {
    while (!this.#closing) {
      try {
        this.#identity = await markJoined(this.ports.disk, this.#identity);
        return;
      } catch (error) {
        if (!hasCode(error, "DISK_FULL")) throw error;
      }
      await sleep(this.ports.clock, FULL_RETRY_MS);
    }
  }

  /** The node cannot go on. */
  fail(error: unknown): void {
    this.ports.observer.observe({
      type: "node-failed",
      level: "error",
      node: this.config.id,
      why: error instanceof Error ? error.message : String(error),
      code: error instanceof AlthingError ? error.code : undefined,
    });
    this.#failed.resolve(error);
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#marking;
    await this.#scope.close();
  }

  #bootstrap(): Configuration | undefined {
    const initial = this.config.initialMembers;
    if (initial === undefined || !this.#isFounder) return undefined;
    const members = [...initial]
      .sort((a, b) => a.id - b.id)
      .map((m) => ({
        id: nodeId(m.id),
        incarnation: 0,
        role: "voter" as const,
        promote: false,
        name: m.name,
        address: m.address,
        clientUrls: m.clientUrls,
      }));
    return { members, outgoing: [] };
  }
}

async function openWal(ports: Ports, config: NodeConfig): Promise<{ wal: Wal; recovery: WalRecovery }> {
  return await Wal.open(ports, {
    folder: WAL_FOLDER,
    segmentBytes: config.walSegmentBytes,
    diskReserveBytes: config.limits.diskReserveBytes,
  });
}

/**
 * Why this log cannot be gone on with, if it cannot (F1). Damage that names no record may have taken a vote or a promise of
 * any term with it; and where a file was cut, nobody knows how much there was to acknowledge.
 */
function lossOf(recovery: WalRecovery, identity: Identity): string | undefined {
  const isEmpty = recovery.groups.size === 0 && recovery.damage.length === 0;
  if (isEmpty) return identity.joined ? "it was a member, and its log (the folder wal) is gone" : undefined;
  const nameless = recovery.damage.find((damage) => damage.record === undefined);
  return nameless === undefined ? undefined : `its log is damaged beyond telling what was there (${nameless.segment})`;
}

const namesMembers = (kind: RecordKind): boolean =>
  kind === RecordKind.configuration || kind === RecordKind.acceptedConfiguration || kind === RecordKind.start;

/** True if the log, or without one the settings, know of no other member that votes. */
function isAlone(recovery: WalRecovery, config: NodeConfig): boolean {
  let newest: Configuration | undefined;
  for (const record of recovery.groups.get(META_GROUP) ?? []) {
    if (!namesMembers(record.kind)) continue;
    if (record.body.length > 0) newest = decodeConfiguration(record.body);
  }
  if (newest === undefined) return config.initialMembers?.length === 1;
  const voters = incomingVoters(newest);
  return voters.length === 1 && voters[0] === config.id;
}

/** A number for the cluster's name, 48 bits of FNV-1a: keeps nodes of different clusters apart, is no secret. */
export function clusterId(name: string): number {
  let high = 0x811c_9dc5;
  let low = 0x01b3_84e7;
  for (let i = 0; i < name.length; i++) {
    high = Math.imul(high ^ name.charCodeAt(i), 0x0100_0193) >>> 0;
    low = Math.imul(low ^ (name.charCodeAt(i) + i), 0x0100_0193) >>> 0;
  }
  return 1 + high * 0x1_0000 + (low & 0xffff);
}
