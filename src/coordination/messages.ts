/**
 * The messages of the etcd v3 protocol: services KV, Watch, Lease, Cluster, Maintenance, Lock and Election.
 * Source: the public protocol of etcd 3.4 (rpc.proto, kv.proto, v3lock.proto, v3election.proto); fields that later versions
 * added keep their numbers. Names are those of the protocol in camelCase; `ID` and `TTL` are `id` and `ttl`.
 *
 * Revisions, counts and TTLs are numbers (`int53`); lease and member ids use all 64 bits and are bigint.
 * This folder alone compiles without `isolatedDeclarations`: the types below are inferred from the codecs.
 */
import {
  enumeration,
  field,
  type Infer,
  type Message,
  message,
  nested,
  oneof,
  repeated,
  repeatedEnumeration,
  repeatedNested,
} from "../base/protobuf.ts";

export const SortOrder = { NONE: 0, ASCEND: 1, DESCEND: 2 } as const;
export const SortTarget = { KEY: 0, VERSION: 1, CREATE: 2, MOD: 3, VALUE: 4 } as const;
export const CompareResult = { EQUAL: 0, GREATER: 1, LESS: 2, NOT_EQUAL: 3 } as const;
export const CompareTarget = { VERSION: 0, CREATE: 1, MOD: 2, VALUE: 3, LEASE: 4 } as const;
export const EventType = { PUT: 0, DELETE: 1 } as const;
export const WatchFilter = { NOPUT: 0, NODELETE: 1 } as const;
export const AlarmType = { NONE: 0, NOSPACE: 1, CORRUPT: 2 } as const;
export const AlarmAction = { GET: 0, ACTIVATE: 1, DEACTIVATE: 2 } as const;
export const DowngradeAction = { VALIDATE: 0, ENABLE: 1, CANCEL: 2 } as const;

export const ResponseHeader = message({
  clusterId: field(1, "uint64"),
  memberId: field(2, "uint64"),
  revision: field(3, "int53"),
  raftTerm: field(4, "uint53"),
});
export type ResponseHeader = Infer<typeof ResponseHeader>;

export const KeyValue = message({
  key: field(1, "bytes"),
  createRevision: field(2, "int53"),
  modRevision: field(3, "int53"),
  version: field(4, "int53"),
  value: field(5, "bytes"),
  lease: field(6, "int64"),
});
export type KeyValue = Infer<typeof KeyValue>;

export const Event = message({
  type: enumeration(1, EventType),
  kv: nested(2, KeyValue),
  prevKv: nested(3, KeyValue),
});
export type Event = Infer<typeof Event>;

// KV

export const RangeRequest = message({
  key: field(1, "bytes"),
  rangeEnd: field(2, "bytes"),
  limit: field(3, "int53"),
  revision: field(4, "int53"),
  sortOrder: enumeration(5, SortOrder),
  sortTarget: enumeration(6, SortTarget),
  serializable: field(7, "bool"),
  keysOnly: field(8, "bool"),
  countOnly: field(9, "bool"),
  minModRevision: field(10, "int53"),
  maxModRevision: field(11, "int53"),
  minCreateRevision: field(12, "int53"),
  maxCreateRevision: field(13, "int53"),
});
export type RangeRequest = Infer<typeof RangeRequest>;

export const RangeResponse = message({
  header: nested(1, ResponseHeader),
  kvs: repeatedNested(2, KeyValue),
  more: field(3, "bool"),
  count: field(4, "int53"),
});
export type RangeResponse = Infer<typeof RangeResponse>;

export const PutRequest = message({
  key: field(1, "bytes"),
  value: field(2, "bytes"),
  lease: field(3, "int64"),
  prevKv: field(4, "bool"),
  ignoreValue: field(5, "bool"),
  ignoreLease: field(6, "bool"),
});
export type PutRequest = Infer<typeof PutRequest>;

export const PutResponse = message({
  header: nested(1, ResponseHeader),
  prevKv: nested(2, KeyValue),
});
export type PutResponse = Infer<typeof PutResponse>;

export const DeleteRangeRequest = message({
  key: field(1, "bytes"),
  rangeEnd: field(2, "bytes"),
  prevKv: field(3, "bool"),
});
export type DeleteRangeRequest = Infer<typeof DeleteRangeRequest>;

