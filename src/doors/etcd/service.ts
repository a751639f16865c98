/**
 * What the etcd door needs from the layer below, and no more. `coordination/` implements it; the door's tests do too.
 * A call fails with an `EtcdError` (etcd's own code and words) or an `AlthingError`.
 */
import type * as m from "../../coordination/messages.ts";

export interface CallOptions {
  /** Aborts when the caller gave up. */
  readonly signal?: AbortSignal;
  /** What the caller's deadline leaves, in milliseconds. */
  readonly timeoutMs?: number;
}

/** Of a response, what is left out is its default. */
type Call<Request, Response> = (request: Request, options?: CallOptions) => Promise<Partial<Response>>;

/** One client's watch stream: many watchers on one connection. */
export interface WatchStream {
  /** Handles one request of the client; its answer comes through `onResponse`, in order. */
  request(request: m.WatchRequest): void;
  /** No more responses until `resume`: the client reads slowly. Events then wait in the store, not in memory. */
  pause(): void;
  resume(): void;
  /** Forgets every watcher. Nothing is delivered afterwards. */
  close(): void;
}

export interface EtcdService {
  /**
   * The hot path of Put, from bytes to bytes: `done` is called once, never synchronously, with either. The request is a
   * view of the transport's memory and is copied before the call returns. `headroom` bytes stay free before the response.
   * Malformed bytes are a `BytesError`, thrown.
   */
  putBytes(request: Uint8Array, done: (error: unknown, framed: Uint8Array | undefined) => void, headroom: number): void;
  /** The same for Range. */
  rangeBytes(
    request: Uint8Array,
    done: (error: unknown, framed: Uint8Array | undefined) => void,
    headroom: number,
  ): void;

  readonly range: Call<m.RangeRequest, m.RangeResponse>;
  readonly put: Call<m.PutRequest, m.PutResponse>;
  readonly deleteRange: Call<m.DeleteRangeRequest, m.DeleteRangeResponse>;
  readonly txn: Call<m.TxnRequest, m.TxnResponse>;
  readonly compact: Call<m.CompactionRequest, m.CompactionResponse>;

  readonly leaseGrant: Call<m.LeaseGrantRequest, m.LeaseGrantResponse>;
  readonly leaseRevoke: Call<m.LeaseRevokeRequest, m.LeaseRevokeResponse>;
  readonly leaseKeepAlive: Call<m.LeaseKeepAliveRequest, m.LeaseKeepAliveResponse>;
  readonly leaseTimeToLive: Call<m.LeaseTimeToLiveRequest, m.LeaseTimeToLiveResponse>;
  readonly leaseLeases: Call<m.LeaseLeasesRequest, m.LeaseLeasesResponse>;

  readonly lock: Call<m.LockRequest, m.LockResponse>;
  readonly unlock: Call<m.UnlockRequest, m.UnlockResponse>;
  readonly campaign: Call<m.CampaignRequest, m.CampaignResponse>;
  readonly proclaim: Call<m.ProclaimRequest, m.ProclaimResponse>;
  readonly leader: Call<m.LeaderRequest, m.LeaderResponse>;
  readonly resign: Call<m.ResignRequest, m.ResignResponse>;
  /** Each new leader of an election, from the present one on. */
  observe(request: m.LeaderRequest, options?: CallOptions): AsyncIterable<m.LeaderResponse>;

  /** Opens a watch stream. `onFailure` ends it: nothing follows. */
  watch(listener: {
    readonly onResponse: (response: m.WatchResponse) => void;
    readonly onFailure: (error: unknown) => void;
  }): WatchStream;

  readonly memberList: Call<m.MemberListRequest, m.MemberListResponse>;
  readonly memberAdd: Call<m.MemberAddRequest, m.MemberAddResponse>;
  readonly memberRemove: Call<m.MemberRemoveRequest, m.MemberRemoveResponse>;
  readonly memberUpdate: Call<m.MemberUpdateRequest, m.MemberUpdateResponse>;
  readonly memberPromote: Call<m.MemberPromoteRequest, m.MemberPromoteResponse>;

  readonly status: Call<m.StatusRequest, m.StatusResponse>;
  readonly hash: Call<m.HashRequest, m.HashResponse>;
  readonly hashKv: Call<m.HashKVRequest, m.HashKVResponse>;
  readonly moveLeader: Call<m.MoveLeaderRequest, m.MoveLeaderResponse>;
  readonly alarm: Call<m.AlarmRequest, m.AlarmResponse>;
  readonly defragment: Call<m.DefragmentRequest, m.DefragmentResponse>;
  /** A consistent copy of the store, in pieces. */
  snapshot(request: m.SnapshotRequest, options?: CallOptions): AsyncIterable<m.SnapshotResponse>;
}
