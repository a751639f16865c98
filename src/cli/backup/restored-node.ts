/**
 * The data folders of a new cluster, made from a snapshot file while no node runs.
 *
 * The first entry of the new log is the restored state itself: each folder gets a checkpoint at index 1, and a log that
 * says that it begins after index 1. The entry's chain is drawn from the file, so that folders made from two different
 * files are two different logs, which Raft notices at the first append.
 *
 * B1. All folders are made in one run and know each other by their new incarnations from the start. A voter of whom any
 *     folder is welcome could be restored a second time, and then vote against what it has acknowledged (M2 of
 *     `group/membership.ts`); a folder from another run is a stranger to this one.
 * B2. Keys keep their revisions, history and leases. What belongs to the machines of the old cluster goes: members, client
 *     sessions, alarms.
 * B3. A folder counts as joined before anything can run in it: an empty log is then a loss, never a fresh start.
 */
import { createReadStream } from "node:fs";
import { Scope } from "../../base/scope.ts";
import { EMPTY_BYTES } from "../../base/bytes.ts";
import { type Incarnation, logIndex, META_GROUP, nodeId, sessionId, term } from "../../base/ids.ts";
import { defaultLimits } from "../../config/limits.ts";
import { type ConsensusEngine, type InitialMember, nodeDefaults } from "../../config/node-config.ts";
import { type Configuration, encodeConfiguration } from "../../consensus/contract/configuration.ts";
import type { LogStart } from "../../consensus/contract/core.ts";
import { chainHash, type LogRecord, RecordKind } from "../../consensus/contract/record.ts";
import { CommandTag, command, MemberIdRequest } from "../../coordination/command.ts";
import { AlarmAction, AlarmRequest } from "../../coordination/messages.ts";
import { readSnapshotFile } from "../../coordination/snapshot-file.ts";
import { Store } from "../../coordination/store.ts";
import type { ApplyPoint } from "../../group/state-machine.ts";
import { Replica } from "../../group/replica.ts";
import { lmdbOpener } from "../../host/lmdb-engine.ts";
import { type NodePorts, openNodePorts } from "../../host/node-ports.ts";
import { type Identity, markJoined, openDataFolder } from "../../node/data-folder.ts";
import { silentObserver } from "../../ports/observer.ts";
import { Wal } from "../../storage/wal/wal.ts";

/** Where `node/` has the log and the meta group's engine. */
const WAL_FOLDER = "wal";
const META_FOLDER = "meta";
const ENGINE_FOLDER = "meta/engine";

const READ_BYTES = 256 * 1024;
const FIRST = { index: logIndex(1), term: term(1) };

export interface RestoredMember extends InitialMember {
  /** The data folder to make. Absolute; missing or empty. */
  readonly folder: string;
}

export interface RestorePlan {
  /** The snapshot file; it was checked before. */
  readonly file: string;
  /** SHA-256 of the snapshot. */
  readonly digest: Uint8Array;
  /** The name of the new cluster. */
  readonly cluster: string;
  /** The engine that will run on it. Default: that of every node. */
  readonly consensus?: ConsensusEngine;
  readonly members: readonly RestoredMember[];
  /** Told before each folder is filled. */
  readonly onProgress?: (member: RestoredMember) => void;
  readonly signal?: AbortSignal;
}

/** The pieces of a file. */
export function fileChunks(file: string): AsyncIterable<Uint8Array> {
  return createReadStream(file, { highWaterMark: READ_BYTES });
}

/** Fails with the errors of `readSnapshotFile`, of the engine and of the disk; what was made until then stays. */
export async function restoreNodes(plan: RestorePlan): Promise<void> {
  await using scope = new Scope();
  const made: { readonly member: RestoredMember; readonly ports: NodePorts; readonly identity: Identity }[] = [];
  for (const member of plan.members) {
    const ports = await openNodePorts({ folder: member.folder, observer: silentObserver });
    const { cluster, consensus = nodeDefaults.consensus } = plan;
    const { identity, lock } = await openDataFolder(ports, { nodeId: member.id, cluster, consensus });
    scope.own(lock);
    made.push({ member, ports, identity });
  }
  const start: LogStart = {
    ...FIRST,
    chain: chainHash(0, FIRST.term, made[0]?.ports.kernels.crc32(plan.digest) ?? 0),
    configuration: configurationOf(made.map(({ member, identity }) => ({ ...member, ...identity }))), // B1
  };
  for (const { member, ports, identity } of made) {
    plan.signal?.throwIfAborted();
    plan.onProgress?.(member);
    await restoreState(ports, plan, start, member.folder);
    await beginLog(ports, start);
    await markJoined(ports.disk, identity); // B3
    await ports.disk.syncDirectory("");
  }
}

function configurationOf(members: readonly (InitialMember & { readonly incarnation: Incarnation })[]): Configuration {
  return {
    members: [...members]
      .sort((a, b) => a.id - b.id)
      .map(({ id, incarnation, name, address, clientUrls }) => ({
        id: nodeId(id),
        incarnation,
        role: "voter" as const,
        promote: false,
        name,
        address,
        clientUrls,
      })),
    outgoing: [],
  };
}

/** The engine with the snapshot's state, in a checkpoint at `start`. */
async function restoreState(ports: NodePorts, plan: RestorePlan, start: LogStart, folder: string): Promise<void> {
  const { disk, kernels, clock } = ports;
  await disk.makeFolder(META_FOLDER);
  await using scope = new Scope();
  const engine = scope.own(await lmdbOpener(folder).open(ENGINE_FOLDER));
  const store = new Store({ engine, kernels, clock });
  await readSnapshotFile(fileChunks(plan.file), (content) => store.restore(content));
  const replica = new Replica(store, { sessionsMax: defaultLimits.sessionsMax, listener: nobody });
  forgetMachines(store, plan.members, { ...FIRST, session: sessionId(0), sequence: 0 });
  replica.apply(entryOf(RecordKind.noop, start, EMPTY_BYTES, kernels.crc32(EMPTY_BYTES)));
  await store.durable.checkpoint(replica.encodeMeta(start));
  await disk.syncDirectory(META_FOLDER);
}

/** B2. The members' ids count as used, so that the next member gets another one. */
function forgetMachines(store: Store, members: readonly InitialMember[], point: ApplyPoint): void {
  for (const { alarm, memberId } of store.alarms) {
    const request = { action: AlarmAction.DEACTIVATE, alarm, memberId };
    store.apply(command(CommandTag.alarm, AlarmRequest, request), point);
  }
  const used = Math.max(...members.map((member) => member.id));
  store.apply(command(CommandTag.memberId, MemberIdRequest, { used }), point);
}

/** A log with one record: that it begins after `start`. */
async function beginLog(ports: NodePorts, start: LogStart): Promise<void> {
  const { wal } = await Wal.open(ports, {
    folder: WAL_FOLDER,
    segmentBytes: nodeDefaults.walSegmentBytes,
    diskReserveBytes: defaultLimits.diskReserveBytes,
  });
  try {
    const body = encodeConfiguration(start.configuration);
    wal.append(META_GROUP, [entryOf(RecordKind.start, start, body, ports.kernels.crc32(body))]);
    await wal.flush();
  } finally {
    await wal.close();
  }
}

function entryOf(kind: RecordKind, start: LogStart, body: Uint8Array, bodyCrc: number): LogRecord {
  return { kind, index: start.index, term: start.term, chain: start.chain, body, bodyCrc };
}

const nobody = {
  sessionOpened: () => undefined,
  executed: () => undefined,
  outOfSequence: () => undefined,
  noSession: () => undefined,
};