export const DeleteRangeResponse = message({
  header: nested(1, ResponseHeader),
  deleted: field(2, "int53"),
  prevKvs: repeatedNested(3, KeyValue),
});
export type DeleteRangeResponse = Infer<typeof DeleteRangeResponse>;

export const Compare = message({
  result: enumeration(1, CompareResult),
  target: enumeration(2, CompareTarget),
  key: field(3, "bytes"),
  targetUnion: oneof({
    version: field(4, "int53"),
    createRevision: field(5, "int53"),
    modRevision: field(6, "int53"),
    value: field(7, "bytes"),
    lease: field(8, "int64"),
  }),
  rangeEnd: field(64, "bytes"),
});
export type Compare = Infer<typeof Compare>;

// A transaction holds operations, one of which may be a transaction: the only circle, and so spelled out.

type Op<Range, Put, Delete, Txn> =
  | { readonly type: "requestRange"; readonly value: Range }
  | { readonly type: "requestPut"; readonly value: Put }
  | { readonly type: "requestDeleteRange"; readonly value: Delete }
  | { readonly type: "requestTxn"; readonly value: Txn };
type OpResult<Range, Put, Delete, Txn> =
  | { readonly type: "responseRange"; readonly value: Range }
  | { readonly type: "responsePut"; readonly value: Put }
  | { readonly type: "responseDeleteRange"; readonly value: Delete }
  | { readonly type: "responseTxn"; readonly value: Txn };

type In<T> = { readonly [K in keyof T]?: T[K] | undefined };

export interface RequestOp {
  readonly request: Op<RangeRequest, PutRequest, DeleteRangeRequest, TxnRequest> | undefined;
}
export interface RequestOpInput {
  readonly request?: Op<In<RangeRequest>, In<PutRequest>, In<DeleteRangeRequest>, TxnRequestInput> | undefined;
}
export const RequestOp: Message<RequestOp, RequestOpInput> = message({
  request: oneof({
    requestRange: nested(1, RangeRequest),
    requestPut: nested(2, PutRequest),
    requestDeleteRange: nested(3, DeleteRangeRequest),
    requestTxn: nested<TxnRequest, TxnRequestInput>(4, () => TxnRequest),
  }),
});

export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
}
export interface TxnRequestInput {
  readonly compare?: readonly In<Compare>[] | undefined;
  readonly success?: readonly RequestOpInput[] | undefined;
  readonly failure?: readonly RequestOpInput[] | undefined;
}
export const TxnRequest: Message<TxnRequest, TxnRequestInput> = message({
  compare: repeatedNested(1, Compare),
  success: repeatedNested(2, RequestOp),
  failure: repeatedNested(3, RequestOp),
});

export interface ResponseOp {
  readonly response: OpResult<RangeResponse, PutResponse, DeleteRangeResponse, TxnResponse> | undefined;
}
export const ResponseOp: Message<ResponseOp, ResponseOp> = message({
  response: oneof({
    responseRange: nested(1, RangeResponse),
    responsePut: nested(2, PutResponse),
    responseDeleteRange: nested(3, DeleteRangeResponse),
    responseTxn: nested<TxnResponse, TxnResponse>(4, () => TxnResponse),
  }),
});

export interface TxnResponse {
  readonly header: ResponseHeader | undefined;
  readonly succeeded: boolean;
  readonly responses: readonly ResponseOp[];
}
export const TxnResponse: Message<TxnResponse, In<TxnResponse>> = message({
  header: nested(1, ResponseHeader),
  succeeded: field(2, "bool"),
  responses: repeatedNested(3, ResponseOp),
});

export const CompactionRequest = message({ revision: field(1, "int53"), physical: field(2, "bool") });
export type CompactionRequest = Infer<typeof CompactionRequest>;
export const CompactionResponse = message({ header: nested(1, ResponseHeader) });
export type CompactionResponse = Infer<typeof CompactionResponse>;

// Watch

