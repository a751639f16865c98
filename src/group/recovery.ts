/**
 * A group's state as it is found on the disk at the start: the checkpoint, the log behind it, and what is missing of it.
 * Source  the rule that damage of acknowledged entries is not a torn tail: Alagappan et al. 2018 ("PAR").
 */
import { assert } from "../base/assert.ts";
import { EMPTY_BYTES } from "../base/bytes.ts";
import { AlthingError } from "../base/errors.ts";
import { type LogIndex, logIndex, type SessionId, type Term, term } from "../base/ids.ts";
import { type Configuration, EMPTY_CONFIGURATION, incomingVoters } from "../consensus/contract/configuration.ts";
import type { ConsensusCore, CoreFactory, LogStart, Recovered } from "../consensus/contract/core.ts";
import { isEntry, isSlot, isSticky, type LogRecord, RecordKind } from "../consensus/contract/record.ts";
import type { Ports } from "../ports/ports.ts";
import type { WalDamage } from "../storage/wal/contract.ts";
import { CheckpointFile } from "./checkpoint-file.ts";
import type { CheckpointsStart } from "./checkpoints.ts";
import type { GroupOptions, GroupSettings } from "./group-options.ts";
import { type MetaHead, Replica, type ReplicaListener } from "./replica.ts";

export interface RecoveredGroup<Result, Query, Answer> extends CheckpointsStart {
  readonly replica: Replica<Result, Query, Answer>;
  readonly core: ConsensusCore;
  /** The configuration that the log begins with, and where the voters are that it leaves. */
  readonly head: MetaHead;
  /** Tells whoever is set as its target what the replica does. */
  readonly relay: Relay<Result>;
}

/** Fails with DATA_CORRUPT, DATA_NEWER, GROUP_DAMAGED. */
export async function recoverGroup<Result, Query, Answer>(
  ports: Ports,
  options: GroupOptions<Result, Query, Answer>,
): Promise<RecoveredGroup<Result, Query, Answer>> {
  const { machine, group, records } = options;
  const file = machine.durable === undefined ? new CheckpointFile(ports, options.folder, machine) : undefined;
  const durable = machine.durable ?? file;
  assert(durable !== undefined, "a machine has a checkpoint of its own or a file");
  const meta = await durable.load();

  const relay = new Relay<Result>();
  const replica = new Replica(machine, { sessionsMax: options.limits.sessionsMax, listener: relay });
  const { start, leaving }: MetaHead = meta === undefined ? blankHead(options.bootstrap) : replica.restoreMeta(meta);
  const damagedUpTo = findDamage(options, start);
  if (damagedUpTo !== undefined) {
    const voters = incomingVoters(start.configuration);
    if (voters.length === 1 && voters[0] === options.nodeId) {
      throw new AlthingError(
        "GROUP_DAMAGED",
        `Cannot open group ${group}: acknowledged log entries are damaged and there is no other copy; restore from a backup`,
        { details: { group, upTo: damagedUpTo } },
      );
    }
    ports.observer.observe({ type: "log-damaged", level: "warn", group, upTo: damagedUpTo });
  }
  const lostVoteTerm = findLostVote(options.damage);
  const core = makeCore(ports, options, {
    start,
    records: ownCopies(records, start.index),
    damagedUpTo,
    ...(lostVoteTerm === undefined ? {} : { lostVoteTerm }),
  });
  options.wal.trim(group, start.index); // the WAL forgets trims at a restart
  // Harmless damage would be found again at each start: it goes once everything that is there now is in a checkpoint.
  const isHarmless = options.damage.length > 0 && damagedUpTo === undefined;
  const cleanUpTo = isHarmless ? newestIndex(records, start.index) : undefined;
  return { replica, core, relay, durable, file, head: { start, leaving }, cleanUpTo };
}

/** Of a folder without a checkpoint. */
function blankHead(bootstrap: Configuration = EMPTY_CONFIGURATION): MetaHead {
  return { start: { index: logIndex(0), term: term(0), chain: 0, configuration: bootstrap }, leaving: [] };
}

