/**
 * A group around an engine that does what the test says: the moments that whole nodes reach too rarely. Everything else is
 * tested with the real engine in the simulator (`test/sim/group-*.test.ts`).
 */
import { describe, expect, test } from "vitest";
import { AppendMachine, type Appended, appendCommand } from "../../test/sim/lib/append-machine.ts";
import {
  FakeClock,
  FakeDisk,
  fakeKernels,
  FakeNetwork,
  FakeObserver,
  fakeRandom,
  settle,
} from "../../test/sim/lib/fake-ports.ts";
import { AssertionError } from "../base/assert.ts";
import { concatBytes, utf8 } from "../base/bytes.ts";
import { Deferred } from "../base/deferred.ts";
import { AlthingError } from "../base/errors.ts";
import {
  groupId,
  incarnation,
  type LogIndex,
  logIndex,
  type NodeId,
  nodeId,
  sessionId,
  type Term,
  term,
} from "../base/ids.ts";
import { defaultLimits, defaultTimings } from "../config/limits.ts";
import { type Configuration, encodeConfiguration, type Member } from "../consensus/contract/configuration.ts";
import type { ConsensusCore, CoreStatus, Effects, Input, LogStart, Role } from "../consensus/contract/core.ts";
import { type LogRecord, RecordKind } from "../consensus/contract/record.ts";
import type { SlotLog, WalDamage } from "../storage/wal/contract.ts";
import { encodePart } from "./batch.ts";
import { encodePeerFrame, type PeerFrame } from "./frames.ts";
import { Group } from "./group.ts";
import type { PeerAddress } from "./peer-address.ts";
import { Peers } from "./peers.ts";
import { Replica } from "./replica.ts";

const GROUP = groupId(1);
const memberOf = (id: number): Member => ({
  id: nodeId(id),
  incarnation: id * 100,
  role: "voter",
  promote: false,
  name: "",
  address: `n${id}`,
  clientUrls: [],
});
const configuration: Configuration = { members: [1, 2].map(memberOf), outgoing: [] };

const nothing: Effects = {
  send: [],
  persist: undefined,
  committed: [],
  reads: [],
  events: [],
  outcome: undefined,
};

/** An engine without a mind: it is what `become` says, and steps give what was queued for their type. */
class PuppetCore implements ConsensusCore {
  role: Role = "follower";
  term: Term = term(1);
  leader: NodeId | undefined = nodeId(2);
  commit: LogIndex;
  deadlineMs = Number.POSITIVE_INFINITY;
  readonly inputs: Input[] = [];
  snapshotsFrom: "leader" | "anyone" = "leader";
  takesProposals = true;
  configuration: Configuration;
  configurationIndex: LogIndex;
  readonly #queued = new Map<Input["type"], Partial<Effects>[]>();
  readonly #start: LogStart;

  constructor(start: LogStart) {
    this.#start = start;
    this.commit = start.index;
    this.configuration = start.configuration;
    this.configurationIndex = start.index;
  }

  on(type: Input["type"], effects: Partial<Effects>): void {
    this.#queued.set(type, [...(this.#queued.get(type) ?? []), effects]);
  }

