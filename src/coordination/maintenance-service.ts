/** etcd's Maintenance service: what operators ask. */
import type { CallOptions } from "../group/handle.ts";
import { nodeId } from "../base/ids.ts";
import { type Access, etcdErrorOf, resultOf } from "./access.ts";
import { CommandTag, command } from "./command.ts";
import { EtcdError } from "./etcd-error.ts";
import {
  AlarmAction,
  type AlarmMember,
  AlarmRequest,
  type AlarmResponse,
  AlarmType,
  type DefragmentResponse,
  type HashKVRequest,
  type HashKVResponse,
  type HashResponse,
  type MoveLeaderRequest,
  type MoveLeaderResponse,
  type SnapshotResponse,
  type StatusResponse,
} from "./messages.ts";
import { snapshotFile } from "./snapshot-file.ts";

export class MaintenanceService {
  readonly #access: Access;
  readonly #version: string;

  /** `version` is the etcd version whose protocol is spoken. */
  constructor(access: Access, options: { readonly version: string }) {
    this.#access = access;
    this.#version = options.version;
  }

  async status(): Promise<StatusResponse> {
    const { handle, store } = this.#access;
    const status = handle.status();
    const { fileBytes, usedBytes } = this.#size();
    const member = status.configuration.members.find((one) => one.id === handle.nodeId);
    const alarms = [...store.alarms];
    const own = { memberId: BigInt(handle.nodeId), alarm: AlarmType.CORRUPT };
    if (store.damage !== undefined && !alarms.some((one) => one.alarm === own.alarm && one.memberId === own.memberId)) {
      alarms.push(own); // a damaged store does not apply the alarm that tells the others of it
    }
    const errors = alarms.map(({ memberId, alarm }) => `memberID:${memberId} alarm:${alarmName(alarm)} `);
    errors.push(...status.refusals);
    if (status.removedAsOf !== undefined) errors.unshift("the member has been removed from the cluster");
    else if (status.leader === undefined) errors.unshift("etcdserver: no leader");
    return {
      header: this.#access.headerNow(),
      version: this.#version,
      dbSize: fileBytes,
      leader: BigInt(status.leader ?? 0),
      raftIndex: status.commit,
      raftTerm: status.term,
      raftAppliedIndex: status.applied,
      errors,
      dbSizeInUse: usedBytes,
      isLearner: member?.role === "learner",
      consensus: status.consensus,
    };
  }

  /** What the last checkpoint has not yet brought into the engine's file counts as data, and is on its way there. */
  #size(): { readonly fileBytes: number; readonly usedBytes: number } {
    const { store } = this.#access;
    const size = store.size();
    const usedBytes = size.usedBytes + store.durable.dirtyBytes();
    return { fileBytes: Math.max(size.fileBytes, usedBytes), usedBytes };
  }

  /** Over the whole replicated state. Not etcd's number: that is over its file. */
  hash(options?: CallOptions): Promise<HashResponse> {
    const take = (): HashResponse => ({ header: this.#access.headerNow(), hash: this.#access.store.hashAll() });
    return this.#access.readOwn(take, options);
  }

  /** Over keys and history up to a revision: equal on all nodes with the same compacted revision. */
  async hashKv(request: HashKVRequest, options?: CallOptions): Promise<HashKVResponse> {
    const result = await this.#access.readOwn(() => this.#access.store.hash(request.revision), options);
    if (result.type === "error") throw new EtcdError(result.error);
    return {
      header: this.#access.header(result.revision),
      hash: result.hash,
      compactRevision: result.compactRevision,
    };
  }

  /** Only the leader does it, as in etcd. */
  async moveLeader(request: MoveLeaderRequest, options?: CallOptions): Promise<MoveLeaderResponse> {
    const { handle } = this.#access;
    if (!handle.isLeader) throw new EtcdError("NOT_LEADER");
    const target = handle.members.find((member) => BigInt(member.id) === request.targetId);
    if (target === undefined || target.role !== "voter") throw new EtcdError("BAD_LEADER_TRANSFEREE");
    if (target.id !== handle.nodeId) {
      try {
        await handle.transferLeader(nodeId(target.id), options);
      } catch (error) {
        throw etcdErrorOf(error);
      }
    }
    return { header: this.#access.headerNow() };
  }

  /** Without a header, as etcd answers here. */
  async alarm(request: AlarmRequest, options?: CallOptions): Promise<AlarmResponse> {
    if (request.action === AlarmAction.GET) {
      const { alarm } = request;
      const wanted = (one: AlarmMember): boolean => alarm === AlarmType.NONE || one.alarm === alarm;
      return await this.#access.read(
        false,
        () => ({ header: undefined, alarms: this.#access.store.alarms.filter(wanted) }),
        options,
      );
    }
    const bytes = command(CommandTag.alarm, AlarmRequest, request);
    return {
      header: undefined,
      alarms: resultOf(await this.#access.propose(bytes, { ...options, urgent: true }), "alarm").alarms,
    };
  }

  /** Nothing to do: the engine reuses its free pages. */
  async defragment(): Promise<DefragmentResponse> {
    return { header: this.#access.headerNow() };
  }

  /** This node's state as a file in pieces; see `snapshot-file.ts`. Stops when `signal` aborts. */
  async *snapshot(options: CallOptions = {}): AsyncGenerator<SnapshotResponse, void, undefined> {
    const { exported, header } = await this.#access.readOwn(
      () => ({ exported: this.#access.handle.exportSnapshot(), header: this.#access.headerNow() }),
      options,
    );
    let sent = 0;
    try {
      let held: Uint8Array | undefined;
      for await (const piece of snapshotFile(exported.chunks)) {
        if (options.signal?.aborted === true) throw new EtcdError("CANCELLED");
        if (held !== undefined) {
          sent += held.length;
          // What is left is known only at the end; until then an estimate that is never 0.
          const remainingBytes = Math.max(piece.length, this.#size().usedBytes - sent);
          yield { header, remainingBytes, blob: held };
        }
        held = piece;
      }
      if (held !== undefined) yield { header, remainingBytes: 0, blob: held };
    } finally {
      exported.close();
    }
  }
}

function alarmName(alarm: AlarmMember["alarm"]): string {
  for (const [name, value] of Object.entries(AlarmType)) if (value === alarm) return name;
  return String(alarm);
}