export const WatchCreateRequest = message({
  key: field(1, "bytes"),
  rangeEnd: field(2, "bytes"),
  startRevision: field(3, "int53"),
  progressNotify: field(4, "bool"),
  filters: repeatedEnumeration(5, WatchFilter),
  prevKv: field(6, "bool"),
  watchId: field(7, "int53"),
  fragment: field(8, "bool"),
});
export type WatchCreateRequest = Infer<typeof WatchCreateRequest>;
export const WatchCancelRequest = message({ watchId: field(1, "int53") });
export type WatchCancelRequest = Infer<typeof WatchCancelRequest>;
export const WatchProgressRequest = message({});
export type WatchProgressRequest = Infer<typeof WatchProgressRequest>;
export const WatchRequest = message({
  requestUnion: oneof({
    createRequest: nested(1, WatchCreateRequest),
    cancelRequest: nested(2, WatchCancelRequest),
    progressRequest: nested(3, WatchProgressRequest),
  }),
});
export type WatchRequest = Infer<typeof WatchRequest>;

export const WatchResponse = message({
  header: nested(1, ResponseHeader),
  watchId: field(2, "int53"),
  created: field(3, "bool"),
  canceled: field(4, "bool"),
  compactRevision: field(5, "int53"),
  cancelReason: field(6, "string"),
  fragment: field(7, "bool"),
  events: repeatedNested(11, Event),
});
export type WatchResponse = Infer<typeof WatchResponse>;

// Lease

export const LeaseGrantRequest = message({ ttl: field(1, "int53", "TTL"), id: field(2, "int64", "ID") });
export type LeaseGrantRequest = Infer<typeof LeaseGrantRequest>;
export const LeaseGrantResponse = message({
  header: nested(1, ResponseHeader),
  id: field(2, "int64", "ID"),
  ttl: field(3, "int53", "TTL"),
  error: field(4, "string"),
});
export type LeaseGrantResponse = Infer<typeof LeaseGrantResponse>;

export const LeaseRevokeRequest = message({ id: field(1, "int64", "ID") });
export type LeaseRevokeRequest = Infer<typeof LeaseRevokeRequest>;
export const LeaseRevokeResponse = message({ header: nested(1, ResponseHeader) });
export type LeaseRevokeResponse = Infer<typeof LeaseRevokeResponse>;

export const LeaseCheckpoint = message({
  id: field(1, "int64", "ID"),
  remainingTtl: field(2, "int53", "remaining_TTL"),
});
export type LeaseCheckpoint = Infer<typeof LeaseCheckpoint>;
export const LeaseCheckpointRequest = message({ checkpoints: repeatedNested(1, LeaseCheckpoint) });
export type LeaseCheckpointRequest = Infer<typeof LeaseCheckpointRequest>;

export const LeaseKeepAliveRequest = message({ id: field(1, "int64", "ID") });
export type LeaseKeepAliveRequest = Infer<typeof LeaseKeepAliveRequest>;
export const LeaseKeepAliveResponse = message({
  header: nested(1, ResponseHeader),
  id: field(2, "int64", "ID"),
  ttl: field(3, "int53", "TTL"),
});
export type LeaseKeepAliveResponse = Infer<typeof LeaseKeepAliveResponse>;

export const LeaseTimeToLiveRequest = message({ id: field(1, "int64", "ID"), keys: field(2, "bool") });
export type LeaseTimeToLiveRequest = Infer<typeof LeaseTimeToLiveRequest>;
export const LeaseTimeToLiveResponse = message({
  header: nested(1, ResponseHeader),
  id: field(2, "int64", "ID"),
  ttl: field(3, "int53", "TTL"),
  grantedTtl: field(4, "int53", "grantedTTL"),
  keys: repeated(5, "bytes"),
});
export type LeaseTimeToLiveResponse = Infer<typeof LeaseTimeToLiveResponse>;

export const LeaseLeasesRequest = message({});
export type LeaseLeasesRequest = Infer<typeof LeaseLeasesRequest>;
export const LeaseStatus = message({ id: field(1, "int64", "ID") });
export type LeaseStatus = Infer<typeof LeaseStatus>;
export const LeaseLeasesResponse = message({
  header: nested(1, ResponseHeader),
  leases: repeatedNested(2, LeaseStatus),
});
export type LeaseLeasesResponse = Infer<typeof LeaseLeasesResponse>;

// Cluster

