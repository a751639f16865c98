/**
 * etcd's services as one table: each RPC with its messages and, where it has any, its paths in the JSON gateway. The gRPC
 * server and the gateway are both made from it, so that they cannot differ.
 * Source  rpc.proto, v3lock.proto and v3election.proto of etcd 3.4 (names and `google.api.http` paths).
 */
import * as m from "../../coordination/messages.ts";
import type { Method, Services } from "../grpc/method.ts";
import { authService } from "./auth.ts";
import type { AnyMessage, GatewayRoute } from "./gateway.ts";
import { sequential, serverStream, unary, unaryBytes } from "./rpc.ts";
import type { EtcdService } from "./service.ts";
import { watchMethod } from "./watch-method.ts";

interface Rpc {
  /** `service/method`, as in a gRPC path. */
  readonly name: string;
  readonly method: Method;
  readonly request: AnyMessage;
  readonly response: AnyMessage;
  /** Behind `/v3`. */
  readonly paths: readonly string[];
}

export interface EtcdSurface {
  readonly services: Services;
  readonly routes: ReadonlyMap<string, GatewayRoute>;
}

/** Everything the etcd door serves, on top of `service`. */
export function etcdSurface(service: EtcdService): EtcdSurface {
  const services: Record<string, Record<string, Method>> = {};
  const routes = new Map<string, GatewayRoute>();
  for (const rpc of [...kvRpcs(service), ...leaseRpcs(service), ...clusterRpcs(service), ...concurrencyRpcs(service)]) {
    const slash = rpc.name.indexOf("/");
    const methods = (services[rpc.name.slice(0, slash)] ??= {});
    methods[rpc.name.slice(slash + 1)] = rpc.method;
    for (const path of rpc.paths) {
      routes.set(path, { method: rpc.method, request: rpc.request, response: rpc.response });
    }
  }
  const auth = authService(async () => (await service.memberList({ linearizable: false })).header);
  for (const [path, name] of authPaths) {
    const method = auth[name];
    if (method === undefined) continue;
    // Names and passwords are not read: every answer is the same for all of them.
    routes.set(path, { method, request: forget(m.AuthStatusRequest), response: forget(m.AuthStatusResponse) });
  }
  return { services: { ...services, "etcdserverpb.Auth": auth }, routes };
}

const authPaths: readonly (readonly [string, string])[] = [
  ["/auth/enable", "AuthEnable"],
  ["/auth/disable", "AuthDisable"],
  ["/auth/status", "AuthStatus"],
  ["/auth/authenticate", "Authenticate"],
  ["/auth/user/add", "UserAdd"],
  ["/auth/user/get", "UserGet"],
  ["/auth/user/list", "UserList"],
  ["/auth/user/delete", "UserDelete"],
  ["/auth/user/changepw", "UserChangePassword"],
  ["/auth/user/grant", "UserGrantRole"],
  ["/auth/user/revoke", "UserRevokeRole"],
  ["/auth/role/add", "RoleAdd"],
  ["/auth/role/get", "RoleGet"],
  ["/auth/role/list", "RoleList"],
  ["/auth/role/delete", "RoleDelete"],
  ["/auth/role/grant", "RoleGrantPermission"],
  ["/auth/role/revoke", "RoleRevokePermission"],
];

/** The gateway knows messages by their fields only; the types that were checked here are dropped for it. */
function forget(message: unknown): AnyMessage {
  return message as AnyMessage;
}

function rpc(name: string, method: Method, request: unknown, response: unknown, paths: readonly string[] = []): Rpc {
  return { name, method, request: forget(request), response: forget(response), paths };
}