  step(input: Input, nowMs: number): Effects {
    this.inputs.push(input);
    if (input.type === "tick" && Number.isFinite(this.deadlineMs)) this.deadlineMs = nowMs + 50;
    const refused = { type: "refused", reason: "not-leader", leader: this.leader } as const;
    const asks = input.type === "propose" || input.type === "change" || input.type === "transfer";
    return { ...nothing, outcome: asks ? refused : undefined, ...this.#queued.get(input.type)?.shift() };
  }

  status(): CoreStatus {
    return {
      role: this.role,
      term: this.term,
      leader: this.leader,
      commit: this.commit,
      last: this.commit,
      first: logIndex(this.#start.index + 1),
      configuration: this.configuration,
      configurationIndex: this.configurationIndex,
      uncommitted: { entries: 0, bytes: 0 },
      peers: [],
      damaged: false,
    };
  }

  leaseHolds(): boolean {
    return false;
  }

  startAt(index: LogIndex): LogStart {
    return { index, term: this.term, chain: 0, configuration: this.configuration };
  }
}

class FakeWal implements SlotLog {
  hasRoom = true;
  isDamaged = false;
  error: AlthingError | undefined;
  readonly trims: number[] = [];
  repairs = 0;
  readonly stats = { segments: 1, bytes: 0, flushes: 0, recycled: 0, lastFlushMs: 0 };

  append(): void {
    return undefined;
  }

  async flush(): Promise<void> {
    if (this.error !== undefined) throw this.error;
  }

  trim(_: unknown, upTo: LogIndex): void {
    this.trims.push(upTo);
  }

  repaired(): void {
    this.repairs++;
  }

  oldestOpenMs(): number {
    return 0;
  }

  async close(): Promise<void> {
    return undefined;
  }
}

/** A machine whose restore waits for `go`. */
class SlowMachine extends AppendMachine {
  go: (() => void) | undefined;
  isSlow = false;
  fails = false;
  open = 0;

  override async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    if (this.isSlow) {
      await new Promise<void>((resolve) => {
        this.go = resolve;
      });
    }
    if (this.fails) throw new AlthingError("DATA_CORRUPT", "Cannot restore: broken");
    await super.restore(chunks);
  }

  /** Chunks of snapshots wait for this. */
  chunkGate: Promise<void> | undefined;

  override snapshot(): ReturnType<AppendMachine["snapshot"]> {
    const inner = super.snapshot();
    const gate = this.chunkGate;
    this.open++;
    return {
      async *chunks() {
        await gate;
        yield* inner.chunks();
      },
      close: () => void this.open--,
    };
  }
}

class Rig {
  readonly clock = new FakeClock();
  readonly disk = new FakeDisk();
  readonly network = new FakeNetwork();
  readonly observer = new FakeObserver();
  readonly wal = new FakeWal();
  readonly machine = new SlowMachine();
  readonly fatal: unknown[] = [];
  /** What node 2 was sent. */
  readonly told: PeerFrame[] = [];
  #core: PuppetCore | undefined;
  #group: Group<Appended, number, readonly number[]> | undefined;
  #two: Peers | undefined;

  get core(): PuppetCore {
    if (this.#core === undefined) throw new Error("not open");
    return this.#core;
  }

  get group(): Group<Appended, number, readonly number[]> {
    if (this.#group === undefined) throw new Error("not open");
    return this.#group;
  }

  async open(
    options: {
      records?: readonly LogRecord[];
      damage?: readonly WalDamage[];
      bootstrap?: Configuration;
      self?: { readonly name: string; readonly clientUrls: readonly string[] };
      /** What the log says beyond the checkpoint. */
      prepare?: (core: PuppetCore) => void;
    } = {},
  ): Promise<this> {
    const { clock, disk, network, observer } = this;
    const ports = { clock, disk, network, observer, kernels: fakeKernels, random: fakeRandom(5) };
    const peers = new Peers(ports, {
      clusterId: 1,
      nodeId: nodeId(1),
      incarnation: incarnation(100),
      consensus: "raft",
    });
    await peers.listen("n1");
    this.#two = new Peers(
      { ...ports, random: fakeRandom(6) },
      { clusterId: 1, nodeId: nodeId(2), incarnation: incarnation(200), consensus: "raft" },
    );
    this.#two.register(GROUP, {
      frame: (_, frame) => void this.told.push(frame),
      connected: () => undefined,
      lost: () => undefined,
      stranger: () => undefined,
    });
    await this.#two.listen("n2");
    this.#group = await Group.open(ports, {
      group: GROUP,
      folder: "group",
      nodeId: nodeId(1),
      incarnation: incarnation(100),
      machine: this.machine,
      core: (_, recovered) => {
        this.#core = new PuppetCore(recovered.start);
        options.prepare?.(this.#core);
        return this.#core;
      },
      wal: this.wal,
      records: options.records ?? [],
      damage: options.damage ?? [],
      peers,
      bootstrap: options.bootstrap ?? configuration,
      self: options.self ?? { name: "", clientUrls: [] },
      priority: 0,
      limits: { ...defaultLimits, dirtyBytesMax: 10 },
      timings: defaultTimings,
      snapshotBytesPerSecond: 10_000,
      fatal: (error) => void this.fatal.push(error),
    });
    await clock.advance(50);
    return this;
  }

  /** Node 2 dials this node, which may not know where it is. */
  async meet(): Promise<void> {
    this.#two?.setPeers([{ id: nodeId(1), address: "n1", incarnation: 100 }]);
    await this.clock.advance(50);
  }

  /** Node 2 says something. */
  async hear(frame: PeerFrame): Promise<void> {
    this.#two?.send(nodeId(1), GROUP, frame);
    await this.clock.advance(2);
  }

  /** The next message of the leader makes the engine give these effects. */
  async lead(effects: Partial<Effects>): Promise<void> {
    this.core.commit = effects.committed?.at(-1)?.index ?? this.core.commit;
    this.core.on("message", effects);
    await this.hear({ type: "consensus", frame: utf8("x") });
  }

  async commit(...entries: LogRecord[]): Promise<void> {
    await this.lead({ committed: entries });
  }
}