export const Member = message({
  id: field(1, "uint64", "ID"),
  name: field(2, "string"),
  peerUrls: repeated(3, "string", "peerURLs"),
  clientUrls: repeated(4, "string", "clientURLs"),
  isLearner: field(5, "bool", "isLearner"),
});
export type Member = Infer<typeof Member>;

export const MemberAddRequest = message({
  peerUrls: repeated(1, "string", "peerURLs"),
  isLearner: field(2, "bool", "isLearner"),
});
export type MemberAddRequest = Infer<typeof MemberAddRequest>;
export const MemberAddResponse = message({
  header: nested(1, ResponseHeader),
  member: nested(2, Member),
  members: repeatedNested(3, Member),
});
export type MemberAddResponse = Infer<typeof MemberAddResponse>;

export const MemberRemoveRequest = message({ id: field(1, "uint64", "ID") });
export type MemberRemoveRequest = Infer<typeof MemberRemoveRequest>;
export const MemberRemoveResponse = message({
  header: nested(1, ResponseHeader),
  members: repeatedNested(2, Member),
});
export type MemberRemoveResponse = Infer<typeof MemberRemoveResponse>;

export const MemberUpdateRequest = message({
  id: field(1, "uint64", "ID"),
  peerUrls: repeated(2, "string", "peerURLs"),
});
export type MemberUpdateRequest = Infer<typeof MemberUpdateRequest>;
export const MemberUpdateResponse = message({
  header: nested(1, ResponseHeader),
  members: repeatedNested(2, Member),
});
export type MemberUpdateResponse = Infer<typeof MemberUpdateResponse>;

export const MemberListRequest = message({ linearizable: field(1, "bool") });
export type MemberListRequest = Infer<typeof MemberListRequest>;
export const MemberListResponse = message({
  header: nested(1, ResponseHeader),
  members: repeatedNested(2, Member),
});
export type MemberListResponse = Infer<typeof MemberListResponse>;

export const MemberPromoteRequest = message({ id: field(1, "uint64", "ID") });
export type MemberPromoteRequest = Infer<typeof MemberPromoteRequest>;
export const MemberPromoteResponse = message({
  header: nested(1, ResponseHeader),
  members: repeatedNested(2, Member),
});
export type MemberPromoteResponse = Infer<typeof MemberPromoteResponse>;

// Maintenance

export const HashRequest = message({});
export type HashRequest = Infer<typeof HashRequest>;
export const HashResponse = message({ header: nested(1, ResponseHeader), hash: field(2, "uint32") });
export type HashResponse = Infer<typeof HashResponse>;

export const HashKVRequest = message({ revision: field(1, "int53") });
export type HashKVRequest = Infer<typeof HashKVRequest>;
export const HashKVResponse = message({
  header: nested(1, ResponseHeader),
  hash: field(2, "uint32"),
  compactRevision: field(3, "int53"),
});
export type HashKVResponse = Infer<typeof HashKVResponse>;

export const SnapshotRequest = message({});
export type SnapshotRequest = Infer<typeof SnapshotRequest>;
export const SnapshotResponse = message({
  header: nested(1, ResponseHeader),
  remainingBytes: field(2, "uint53"),
  blob: field(3, "bytes"),
});
export type SnapshotResponse = Infer<typeof SnapshotResponse>;

export const DefragmentRequest = message({});
export type DefragmentRequest = Infer<typeof DefragmentRequest>;
export const DefragmentResponse = message({ header: nested(1, ResponseHeader) });
export type DefragmentResponse = Infer<typeof DefragmentResponse>;

export const MoveLeaderRequest = message({ targetId: field(1, "uint64", "targetID") });
export type MoveLeaderRequest = Infer<typeof MoveLeaderRequest>;
export const MoveLeaderResponse = message({ header: nested(1, ResponseHeader) });
export type MoveLeaderResponse = Infer<typeof MoveLeaderResponse>;

