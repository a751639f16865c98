/**
 * Everything etcd's clients ask of a cluster, on one replicated group: the services of the protocol as methods that take and
 * return its messages. One instance a node; any node serves. Throws `EtcdError`, whose codes and texts are etcd's, and
 * `AlthingError` where etcd has no word.
 */
import { BytesError } from "../base/bytes.ts";
import type { Limits } from "../config/limits.ts";
import type { CallOptions } from "../group/handle.ts";
import type { Kernels } from "../ports/kernels.ts";
import type { Ports } from "../ports/ports.ts";
import { Access, type CoordinationHandle } from "./access.ts";
import { AutoCompaction, type AutoCompactionMode } from "./auto-compaction.ts";
import { ClusterService } from "./cluster-service.ts";
import { ElectionService } from "./election-service.ts";
import { EtcdError } from "./etcd-error.ts";
import { type BytesDone, KvService } from "./kv-service.ts";
import { LeaseService } from "./lease-service.ts";
import { Lessor } from "./lessor.ts";
import { LockService } from "./lock-service.ts";
import { MaintenanceService } from "./maintenance-service.ts";
import { MemberAlarms } from "./member-alarms.ts";
import type * as m from "./messages.ts";
import { decodeQuestion, encodeAnswer } from "./question.ts";
import type { Store } from "./store.ts";
import { TurnTaking } from "./turn-taking.ts";
import { WatchHub, type WatchListener, type WatchStream } from "./watch-hub.ts";

/** The etcd version whose protocol is spoken and announced. */
export const ETCD_VERSION = "3.4.23";

export interface CoordinationOptions {
  readonly handle: CoordinationHandle;
  /** The very machine that `handle` replicates. */
  readonly store: Store;
  readonly ports: Pick<Ports, "clock" | "random" | "observer"> & { readonly kernels: Kernels };
  readonly clusterId: bigint;
  readonly limits: Pick<Limits, "requestBytesMax" | "txnOperationsMax" | "watchQueueBytesMax">;
  readonly electionMs: number;
  readonly callTimeoutMs: number;
  /** Answer reads from the leader's lease: only with timings that allow it. Default `linearizable`. */
  readonly readLevel?: "linearizable" | "lease";
  readonly peerScheme?: "http" | "https";
  readonly autoCompaction?: AutoCompactionMode;
  /** Least TTL of a lease, in seconds. Default 2, etcd's with default timings (1.5 election timeouts, rounded up). */
  readonly leaseTtlMin?: number;
  /** How often what is left of long leases is noted in the log. Default 0: never, as in etcd. */
  readonly leaseCheckpointMs?: number;
  /** Default ten minutes, as in etcd. */
  readonly watchProgressMs?: number;
  /** Watchers of this node; more are refused. Default 200,000. */
  readonly watchersMax?: number;
  readonly version?: string;
}

export class Coordination {
  readonly #kv: KvService;
  readonly #lessor: Lessor;
  readonly #leases: LeaseService;
  readonly #hub: WatchHub;
  readonly #locks: LockService;
  readonly #elections: ElectionService;
  readonly #cluster: ClusterService;
  readonly #maintenance: MaintenanceService;
  readonly #autoCompaction: AutoCompaction;
  readonly #alarms: MemberAlarms;
  readonly #stopListening: () => void;