function kvRpcs(service: EtcdService): readonly Rpc[] {
  const kv = "etcdserverpb.KV";
  return [
    rpc(
      `${kv}/Range`,
      unaryBytes((b, done, headroom) => service.rangeBytes(b, done, headroom)),
      m.RangeRequest,
      m.RangeResponse,
      ["/kv/range"],
    ),
    rpc(
      `${kv}/Put`,
      unaryBytes((b, done, headroom) => service.putBytes(b, done, headroom)),
      m.PutRequest,
      m.PutResponse,
      ["/kv/put"],
    ),
    rpc(
      `${kv}/DeleteRange`,
      unary(m.DeleteRangeRequest, m.DeleteRangeResponse, (q, o) => service.deleteRange(q, o)),
      m.DeleteRangeRequest,
      m.DeleteRangeResponse,
      ["/kv/deleterange"],
    ),
    rpc(
      `${kv}/Txn`,
      unary(m.TxnRequest, m.TxnResponse, (q, o) => service.txn(q, o)),
      m.TxnRequest,
      m.TxnResponse,
      ["/kv/txn"],
    ),
    rpc(
      `${kv}/Compact`,
      unary(m.CompactionRequest, m.CompactionResponse, (q, o) => service.compact(q, o)),
      m.CompactionRequest,
      m.CompactionResponse,
      ["/kv/compaction"],
    ),
    rpc("etcdserverpb.Watch/Watch", watchMethod(service), m.WatchRequest, m.WatchResponse, ["/watch"]),
  ];
}

function leaseRpcs(service: EtcdService): readonly Rpc[] {
  const lease = "etcdserverpb.Lease";
  return [
    rpc(
      `${lease}/LeaseGrant`,
      unary(m.LeaseGrantRequest, m.LeaseGrantResponse, (q, o) => service.leaseGrant(q, o)),
      m.LeaseGrantRequest,
      m.LeaseGrantResponse,
      ["/lease/grant"],
    ),
    rpc(
      `${lease}/LeaseRevoke`,
      unary(m.LeaseRevokeRequest, m.LeaseRevokeResponse, (q, o) => service.leaseRevoke(q, o)),
      m.LeaseRevokeRequest,
      m.LeaseRevokeResponse,
      ["/lease/revoke", "/kv/lease/revoke"],
    ),
    rpc(
      `${lease}/LeaseKeepAlive`,
      sequential(m.LeaseKeepAliveRequest, m.LeaseKeepAliveResponse, (q, o) => service.leaseKeepAlive(q, o)),
      m.LeaseKeepAliveRequest,
      m.LeaseKeepAliveResponse,
      ["/lease/keepalive"],
    ),
    rpc(
      `${lease}/LeaseTimeToLive`,
      unary(m.LeaseTimeToLiveRequest, m.LeaseTimeToLiveResponse, (q, o) => service.leaseTimeToLive(q, o)),
      m.LeaseTimeToLiveRequest,
      m.LeaseTimeToLiveResponse,
      ["/lease/timetolive", "/kv/lease/timetolive"],
    ),
    rpc(
      `${lease}/LeaseLeases`,
      unary(m.LeaseLeasesRequest, m.LeaseLeasesResponse, (q, o) => service.leaseLeases(q, o)),
      m.LeaseLeasesRequest,
      m.LeaseLeasesResponse,
      ["/lease/leases", "/kv/lease/leases"],
    ),
  ];
}