export const AlarmRequest = message({
  action: enumeration(1, AlarmAction),
  memberId: field(2, "uint64", "memberID"),
  alarm: enumeration(3, AlarmType),
});
export type AlarmRequest = Infer<typeof AlarmRequest>;
export const AlarmMember = message({
  memberId: field(1, "uint64", "memberID"),
  alarm: enumeration(2, AlarmType),
});
export type AlarmMember = Infer<typeof AlarmMember>;
export const AlarmResponse = message({ header: nested(1, ResponseHeader), alarms: repeatedNested(2, AlarmMember) });
export type AlarmResponse = Infer<typeof AlarmResponse>;

export const StatusRequest = message({});
export type StatusRequest = Infer<typeof StatusRequest>;
export const StatusResponse = message({
  header: nested(1, ResponseHeader),
  version: field(2, "string"),
  dbSize: field(3, "int53", "dbSize"),
  leader: field(4, "uint64"),
  raftIndex: field(5, "uint53", "raftIndex"),
  raftTerm: field(6, "uint53", "raftTerm"),
  raftAppliedIndex: field(7, "uint53", "raftAppliedIndex"),
  errors: repeated(8, "string"),
  dbSizeInUse: field(9, "int53", "dbSizeInUse"),
  isLearner: field(10, "bool", "isLearner"),
  /** Not etcd's, whose clients pass over it: how the group agrees, `raft` or `paxos`. */
  consensus: field(1_000, "string"),
});
export type StatusResponse = Infer<typeof StatusResponse>;

export const DowngradeRequest = message({
  action: enumeration(1, DowngradeAction),
  version: field(2, "string"),
});
export type DowngradeRequest = Infer<typeof DowngradeRequest>;
export const DowngradeResponse = message({ header: nested(1, ResponseHeader), version: field(2, "string") });
export type DowngradeResponse = Infer<typeof DowngradeResponse>;

// Auth: what clients ask before anything else. Everything else of the service is answered "not enabled" by the door.

export const AuthStatusRequest = message({});
export type AuthStatusRequest = Infer<typeof AuthStatusRequest>;
export const AuthStatusResponse = message({
  header: nested(1, ResponseHeader),
  enabled: field(2, "bool"),
  authRevision: field(3, "uint53", "authRevision"),
});
export type AuthStatusResponse = Infer<typeof AuthStatusResponse>;

// Lock

export const LockRequest = message({ name: field(1, "bytes"), lease: field(2, "int64") });
export type LockRequest = Infer<typeof LockRequest>;
export const LockResponse = message({ header: nested(1, ResponseHeader), key: field(2, "bytes") });
export type LockResponse = Infer<typeof LockResponse>;
export const UnlockRequest = message({ key: field(1, "bytes") });
export type UnlockRequest = Infer<typeof UnlockRequest>;
export const UnlockResponse = message({ header: nested(1, ResponseHeader) });
export type UnlockResponse = Infer<typeof UnlockResponse>;

// Election

export const LeaderKey = message({
  name: field(1, "bytes"),
  key: field(2, "bytes"),
  rev: field(3, "int53"),
  lease: field(4, "int64"),
});
export type LeaderKey = Infer<typeof LeaderKey>;
export const CampaignRequest = message({
  name: field(1, "bytes"),
  lease: field(2, "int64"),
  value: field(3, "bytes"),
});
export type CampaignRequest = Infer<typeof CampaignRequest>;
export const CampaignResponse = message({ header: nested(1, ResponseHeader), leader: nested(2, LeaderKey) });
export type CampaignResponse = Infer<typeof CampaignResponse>;
export const ProclaimRequest = message({ leader: nested(1, LeaderKey), value: field(2, "bytes") });
export type ProclaimRequest = Infer<typeof ProclaimRequest>;
export const ProclaimResponse = message({ header: nested(1, ResponseHeader) });
export type ProclaimResponse = Infer<typeof ProclaimResponse>;
export const LeaderRequest = message({ name: field(1, "bytes") });
export type LeaderRequest = Infer<typeof LeaderRequest>;
export const LeaderResponse = message({ header: nested(1, ResponseHeader), kv: nested(2, KeyValue) });
export type LeaderResponse = Infer<typeof LeaderResponse>;
export const ResignRequest = message({ leader: nested(1, LeaderKey) });
export type ResignRequest = Infer<typeof ResignRequest>;
export const ResignResponse = message({ header: nested(1, ResponseHeader) });
export type ResignResponse = Infer<typeof ResignResponse>;