function command(index: number, ...values: number[]): LogRecord {
  const parts = [encodePart({ type: "open-session", nonce: index })];
  const commands = values.map((value) => appendCommand(1, value));
  parts.push(encodePart({ type: "commands", session: sessionId(index), first: 1, resultsBelow: 1, commands }));
  const body = concatBytes(parts);
  return { kind: RecordKind.command, index: logIndex(index), term: term(1), chain: 0, body, bodyCrc: 0 };
}

/** A snapshot that holds the list 1 = [70, 71] at index 9, as the leader would send it. */
async function offerAt9(
  at: Configuration = configuration,
  leaving: readonly PeerAddress[] = [],
): Promise<{ offer: PeerFrame; chunk: PeerFrame }> {
  const machine = new AppendMachine();
  machine.apply(appendCommand(1, 70));
  machine.apply(appendCommand(1, 71));
  const silent = { sessionOpened: () => 0, executed: () => 0, outOfSequence: () => 0, noSession: () => 0 };
  const replica = new Replica(machine, { sessionsMax: 10, listener: silent });
  for (let index = 1; index <= 9; index++) {
    replica.apply({ ...command(index), kind: RecordKind.noop });
  }
  const start: LogStart = { index: logIndex(9), term: term(1), chain: 0, configuration: at };
  const parts: Uint8Array[] = [];
  for await (const part of machine.snapshot().chunks()) parts.push(part);
  const bytes = concatBytes(parts);
  return {
    offer: { type: "snapshot-offer", snapshot: 3, term: term(1), start, meta: replica.encodeMeta(start, leaving) },
    chunk: { type: "snapshot-chunk", snapshot: 3, offset: 0, crc: fakeKernels.crc32(bytes), last: true, bytes },
  };
}

const progressOf = (rig: Rig): readonly string[] =>
  rig.told.flatMap((frame) => (frame.type === "snapshot-progress" ? [frame.state] : []));

describe("whose snapshot is taken (X2)", () => {
  test.each([
    ["leader", 2, 1, ["receiving"]],
    ["leader", 3, 1, ["refused"]],
    ["leader", 2, 2, ["refused"]],
    ["anyone", 3, 1, ["receiving"]],
    ["anyone", undefined, 9, ["receiving"]],
  ] as const)("from %s: node 2 sends while node %s leads in term %i", async (from, leader, inTerm, progress) => {
    const rig = await new Rig().open();
    await rig.commit(command(1, 10));
    rig.core.snapshotsFrom = from;
    rig.core.leader = leader === undefined ? undefined : nodeId(leader);
    rig.core.term = term(inTerm);
    const { offer } = await offerAt9();
    await rig.hear(offer);
    expect(progressOf(rig)).toEqual(progress);
    await rig.group.close();
  });

  test("from anyone, but not if it ends at what is committed here", async () => {
    const rig = await new Rig().open();
    rig.core.snapshotsFrom = "anyone";
    rig.core.commit = logIndex(9);
    await rig.hear((await offerAt9()).offer);
    expect(progressOf(rig)).toEqual(["refused"]);
  });

  test.each(["leader", "anyone"] as const)("sending ends with the leadership where it is from the %s", async (from) => {
    const rig = await new Rig().open();
    rig.core.snapshotsFrom = from;
    await rig.commit(command(1, 10));
    const gate = new Deferred<void>();
    rig.machine.chunkGate = gate.promise;
    await rig.lead({ events: [{ type: "need-snapshot", peer: nodeId(2) }] });
    const offer = rig.told.find((frame) => frame.type === "snapshot-offer");
    if (offer?.type !== "snapshot-offer") throw new Error("no offer");
    await rig.hear({ type: "snapshot-progress", snapshot: offer.snapshot, offset: 0, state: "receiving" });
    rig.core.leader = undefined;
    await rig.lead({});
    gate.resolve();
    await rig.clock.advance(10);
    expect(rig.told.some((frame) => frame.type === "snapshot-chunk")).toBe(from === "anyone");
    await rig.hear({ type: "snapshot-progress", snapshot: offer.snapshot, offset: 0, state: "refused" });
  });
});