  constructor(options: CoordinationOptions) {
    const { handle, store, ports, limits } = options;
    const { clock, observer, random, kernels } = ports;
    const access = new Access({
      handle,
      store,
      clock,
      random,
      observer,
      clusterId: options.clusterId,
      requestBytesMax: limits.requestBytesMax,
      readLevel: options.readLevel ?? "linearizable",
    });
    this.#kv = new KvService(access, {
      txnOperationsMax: limits.txnOperationsMax,
      latin1: (bytes) => kernels.latin1(bytes),
    });
    this.#lessor = new Lessor({
      handle,
      table: store.leases,
      clock,
      observer,
      electionMs: options.electionMs,
      checkpointIntervalMs: options.leaseCheckpointMs ?? 0,
    });
    this.#leases = new LeaseService(access, this.#lessor, {
      minTtlSeconds: options.leaseTtlMin ?? 2,
      callTimeoutMs: options.callTimeoutMs,
    });
    this.#hub = new WatchHub({
      store,
      clock,
      observer,
      header: (revision) => access.header(revision),
      progressIntervalMs: options.watchProgressMs ?? 600_000,
      fragmentBytes: limits.requestBytesMax,
      watchersMax: options.watchersMax ?? 200_000,
      queueBytesMax: limits.watchQueueBytesMax,
    });
    const turns = new TurnTaking({ access, kv: this.#kv, leases: this.#leases, hub: this.#hub });
    this.#locks = new LockService(access, this.#kv, turns);
    this.#elections = new ElectionService(access, this.#kv, turns);
    this.#cluster = new ClusterService(access, { peerScheme: options.peerScheme ?? "http" });
    this.#maintenance = new MaintenanceService(access, { version: options.version ?? ETCD_VERSION });
    this.#autoCompaction = new AutoCompaction(access, options.autoCompaction ?? { type: "off" });
    this.#alarms = new MemberAlarms(access);
    this.#stopListening = store.listen({
      published: () => undefined,
      replaced: () => this.#kv.driveCompaction(),
      compacting: () => this.#kv.driveCompaction(),
      damaged: () => this.#lessor.close(), // its table stands still from now on: another leader must keep time
    });
    handle.onAsk((question) => this.#answer(question));
  }

  close(): void {
    this.#stopListening();
    this.#autoCompaction.close();
    this.#alarms.close();
    this.#lessor.close();
    this.#hub.close();
  }

  /** This node's copy of the store is damaged: tells the cluster so. Resolves when it is told, or could not be. */
  tellDamage(): Promise<void> {
    return this.#alarms.raiseCorrupt();
  }

  // KV

  /** The hot path of Put: `done` is called once, never synchronously, `headroom` bytes free before the response. Throws BytesError on malformed bytes. */
  putBytes(request: Uint8Array, done: BytesDone, headroom = 0): void {
    this.#kv.putBytes(request, done, headroom);
  }

  /** The same for Range. */
  rangeBytes(request: Uint8Array, done: BytesDone, headroom = 0): void {
    this.#kv.rangeBytes(request, done, headroom);
  }

  range(request: m.RangeRequest, options?: CallOptions): Promise<m.RangeResponse> {
    return this.#kv.range(request, options);
  }

  put(request: m.PutRequest, options?: CallOptions): Promise<m.PutResponse> {
    return this.#kv.put(request, options);
  }

  deleteRange(request: m.DeleteRangeRequest, options?: CallOptions): Promise<m.DeleteRangeResponse> {
    return this.#kv.deleteRange(request, options);
  }

  txn(request: m.TxnRequest, options?: CallOptions): Promise<m.TxnResponse> {
    return this.#kv.txn(request, options);
  }

  compact(request: m.CompactionRequest, options?: CallOptions): Promise<m.CompactionResponse> {
    return this.#kv.compact(request, options);
  }

  // Watch

  watch(listener: WatchListener): WatchStream {
    return this.#hub.open(listener);
  }

  /** Watchers and streams of this node, for metrics. */
  get watchCounts(): { readonly streams: number; readonly watchers: number; readonly behind: number } {
    const { streamCount, watcherCount, behindCount } = this.#hub;
    return { streams: streamCount, watchers: watcherCount, behind: behindCount };
  }

  // Lease

  leaseGrant(request: m.LeaseGrantRequest, options?: CallOptions): Promise<m.LeaseGrantResponse> {
    return this.#leases.grant(request, options);
  }

  leaseRevoke(request: m.LeaseRevokeRequest, options?: CallOptions): Promise<m.LeaseRevokeResponse> {
    return this.#leases.revoke(request, options);
  }

  leaseKeepAlive(request: m.LeaseKeepAliveRequest, options?: CallOptions): Promise<m.LeaseKeepAliveResponse> {
    return this.#leases.keepAlive(request, options);
  }

  leaseTimeToLive(request: m.LeaseTimeToLiveRequest, options?: CallOptions): Promise<m.LeaseTimeToLiveResponse> {
    return this.#leases.timeToLive(request, options);
  }

  leaseLeases(_request: m.LeaseLeasesRequest, options?: CallOptions): Promise<m.LeaseLeasesResponse> {
    return this.#leases.leases(options);
  }

  // Lock and Election

  lock(request: m.LockRequest, options?: CallOptions): Promise<m.LockResponse> {
    return this.#locks.lock(request, options);
  }

  unlock(request: m.UnlockRequest, options?: CallOptions): Promise<m.UnlockResponse> {
    return this.#locks.unlock(request, options);
  }

  campaign(request: m.CampaignRequest, options?: CallOptions): Promise<m.CampaignResponse> {
    return this.#elections.campaign(request, options);
  }

  proclaim(request: m.ProclaimRequest, options?: CallOptions): Promise<m.ProclaimResponse> {
    return this.#elections.proclaim(request, options);
  }

  leader(request: m.LeaderRequest, options?: CallOptions): Promise<m.LeaderResponse> {
    return this.#elections.leader(request, options);
  }

  observe(request: m.LeaderRequest, options?: CallOptions): AsyncIterable<m.LeaderResponse> {
    return this.#elections.observe(request, options);
  }

  resign(request: m.ResignRequest, options?: CallOptions): Promise<m.ResignResponse> {
    return this.#elections.resign(request, options);
  }

  // Cluster

  memberList(request: m.MemberListRequest, options?: CallOptions): Promise<m.MemberListResponse> {
    return this.#cluster.list(request, options);
  }

  memberAdd(request: m.MemberAddRequest, options?: CallOptions): Promise<m.MemberAddResponse> {
    return this.#cluster.add(request, options);
  }

  memberRemove(request: m.MemberRemoveRequest, options?: CallOptions): Promise<m.MemberRemoveResponse> {
    return this.#cluster.remove(request, options);
  }

  memberUpdate(request: m.MemberUpdateRequest, options?: CallOptions): Promise<m.MemberUpdateResponse> {
    return this.#cluster.update(request, options);
  }

  memberPromote(request: m.MemberPromoteRequest, options?: CallOptions): Promise<m.MemberPromoteResponse> {
    return this.#cluster.promote(request, options);
  }

  // Maintenance

  status(_request: m.StatusRequest): Promise<m.StatusResponse> {
    return this.#maintenance.status();
  }

  hash(_request: m.HashRequest, options?: CallOptions): Promise<m.HashResponse> {
    return this.#maintenance.hash(options);
  }

  hashKv(request: m.HashKVRequest, options?: CallOptions): Promise<m.HashKVResponse> {
    return this.#maintenance.hashKv(request, options);
  }

  moveLeader(request: m.MoveLeaderRequest, options?: CallOptions): Promise<m.MoveLeaderResponse> {
    return this.#maintenance.moveLeader(request, options);
  }

  alarm(request: m.AlarmRequest, options?: CallOptions): Promise<m.AlarmResponse> {
    return this.#maintenance.alarm(request, options);
  }

  defragment(_request: m.DefragmentRequest): Promise<m.DefragmentResponse> {
    return this.#maintenance.defragment();
  }

  snapshot(_request: m.SnapshotRequest, options?: CallOptions): AsyncIterable<m.SnapshotResponse> {
    return this.#maintenance.snapshot(options);
  }

  /** What other nodes ask this one. */
  async #answer(bytes: Uint8Array): Promise<Uint8Array> {
    return await encodeAnswer(async () => {
      try {
        const question = decodeQuestion(bytes);
        if (question.type !== "learner-ready") return await this.#leases.answer(question);
        return this.#cluster.learnerReady(question.member) ? 1 : 0;
      } catch (error) {
        if (error instanceof BytesError) throw new EtcdError("REQUEST_MALFORMED", { cause: error });
        throw error;
      }
    });
  }
}
