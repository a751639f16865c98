/**
 * A store behind the etcd door's interface, for tests of the door alone: keys with revisions in a map, watches on exact keys,
 * and every other call answered with its header. What etcd's data model demands is tested where it is implemented.
 */
import { EtcdError } from "../../coordination/etcd-error.ts";
import * as m from "../../coordination/messages.ts";
import type { EtcdService, WatchStream } from "../etcd/service.ts";

type Done = (error: unknown, response: Uint8Array | undefined) => void;

export interface MemoryEtcd extends EtcdService {
  /** How often open watch streams were paused and resumed, and how many are open. */
  readonly watches: { pauses: number; resumes: number; open: number };
  /** Makes the next call of any kind fail. */
  failNext(error: Error): void;
}

export function memoryEtcd(): MemoryEtcd {
  const store = new Map<string, m.KeyValue>();
  const watchers = new Set<{ readonly key: string; readonly tell: (event: m.Event) => void }>();
  const watches = { pauses: 0, resumes: 0, open: 0 };
  let revision = 1;
  let failure: Error | undefined;

  const header = (): m.ResponseHeader => ({ clusterId: 1n, memberId: 2n, revision, raftTerm: 3 });
  const name = (key: Uint8Array): string => Buffer.from(key).toString("latin1");
  const check = (): void => {
    if (failure === undefined) return;
    const error = failure;
    failure = undefined;
    throw error;
  };
  const put = (request: m.PutRequest): m.PutResponse => {
    check();
    if (request.key.length === 0) throw new EtcdError("EMPTY_KEY");
    const key = name(request.key);
    const before = store.get(key);
    revision++;
    const kv = m.KeyValue.make({
      key: request.key.slice(),
      value: request.value.slice(),
      createRevision: before?.createRevision ?? revision,
      modRevision: revision,
      version: (before?.version ?? 0) + 1,
      lease: request.lease,
    });
    store.set(key, kv);
    for (const watcher of watchers) if (watcher.key === key) watcher.tell(m.Event.make({ kv }));
    return m.PutResponse.make({
      header: header(),
      ...(request.prevKv && before !== undefined ? { prevKv: before } : {}),
    });
  };
  const range = (request: m.RangeRequest): m.RangeResponse => {
    check();
    if (request.key.length === 0) throw new EtcdError("EMPTY_KEY");
    if (request.revision > revision) throw new EtcdError("FUTURE_REVISION");
    const kv = store.get(name(request.key));
    return m.RangeResponse.make({
      header: header(),
      kvs: kv === undefined ? [] : [kv],
      count: kv === undefined ? 0 : 1,
    });
  };
  const later = (work: () => Uint8Array, done: Done): void => {
    queueMicrotask(() => {
      let response: Uint8Array;
      try {
        response = work();
      } catch (error) {
        done(error, undefined);
        return;
      }
      done(undefined, response);
    });
  };
  const headerOnly = async (): Promise<{ header: m.ResponseHeader }> => {
    check();
    return { header: header() };
  };

  const watch: EtcdService["watch"] = ({ onResponse }) => {
    const mine = new Set<{ readonly key: string; readonly tell: (event: m.Event) => void }>();
    const queue: m.WatchResponse[] = [];
    let paused = false;
    watches.open++;
    const deliver = (response: m.WatchResponse): void => {
      if (paused) queue.push(response);
      else onResponse(response);
    };
    const stream: WatchStream = {
      request: ({ requestUnion }) => {
        // Answers to requests do not wait while paused.
        if (requestUnion?.type === "progressRequest")
          onResponse(m.WatchResponse.make({ header: header(), watchId: -1 }));
        if (requestUnion?.type !== "createRequest") return;
        const watchId = mine.size;
        onResponse(m.WatchResponse.make({ header: header(), watchId, created: true }));
        const watcher = {
          key: name(requestUnion.value?.key ?? new Uint8Array(0)),
          tell: (event: m.Event) => deliver(m.WatchResponse.make({ header: header(), watchId, events: [event] })),
        };
        mine.add(watcher);
        watchers.add(watcher);
      },
      pause: () => {
        paused = true;
        watches.pauses++;
      },
      resume: () => {
        paused = false;
        watches.resumes++;
        while (!paused && queue.length > 0) onResponse(queue.shift() as m.WatchResponse);
      },
      close: () => {
        for (const watcher of mine) watchers.delete(watcher);
        watches.open--;
      },
    };
    return stream;
  };

  return {
    watches,
    failNext: (error) => {
      failure = error;
    },
    putBytes: (bytes, done, headroom) => {
      const request = m.PutRequest.decode(bytes);
      later(() => m.PutResponse.encode(put(request), headroom), done);
    },
    rangeBytes: (bytes, done, headroom) => {
      const request = m.RangeRequest.decode(bytes);
      later(() => m.RangeResponse.encode(range(request), headroom), done);
    },
    put: async (request) => put(request),
    range: async (request) => range(request),
    deleteRange: async (request) => {
      const existed = store.delete(name(request.key));
      if (existed) revision++;
      return m.DeleteRangeResponse.make({ header: header(), deleted: existed ? 1 : 0 });
    },
    txn: async (request) => {
      check();
      if (request.success.length > 128) throw new EtcdError("TOO_MANY_OPS");
      const responses = request.success.map((op): m.ResponseOp => {
        switch (op.request?.type) {
          case "requestPut":
            return { response: { type: "responsePut", value: put(op.request.value) } };
          case "requestRange":
            return { response: { type: "responseRange", value: range(op.request.value) } };
          default:
            return { response: undefined };
        }
      });
      return m.TxnResponse.make({ header: header(), succeeded: true, responses });
    },
    compact: headerOnly,
    leaseGrant: async ({ id, ttl }) => m.LeaseGrantResponse.make({ header: header(), id: id === 0n ? 77n : id, ttl }),
    leaseRevoke: async () => {
      throw new EtcdError("LEASE_NOT_FOUND");
    },
    leaseKeepAlive: async ({ id }) => {
      check();
      return m.LeaseKeepAliveResponse.make({ header: header(), id, ttl: id === 8n ? 0 : 100 });
    },
    leaseTimeToLive: async ({ id }) => m.LeaseTimeToLiveResponse.make({ header: header(), id, ttl: -1 }),
    leaseLeases: headerOnly,
    lock: (request, options) =>
      new Promise((resolve, reject) => {
        if (name(request.name) === "free")
          resolve(m.LockResponse.make({ header: header(), key: request.name.slice() }));
        options?.signal?.addEventListener("abort", () => {
          watches.pauses = -1; // tells the test that the wait was given up
          reject(new EtcdError("CANCELLED"));
        });
      }),
    unlock: headerOnly,
    campaign: headerOnly,
    proclaim: headerOnly,
    leader: async () => {
      throw new EtcdError("ELECTION_NO_LEADER");
    },
    resign: headerOnly,
    observe: async function* () {
      yield m.LeaderResponse.make({ header: header(), kv: m.KeyValue.make({ key: Buffer.from("a") }) });
      yield m.LeaderResponse.make({ header: header(), kv: m.KeyValue.make({ key: Buffer.from("b") }) });
    },
    watch,
    memberList: async () =>
      m.MemberListResponse.make({
        header: header(),
        members: [
          m.Member.make({ id: 2n ** 63n + 5n, name: "n1", peerUrls: ["http://a:1"], clientUrls: ["http://a:2"] }),
        ],
      }),
    memberAdd: headerOnly,
    memberRemove: headerOnly,
    memberUpdate: headerOnly,
    memberPromote: headerOnly,
    status: async () => m.StatusResponse.make({ header: header(), version: "3.4.23", dbSize: 4096, leader: 2n }),
    hash: async () => m.HashResponse.make({ header: header(), hash: 4_000_000_000 }),
    hashKv: async () => m.HashKVResponse.make({ header: header(), hash: 5 }),
    moveLeader: headerOnly,
    alarm: async () => m.AlarmResponse.make({ alarms: [{ memberId: 2n, alarm: m.AlarmType.NOSPACE }] }),
    defragment: headerOnly,
    snapshot: async function* () {
      for (let i = 3; i > 0; i--) {
        yield m.SnapshotResponse.make({
          header: header(),
          remainingBytes: (i - 1) * 50_000,
          blob: new Uint8Array(50_000).fill(i),
        });
      }
    },
  };
}