describe("changeMembers()", () => {
  const members = (...ids: number[]): Configuration => ({
    members: ids.map((id) => ({ ...voter, id: nodeId(id), address: `n${id}` })),
    outgoing: [],
  });
  const voter = { incarnation: 0, role: "voter", promote: false, name: "", clientUrls: [] } as const;

  test.each([
    ["is done when it is committed at its place, in whatever term", members(1, 2, 3), "done"],
    ["is not done when another leader's change took its place", members(1, 2, 4), "OUTCOME_UNKNOWN"],
  ] as const)("%s", async (_, chosen, end) => {
    const rig = await new Rig().open();
    rig.core.role = "leader";
    rig.core.leader = nodeId(1);
    rig.core.on("change", { outcome: { type: "accepted", index: logIndex(5), term: term(1) } });
    const change = rig.group
      .changeMembers(() => members(1, 2, 3).members)
      .then(
        () => "done",
        (error: unknown) => (error instanceof AlthingError ? error.code : String(error)),
      );
    await rig.clock.advance(20);
    rig.core.configuration = chosen;
    rig.core.configurationIndex = logIndex(5);
    rig.core.commit = logIndex(5);
    rig.core.term = term(2); // with Paxos the very change begins one
    await rig.clock.advance(20);
    expect(await Promise.race([change, Promise.resolve("open")])).toBe(end);
  });
});

test("an engine that is whole again says so to the log", async () => {
  const rig = await new Rig().open();
  await rig.lead({ events: [{ type: "repaired", upTo: logIndex(4) }] });
  expect(rig.wal.repairs).toBe(1);
});