function clusterRpcs(service: EtcdService): readonly Rpc[] {
  const cluster = "etcdserverpb.Cluster";
  const maintenance = "etcdserverpb.Maintenance";
  return [
    rpc(
      `${cluster}/MemberAdd`,
      unary(m.MemberAddRequest, m.MemberAddResponse, (q, o) => service.memberAdd(q, o)),
      m.MemberAddRequest,
      m.MemberAddResponse,
      ["/cluster/member/add"],
    ),
    rpc(
      `${cluster}/MemberRemove`,
      unary(m.MemberRemoveRequest, m.MemberRemoveResponse, (q, o) => service.memberRemove(q, o)),
      m.MemberRemoveRequest,
      m.MemberRemoveResponse,
      ["/cluster/member/remove"],
    ),
    rpc(
      `${cluster}/MemberUpdate`,
      unary(m.MemberUpdateRequest, m.MemberUpdateResponse, (q, o) => service.memberUpdate(q, o)),
      m.MemberUpdateRequest,
      m.MemberUpdateResponse,
      ["/cluster/member/update"],
    ),
    rpc(
      `${cluster}/MemberList`,
      unary(m.MemberListRequest, m.MemberListResponse, (q, o) => service.memberList(q, o)),
      m.MemberListRequest,
      m.MemberListResponse,
      ["/cluster/member/list"],
    ),
    rpc(
      `${cluster}/MemberPromote`,
      unary(m.MemberPromoteRequest, m.MemberPromoteResponse, (q, o) => service.memberPromote(q, o)),
      m.MemberPromoteRequest,
      m.MemberPromoteResponse,
      ["/cluster/member/promote"],
    ),
    rpc(
      `${maintenance}/Alarm`,
      unary(m.AlarmRequest, m.AlarmResponse, (q, o) => service.alarm(q, o)),
      m.AlarmRequest,
      m.AlarmResponse,
      ["/maintenance/alarm"],
    ),
    rpc(
      `${maintenance}/Status`,
      unary(m.StatusRequest, m.StatusResponse, (q, o) => service.status(q, o)),
      m.StatusRequest,
      m.StatusResponse,
      ["/maintenance/status"],
    ),
    rpc(
      `${maintenance}/Defragment`,
      unary(m.DefragmentRequest, m.DefragmentResponse, (q, o) => service.defragment(q, o)),
      m.DefragmentRequest,
      m.DefragmentResponse,
      ["/maintenance/defragment"],
    ),
    // etcd gives HashKV the path of Hash, and Hash wins.
    rpc(
      `${maintenance}/Hash`,
      unary(m.HashRequest, m.HashResponse, (q, o) => service.hash(q, o)),
      m.HashRequest,
      m.HashResponse,
      ["/maintenance/hash"],
    ),
    rpc(
      `${maintenance}/HashKV`,
      unary(m.HashKVRequest, m.HashKVResponse, (q, o) => service.hashKv(q, o)),
      m.HashKVRequest,
      m.HashKVResponse,
    ),
    rpc(
      `${maintenance}/Snapshot`,
      serverStream(m.SnapshotRequest, m.SnapshotResponse, (q, o) => service.snapshot(q, o)),
      m.SnapshotRequest,
      m.SnapshotResponse,
      ["/maintenance/snapshot"],
    ),
    rpc(
      `${maintenance}/MoveLeader`,
      unary(m.MoveLeaderRequest, m.MoveLeaderResponse, (q, o) => service.moveLeader(q, o)),
      m.MoveLeaderRequest,
      m.MoveLeaderResponse,
      ["/maintenance/transfer-leadership"],
    ),
  ];
}

function concurrencyRpcs(service: EtcdService): readonly Rpc[] {
  const lock = "v3lockpb.Lock";
  const election = "v3electionpb.Election";
  return [
    rpc(
      `${lock}/Lock`,
      unary(m.LockRequest, m.LockResponse, (q, o) => service.lock(q, o)),
      m.LockRequest,
      m.LockResponse,
      ["/lock/lock"],
    ),
    rpc(
      `${lock}/Unlock`,
      unary(m.UnlockRequest, m.UnlockResponse, (q, o) => service.unlock(q, o)),
      m.UnlockRequest,
      m.UnlockResponse,
      ["/lock/unlock"],
    ),
    rpc(
      `${election}/Campaign`,
      unary(m.CampaignRequest, m.CampaignResponse, (q, o) => service.campaign(q, o)),
      m.CampaignRequest,
      m.CampaignResponse,
      ["/election/campaign"],
    ),
    rpc(
      `${election}/Proclaim`,
      unary(m.ProclaimRequest, m.ProclaimResponse, (q, o) => service.proclaim(q, o)),
      m.ProclaimRequest,
      m.ProclaimResponse,
      ["/election/proclaim"],
    ),
    rpc(
      `${election}/Leader`,
      unary(m.LeaderRequest, m.LeaderResponse, (q, o) => service.leader(q, o)),
      m.LeaderRequest,
      m.LeaderResponse,
      ["/election/leader"],
    ),
    rpc(
      `${election}/Observe`,
      serverStream(m.LeaderRequest, m.LeaderResponse, (q, o) => service.observe(q, o)),
      m.LeaderRequest,
      m.LeaderResponse,
      ["/election/observe"],
    ),
    rpc(
      `${election}/Resign`,
      unary(m.ResignRequest, m.ResignResponse, (q, o) => service.resign(q, o)),
      m.ResignRequest,
      m.ResignResponse,
      ["/election/resign"],
    ),
  ];
}