function makeCore(
  ports: Ports,
  options: GroupSettings & { readonly core: CoreFactory },
  recovered: Recovered,
): ConsensusCore {
  const { limits, timings } = options;
  return options.core(
    {
      id: options.nodeId,
      incarnation: options.incarnation,
      heartbeatMs: timings.heartbeatMs,
      electionMs: timings.electionMs,
      leaseMs: timings.leaseMs,
      priority: options.priority,
      uncommittedEntriesMax: limits.uncommittedEntriesMax,
      uncommittedBytesMax: limits.uncommittedBytesMax,
      inflightMessagesMax: limits.inflightMessagesMax,
      inflightBytesMax: limits.inflightBytesMax,
      messageBytesMax: 1024 * 1024,
      random: () => ports.random.unit(),
      crc32: (bytes) => ports.kernels.crc32(bytes),
    },
    recovered,
    ports.clock.monotonicMs(),
  );
}

/**
 * Passes on what a replica tells, once there is somebody to tell: the replica is made before the group that listens to it,
 * and until then there are no commands of this node.
 */
export class Relay<Result> implements ReplicaListener<Result> {
  target: ReplicaListener<Result> | undefined;

  sessionOpened(nonce: number, session: SessionId, index: LogIndex): void {
    this.target?.sessionOpened(nonce, session, index);
  }

  executed(session: SessionId, sequence: number, index: LogIndex, result: Result): void {
    this.target?.executed(session, sequence, index, result);
  }

  outOfSequence(session: SessionId, expected: number): void {
    this.target?.outOfSequence(session, expected);
  }

  noSession(session: SessionId): void {
    this.target?.noSession(session);
  }
}

function newestIndex(records: readonly LogRecord[], atLeast: LogIndex): LogIndex {
  let newest = atLeast;
  for (const { kind, index } of records) if (!isSticky(kind) && index > newest) newest = index;
  return newest;
}

/** Recovered bodies are views that would keep whole WAL segments in memory: what stays in the log gets bytes of its own. */
function ownCopies(records: readonly LogRecord[], after: LogIndex): readonly LogRecord[] {
  return records.map((r) =>
    isSticky(r.kind) || r.index > after ? { ...r, body: r.body.slice() } : { ...r, body: EMPTY_BYTES },
  );
}

/**
 * The last index that may have been acknowledged, if any of the records up to it is missing; R7 of Raft, P6 of Paxos. A
 * record whose header is lost too may have been one more at the end.
 */
function findDamage(
  options: { readonly records: readonly LogRecord[]; readonly damage: readonly WalDamage[] },
  start: LogStart,
): LogIndex | undefined {
  let newest: number = start.index;
  let unknown = 0;
  let hole = isIncomplete(options, start);
  for (const { kind, index } of options.records) if (!isPromise(kind)) newest = Math.max(newest, index);
  for (const { record, records } of options.damage) {
    if (record === undefined) {
      unknown += records;
      hole = true;
    } else if (!isPromise(record.kind)) {
      newest = Math.max(newest, record.index);
      // What the checkpoint holds is not missing, however it looks in the log.
      const isMissing = !isSticky(record.kind) && record.index > start.index;
      if (isMissing || record.kind === RecordKind.start) hole = true;
    }
  }
  return hole ? logIndex(newest + unknown) : undefined;
}

/**
 * True if the log says that records were there which are not. Entries stand without a gap. Slots may be missing, but none
 * of those that the group's engine knew to be chosen.
 */
function isIncomplete(
  { records, damage }: { readonly records: readonly LogRecord[]; readonly damage: readonly WalDamage[] },
  start: LogStart,
): boolean {
  let last: number = start.index;
  let chosen: number = start.index;
  const slots = new Set<number>();
  for (const { kind, index } of records) {
    if (index <= start.index) continue;
    if (kind === RecordKind.start) return true; // the checkpoint that it stands for is gone
    if (kind === RecordKind.chosen) chosen = Math.max(chosen, index);
    if (isSlot(kind)) slots.add(index);
    if (!isEntry(kind)) continue;
    if (index > last + 1) return true;
    last = index; // a record replaces its index and all above
  }
  // Its header is enough.
  for (const { record } of damage) if (record?.kind === RecordKind.chosen) chosen = Math.max(chosen, record.index);
  for (let index = start.index + 1; index <= chosen; index++) if (!slots.has(index)) return true;
  return false;
}

/** The highest term or ballot in which this node gave a vote, or a promise, that cannot be read any more. */
function findLostVote(damage: readonly WalDamage[]): Term | undefined {
  let lost = 0;
  for (const { record } of damage)
    if (record !== undefined && isPromise(record.kind)) lost = Math.max(lost, record.term);
  return lost === 0 ? undefined : term(lost);
}

/** A vote in Raft, a promise in Paxos: no position in the log. */
const isPromise = (kind: number): boolean => kind === RecordKind.vote || kind === RecordKind.promise;