describe("a snapshot that is installed", () => {
  test("replaces state, checkpoint and log; reads wait for the new state", async () => {
    const rig = await new Rig().open();
    await rig.commit(command(1, 10));
    rig.machine.isSlow = true;
    const { offer, chunk } = await offerAt9();
    await rig.hear(offer);
    await rig.hear(chunk);
    let stale: readonly number[] | undefined;
    let session: readonly number[] | undefined;
    void rig.group.read(1, { level: "stale" }).then((list) => {
      stale = list;
    });
    void rig.group.read(1, { level: "session" }).then((list) => {
      session = list;
    });
    await rig.clock.advance(30);
    expect([stale, session], "the machine is neither old nor new").toEqual([undefined, undefined]);
    rig.machine.go?.();
    await rig.clock.advance(30);
    expect([stale, session]).toEqual([
      [70, 71],
      [70, 71],
    ]);
    expect(rig.group.applied).toBe(9);
    expect(rig.core.inputs.some((input) => input.type === "installed")).toBe(true);
    expect(rig.wal.trims.at(-1)).toBe(9);
    expect(progressOf(rig).at(-1)).toBe("done");
  });

  test("is dropped when entries have overtaken it: what is applied never goes back", async () => {
    const rig = await new Rig().open();
    const { offer, chunk } = await offerAt9();
    await rig.hear(offer);
    // While the last chunk is written, another leader sends all there is: entries 1 to 10.
    const entries = Array.from({ length: 10 }, (_, i) => command(i + 1, i));
    const gate = new Deferred<void>();
    rig.disk.syncGate = gate.promise;
    await rig.hear(chunk);
    await rig.lead({ committed: entries });
    gate.resolve();
    await rig.clock.advance(50);
    expect(rig.group.applied).toBe(10);
    expect(rig.group.query(1)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(rig.fatal).toEqual([]);
  });

  test("that breaks half-way stops the node, and nothing is made of what is left", async () => {
    const rig = await new Rig().open();
    await rig.commit(command(1, 10));
    await rig.clock.advance(200);
    const checkpoint = rig.disk.files.get("group/checkpoint");
    rig.machine.fails = true;
    const { offer, chunk } = await offerAt9();
    await rig.hear(offer);
    await rig.hear(chunk);
    await rig.clock.advance(10);
    expect(rig.fatal).toEqual([expect.objectContaining({ code: "DATA_CORRUPT" })]);
    await rig.commit(command(2, 20, 21, 22, 23, 24, 25));
    await rig.clock.advance(60_000);
    expect(rig.group.applied).toBe(1);
    expect(rig.disk.files.get("group/checkpoint")).toBe(checkpoint);
    let read = "open";
    void rig.group.read(1, { level: "stale", timeoutMs: 100 }).then(
      () => {
        read = "answered";
      },
      (error: unknown) => {
        read = error instanceof AlthingError ? error.code : "?";
      },
    );
    await rig.clock.advance(1_000);
    expect(read).not.toBe("answered");
    await rig.group.close();
    await settle();
    expect(read).toBe("CLOSED");
  });

  test("waits for space to become durable, and applies nothing meanwhile", async () => {
    const rig = await new Rig().open();
    const { offer, chunk } = await offerAt9();
    await rig.hear(offer);
    rig.machine.isSlow = true;
    await rig.hear(chunk);
    rig.disk.roomBytes = 20;
    rig.machine.go?.();
    await rig.clock.advance(3_000);
    expect(rig.fatal).toEqual([]);
    expect(rig.observer.of("checkpoint-waits").length).toBeGreaterThan(1);
    const isInstalled = (): boolean => rig.core.inputs.some((input) => input.type === "installed");
    expect(isInstalled()).toBe(false);
    rig.disk.roomBytes = 1_000_000;
    await rig.clock.advance(1_500);
    expect(isInstalled()).toBe(true);
    expect(rig.group.query(1)).toEqual([70, 71]);
  });
});

describe("a full disk", () => {
  test("puts a checkpoint off and stops nobody", async () => {
    const rig = await new Rig().open();
    rig.disk.roomBytes = 3;
    await rig.commit(command(1, 10, 11, 12, 13));
    await rig.clock.advance(5_000);
    expect(rig.observer.of("checkpoint-waits").length).toBeGreaterThan(2);
    expect(rig.observer.of("checkpoint-waits").length).toBeLessThan(8); // not with every round of housekeeping
    expect([rig.fatal, rig.observer.of("checkpoint")]).toEqual([[], []]);
    await expect(rig.group.checkpoint()).rejects.toMatchObject({ code: "DISK_FULL" });
    rig.disk.roomBytes = 1_000_000;
    await rig.clock.advance(1_500);
    expect(rig.observer.of("checkpoint")).toHaveLength(1);
  });

  test("a log that failed while nothing was written stops the node all the same", async () => {
    const rig = await new Rig().open();
    rig.wal.error = new AlthingError("DISK_FAILED", "Cannot sync: input/output error");
    await rig.clock.advance(200);
    expect(rig.fatal[0]).toMatchObject({ code: "DISK_FAILED" });
  });
});

describe("close()", () => {
  test("waits for snapshots under way, so that nobody reads a state that is gone", async () => {
    const rig = await new Rig().open();
    await rig.commit(command(1, 10));
    await rig.clock.advance(200); // its checkpoint is behind it
    const gate = new Deferred<void>();
    rig.machine.chunkGate = gate.promise;
    await rig.lead({ events: [{ type: "need-snapshot", peer: nodeId(2) }] });
    const offer = rig.told.find((frame) => frame.type === "snapshot-offer");
    if (offer?.type !== "snapshot-offer") throw new Error("no offer");
    await rig.hear({ type: "snapshot-progress", snapshot: offer.snapshot, offset: 0, state: "receiving" });
    expect(rig.machine.open).toBe(1);
    let isClosed = false;
    void rig.group.close().then(() => {
      isClosed = true;
    });
    await rig.clock.advance(2_000);
    expect([isClosed, rig.machine.open], "the view is still read").toEqual([false, 1]);
    gate.resolve();
    await rig.clock.advance(100);
    expect([isClosed, rig.machine.open]).toEqual([true, 0]);
  });

  test("ends every call, and nothing runs afterwards", async () => {
    const rig = await new Rig().open();
    rig.core.leader = undefined;
    const ends: string[] = [];
    const write = rig.group.propose(appendCommand(1, 1)).then((outcome) => void ends.push(outcome.type));
    const note = (error: unknown): void => void ends.push(error instanceof AlthingError ? error.code : "?");
    const read = rig.group.read(1, { level: "linearizable" }).then(() => undefined, note);
    const ask = rig.group.ask(nodeId(2), utf8("?")).then(() => undefined, note);
    await rig.clock.advance(10);
    await rig.group.close();
    await Promise.all([write, read, ask]);
    expect(ends.sort()).toEqual(["CLOSED", "CLOSED", "rejected"]);
    const steps = rig.core.inputs.length;
    await rig.clock.advance(10_000);
    expect(rig.core.inputs.length).toBe(steps);
    expect(await rig.group.propose(appendCommand(1, 2))).toMatchObject({ type: "rejected", reason: "closed" });
  });
});

describe("input of other nodes", () => {
  test("a part that cannot be read never reaches the log", async () => {
    const rig = await new Rig().open();
    rig.core.role = "leader";
    rig.core.leader = nodeId(1);
    const good = encodePart({ type: "open-session", nonce: 5 });
    await rig.hear({ type: "forward", part: new Uint8Array([9, 9, 9]) });
    await rig.hear({ type: "forward", part: good.subarray(0, 4) });
    await rig.hear({ type: "forward", part: good });
    const proposed = rig.core.inputs.flatMap((input) => (input.type === "propose" ? [input.body] : []));
    expect(proposed).toEqual([good]);
    expect(rig.observer.of("part-unreadable")).toHaveLength(2);
  });

  test("a committed entry that cannot be read stops the node, whoever brought it", async () => {
    const rig = await new Rig().open();
    const broken: LogRecord = { ...command(1, 1), body: new Uint8Array([9]) };
    rig.core.on("message", { committed: [broken] });
    const failures: unknown[] = [];
    const link = rig.network.dialled.find((d) => d.address === "n2")?.connection;
    const onFrame = link?.onFrame;
    if (link === undefined || onFrame === undefined) throw new Error("no link");
    try {
      onFrame(encodePeerFrame(GROUP, { type: "consensus", frame: utf8("x") }));
    } catch (error) {
      failures.push(error);
    }
    expect(failures).toEqual([expect.objectContaining({ name: "AssertionError" })]);
    expect(rig.observer.of("peer-frame-bad")).toEqual([]);
  });

  test("a question that is no question is refused, and the link stays", async () => {
    const rig = await new Rig().open();
    await rig.hear({ type: "ask", id: 1, control: true, question: new Uint8Array([1]) });
    await rig.hear({ type: "ask", id: 2, control: true, question: new Uint8Array([77]) });
    await rig.hear({ type: "ask", id: 3, control: false, question: new Uint8Array([1]) });
    const answers = rig.told.flatMap((frame) => (frame.type === "answer" ? [frame.ok] : []));
    expect(answers).toEqual([false, false, false]);
  });
});

describe("damage in the log", () => {
  const damage = (index: number): WalDamage => ({
    segment: "1",
    offset: 0,
    why: "",
    records: 1,
    record: { group: GROUP, kind: RecordKind.command, index: logIndex(index), term: 1 },
  });

  test("below the checkpoint is no damage, and is cleaned away", async () => {
    const first = await new Rig().open();
    await first.commit(command(1, 10), command(2, 20));
    await first.group.checkpoint();
    const rig = new Rig();
    for (const [path, bytes] of first.disk.files) rig.disk.files.set(path, bytes);
    await rig.open({ records: [command(2, 20)], damage: [damage(1)] });
    await rig.clock.advance(300);
    expect(rig.observer.of("log-damaged")).toEqual([]);
    expect(rig.wal.trims.at(-1)).toBe(2);
  });

  test("above it is told, and so is a checkpoint that the log knows of and that is gone", async () => {
    const above = await new Rig().open({ records: [command(1, 10)], damage: [damage(2)] });
    expect(above.observer.of("log-damaged")).toMatchObject([{ upTo: 2 }]);
    const start: LogRecord = { ...command(7), kind: RecordKind.start };
    const gone = await new Rig().open({ records: [start] });
    expect(gone.observer.of("log-damaged")).toMatchObject([{ upTo: 7 }]);
  });
});

describe("voters that a joint configuration leaves, and names by id only", () => {
  /** Node 2 is being replaced by node 3. */
  const joint: Configuration = {
    members: [1, 3].map(memberOf),
    outgoing: [nodeId(1), nodeId(2)],
  };
  const configurationEntry = (index: number): LogRecord => ({
    ...command(index),
    kind: RecordKind.configuration,
    body: encodeConfiguration(joint),
  });
  const enter = (index: number): Partial<Effects> => ({
    committed: [configurationEntry(index)],
    events: [{ type: "configuration", configuration: joint, index: logIndex(index), committed: true }],
  });
  const dials = (rig: Rig): readonly string[] => [...new Set(rig.network.dialled.map((d) => d.address))].sort();

  test("are found after a restart from a checkpoint that was written in the joint half", async () => {
    const rig = await new Rig().open();
    rig.core.configuration = joint;
    rig.core.configurationIndex = logIndex(1);
    await rig.lead(enter(1));
    await rig.group.checkpoint();
    expect(rig.group.status().checkpoint).toBe(1);

    const again = new Rig();
    for (const [path, bytes] of rig.disk.files) again.disk.files.set(path, bytes);
    await again.open(); // nothing is left in the log
    expect(again.core.configuration).toEqual(joint);
    expect(dials(again)).toEqual(["n2"]); // nobody listens at n3
    expect(again.group.status().checkpoint).toBe(1);
  });

  test("are found after a restart from an older checkpoint, or from none", async () => {
    const again = new Rig();
    await again.open({
      records: [configurationEntry(1)],
      prepare: (core) => {
        core.configuration = joint;
        core.configurationIndex = logIndex(1);
      },
    });
    expect(dials(again)).toEqual(["n2"]);
  });

  test("are found by a node that got the state as a snapshot, and stay known when it restarts", async () => {
    const rig = await new Rig().open({ bootstrap: { members: [], outgoing: [] } });
    const { offer, chunk } = await offerAt9(joint, [{ id: nodeId(2), address: "n2", incarnation: 200 }]);
    rig.core.on("installed", {
      events: [{ type: "configuration", configuration: joint, index: logIndex(9), committed: true }],
    });
    await rig.meet();
    await rig.hear(offer);
    rig.core.commit = logIndex(0);
    await rig.hear(chunk);
    await rig.clock.advance(50);
    expect(rig.group.applied).toBe(9);
    expect(dials(rig)).toContain("n2");

    const again = new Rig();
    for (const [path, bytes] of rig.disk.files) again.disk.files.set(path, bytes);
    await again.open();
    expect(dials(again)).toEqual(["n2"]);
  });
});

describe("what a node tells of itself", () => {
  async function unbound(): Promise<{ rig: Rig; unhandled: unknown[]; stop: () => void }> {
    const rig = await new Rig().open({ self: { name: "one", clientUrls: [] } });
    const unhandled: unknown[] = [];
    const note = (error: unknown): void => void unhandled.push(error);
    const before = process.listeners("unhandledRejection");
    process.removeAllListeners("unhandledRejection");
    process.on("unhandledRejection", note);
    const stop = (): void => {
      process.off("unhandledRejection", note);
      for (const one of before) process.on("unhandledRejection", one);
    };
    rig.core.role = "leader";
    rig.core.leader = nodeId(1);
    return { rig, unhandled, stop };
  }

  test("is tried again after an operating error", async () => {
    const { rig, unhandled, stop } = await unbound();
    try {
      await rig.clock.advance(6_000);
    } finally {
      stop();
    }
    const changes = rig.core.inputs.filter((input) => input.type === "change");
    expect(changes.length).toBeGreaterThan(2); // each was refused
    expect(changes[0]).toMatchObject({ members: [{ id: 1, name: "one" }, { id: 2 }] });
    expect(unhandled).toEqual([]);
  });

  test("does not hide a bug: a failed assertion stops the node", async () => {
    const { rig, unhandled, stop } = await unbound();
    rig.core.on("change", { outcome: undefined });
    try {
      await rig.clock.advance(300);
      await settle();
    } finally {
      stop();
    }
    expect(unhandled).toEqual([expect.any(AssertionError)]);
  });
});

describe("a node that may have been removed", () => {
  const only = (...ids: number[]): Configuration => ({ members: ids.map(memberOf), outgoing: [] });
  const notMember = (index: number, at: number): PeerFrame => ({
    type: "not-member",
    index: logIndex(index),
    term: term(at),
  });
  const ticks = (rig: Rig): number => rig.core.inputs.filter((input) => input.type === "tick").length;
  const toldOf = (rig: Rig, type: PeerFrame["type"]): readonly PeerFrame[] => rig.told.filter((f) => f.type === type);

  test("believes what its own log does not reach, says so once, and gets no ticks any more (D2)", async () => {
    const rig = await new Rig().open();
    let changes = 0;
    rig.group.onChange(() => void changes++);
    rig.core.deadlineMs = rig.clock.monotonicMs();
    await rig.lead({});
    await rig.clock.advance(500);
    expect(ticks(rig)).toBeGreaterThan(8);
    await rig.hear(notMember(9, 2)); // the log is of term 1
    const before = ticks(rig);
    await rig.hear(notMember(10, 2));
    await rig.lead({});
    await rig.clock.advance(5_000);
    expect(ticks(rig)).toBe(before);
    expect(rig.group.status().removedAsOf).toBe(9);
    expect(rig.observer.of("removed-from-group")).toMatchObject([{ level: "warn", asOf: 9 }]);
    expect(changes).toBe(1);
  });

  test("does not believe what its own log goes beyond, nor what it knows better (D2)", async () => {
    const rig = await new Rig().open();
    rig.core.commit = logIndex(4);
    await rig.hear(notMember(4, 2)); // a term may be told wrongly, a committed configuration that has us not
    rig.core.configurationIndex = logIndex(8);
    rig.core.configuration = only(1, 2);
    await rig.hear(notMember(7, 1));
    expect(rig.group.status().removedAsOf).toBeUndefined();
    rig.core.configuration = only(2);
    await rig.hear(notMember(7, 1));
    expect(rig.group.status().removedAsOf).toBeUndefined();
    await rig.hear(notMember(8, 1));
    expect(rig.group.status().removedAsOf).toBe(8);
  });

  test("as a leader of the past finds by its own ticks that it leads no more, and then rests too", async () => {
    const rig = await new Rig().open();
    rig.core.deadlineMs = rig.clock.monotonicMs();
    rig.core.role = "leader";
    rig.core.leader = nodeId(1);
    await rig.lead({});
    await rig.hear(notMember(9, 2));
    const before = ticks(rig);
    await rig.clock.advance(500);
    expect(ticks(rig)).toBeGreaterThan(before + 8);
    rig.core.role = "follower";
    rig.core.leader = undefined;
    const after = ticks(rig);
    await rig.clock.advance(5_000);
    expect(ticks(rig)).toBe(after);
  });

  test("takes part again when a later configuration has it", async () => {
    const rig = await new Rig().open();
    await rig.hear(notMember(9, 2));
    const enter = (index: number, configured: Configuration): Partial<Effects> => {
      rig.core.configuration = configured;
      rig.core.configurationIndex = logIndex(index);
      return {
        events: [{ type: "configuration", configuration: configured, index: logIndex(index), committed: true }],
      };
    };
    await rig.lead(enter(9, only(1, 2)));
    await rig.lead(enter(10, only(2)));
    expect(rig.group.status().removedAsOf).toBe(9);
    rig.core.deadlineMs = rig.clock.monotonicMs();
    const before = ticks(rig);
    await rig.lead(enter(11, only(1, 2)));
    expect(rig.group.status()).not.toHaveProperty("removedAsOf");
    expect(rig.observer.of("returned-to-group")).toMatchObject([{ level: "info", index: 11 }]);
    await rig.clock.advance(200);
    expect(ticks(rig)).toBeGreaterThan(before + 2);
  });

  test("whose own log ends with its removal asks, when nobody speaks to it, whether that is the last word", async () => {
    const rig = await new Rig().open({ bootstrap: only(1, 2) });
    rig.core.configuration = only(2);
    for (let i = 0; i < 10; i++) {
      await rig.clock.advance(500);
      await rig.lead({});
    }
    expect(toldOf(rig, "member-query")).toEqual([]);
    await rig.clock.advance(4_000);
    expect(toldOf(rig, "member-query").length).toBeGreaterThan(1);
    expect(toldOf(rig, "member-query").length).toBeLessThan(5);
    rig.core.configuration = only(1, 2);
    const before = rig.told.length;
    await rig.clock.advance(4_000);
    expect(rig.told.slice(before)).toEqual([]);
  });

  test("is told so by a node whose configuration is committed and not joint, and by no other (D1)", async () => {
    const rig = await new Rig().open({ bootstrap: only(1) });
    await rig.meet();
    rig.core.commit = logIndex(6);
    rig.core.configurationIndex = logIndex(7);
    await rig.lead({});
    rig.core.configurationIndex = logIndex(5);
    rig.core.configuration = { ...only(1), outgoing: [nodeId(1), nodeId(3)] };
    await rig.hear({ type: "member-query" });
    rig.core.configuration = only(1, 2);
    await rig.hear({ type: "member-query" });
    expect(toldOf(rig, "not-member")).toEqual([]);
    rig.core.configuration = only(1);
    await rig.hear({ type: "member-query" });
    await rig.lead({});
    expect(toldOf(rig, "not-member")).toEqual([notMember(6, 1), notMember(6, 1)]);
  });

  test("does not answer others", async () => {
    const rig = await new Rig().open({ bootstrap: only(1) });
    await rig.meet();
    rig.core.configuration = only(3);
    rig.core.commit = logIndex(6);
    await rig.hear(notMember(6, 1));
    expect(rig.group.status().removedAsOf).toBe(6);
    await rig.hear({ type: "member-query" });
    expect(toldOf(rig, "not-member")).toEqual([]);
  });
});
