/**
 * The calls of etcd's v3 protocol that the command line makes, by service. Source: etcd 3.4's rpc.proto, v3lock.proto and
 * v3election.proto. `repeatable` is true where sending twice equals sending once.
 */
import type { Infer, InferInput } from "../../base/protobuf.ts";
import * as m from "../../coordination/messages.ts";
import type { GrpcMethod } from "../grpc/connection.ts";

/** The methods of a service, from the codecs of each one's request and response. */
type Service<Codecs extends Readonly<Record<string, readonly [request: unknown, response: unknown]>>> = {
  readonly [K in keyof Codecs]: GrpcMethod<InferInput<Codecs[K][0]>, Infer<Codecs[K][1]>>;
};

function call<Request, Response>(
  path: string,
  request: { encode(value: Request): Uint8Array },
  response: { decode(bytes: Uint8Array): Response },
  repeatable: boolean,
): GrpcMethod<Request, Response> {
  return { path, request, response, repeatable };
}

export const kv: Service<{
  range: [typeof m.RangeRequest, typeof m.RangeResponse];
  put: [typeof m.PutRequest, typeof m.PutResponse];
  deleteRange: [typeof m.DeleteRangeRequest, typeof m.DeleteRangeResponse];
  txn: [typeof m.TxnRequest, typeof m.TxnResponse];
  compact: [typeof m.CompactionRequest, typeof m.CompactionResponse];
}> = {
  range: call("/etcdserverpb.KV/Range", m.RangeRequest, m.RangeResponse, true),
  put: call("/etcdserverpb.KV/Put", m.PutRequest, m.PutResponse, false),
  deleteRange: call("/etcdserverpb.KV/DeleteRange", m.DeleteRangeRequest, m.DeleteRangeResponse, false),
  txn: call("/etcdserverpb.KV/Txn", m.TxnRequest, m.TxnResponse, false),
  compact: call("/etcdserverpb.KV/Compact", m.CompactionRequest, m.CompactionResponse, false),
};

export const watch: GrpcMethod<InferInput<typeof m.WatchRequest>, m.WatchResponse> = call(
  "/etcdserverpb.Watch/Watch",
  m.WatchRequest,
  m.WatchResponse,
  true,
);

export const lease: Service<{
  grant: [typeof m.LeaseGrantRequest, typeof m.LeaseGrantResponse];
  revoke: [typeof m.LeaseRevokeRequest, typeof m.LeaseRevokeResponse];
  keepAlive: [typeof m.LeaseKeepAliveRequest, typeof m.LeaseKeepAliveResponse];
  timeToLive: [typeof m.LeaseTimeToLiveRequest, typeof m.LeaseTimeToLiveResponse];
  leases: [typeof m.LeaseLeasesRequest, typeof m.LeaseLeasesResponse];
}> = {
  grant: call("/etcdserverpb.Lease/LeaseGrant", m.LeaseGrantRequest, m.LeaseGrantResponse, false),
  revoke: call("/etcdserverpb.Lease/LeaseRevoke", m.LeaseRevokeRequest, m.LeaseRevokeResponse, false),
  keepAlive: call("/etcdserverpb.Lease/LeaseKeepAlive", m.LeaseKeepAliveRequest, m.LeaseKeepAliveResponse, true),
  timeToLive: call("/etcdserverpb.Lease/LeaseTimeToLive", m.LeaseTimeToLiveRequest, m.LeaseTimeToLiveResponse, true),
  leases: call("/etcdserverpb.Lease/LeaseLeases", m.LeaseLeasesRequest, m.LeaseLeasesResponse, true),
};

export const cluster: Service<{
  memberList: [typeof m.MemberListRequest, typeof m.MemberListResponse];
  memberAdd: [typeof m.MemberAddRequest, typeof m.MemberAddResponse];
  memberPromote: [typeof m.MemberPromoteRequest, typeof m.MemberPromoteResponse];
  memberRemove: [typeof m.MemberRemoveRequest, typeof m.MemberRemoveResponse];
  memberUpdate: [typeof m.MemberUpdateRequest, typeof m.MemberUpdateResponse];
}> = {
  memberList: call("/etcdserverpb.Cluster/MemberList", m.MemberListRequest, m.MemberListResponse, true),
  memberAdd: call("/etcdserverpb.Cluster/MemberAdd", m.MemberAddRequest, m.MemberAddResponse, false),
  memberPromote: call("/etcdserverpb.Cluster/MemberPromote", m.MemberPromoteRequest, m.MemberPromoteResponse, false),
  memberRemove: call("/etcdserverpb.Cluster/MemberRemove", m.MemberRemoveRequest, m.MemberRemoveResponse, false),
  memberUpdate: call("/etcdserverpb.Cluster/MemberUpdate", m.MemberUpdateRequest, m.MemberUpdateResponse, true),
};

export const maintenance: Service<{
  status: [typeof m.StatusRequest, typeof m.StatusResponse];
  snapshot: [typeof m.SnapshotRequest, typeof m.SnapshotResponse];
}> = {
  status: call("/etcdserverpb.Maintenance/Status", m.StatusRequest, m.StatusResponse, true),
  snapshot: call("/etcdserverpb.Maintenance/Snapshot", m.SnapshotRequest, m.SnapshotResponse, true),
};

/** A second Lock call under the same lease finds the first one's key: repeatable. */
export const lock: Service<{ lock: [typeof m.LockRequest, typeof m.LockResponse] }> = {
  lock: call("/v3lockpb.Lock/Lock", m.LockRequest, m.LockResponse, true),
};

/** The same holds for Campaign. */
export const election: Service<{
  campaign: [typeof m.CampaignRequest, typeof m.CampaignResponse];
  observe: [typeof m.LeaderRequest, typeof m.LeaderResponse];
}> = {
  campaign: call("/v3electionpb.Election/Campaign", m.CampaignRequest, m.CampaignResponse, true),
  observe: call("/v3electionpb.Election/Observe", m.LeaderRequest, m.LeaderResponse, true),
};
