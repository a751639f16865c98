/** A coordination on one replica with a clock moved by hand. */
import { utf8 } from "../../base/bytes.ts";
import { Prng } from "../../base/prng.ts";
import { defaultLimits, type Limits } from "../../config/limits.ts";
import type { Kernels } from "../../ports/kernels.ts";
import type { ObservedEvent } from "../../ports/observer.ts";
import type { Random } from "../../ports/random.ts";
import { Coordination, type CoordinationOptions } from "../coordination.ts";
import { PutRequest, RangeRequest, type WatchRequest, WatchCreateRequest, type WatchResponse } from "../messages.ts";
import { Store, type StoreAnswer, type StoreQuery } from "../store.ts";
import type { StoreResult } from "../store-result.ts";
import type { WatchListener, WatchStream } from "../watch-hub.ts";
import { LocalGroup } from "./local-group.ts";
import { MapEngine } from "./map-engine.ts";
import { settle, TestClock } from "./test-clock.ts";

export interface FixtureOptions {
  readonly limits?: Partial<Limits>;
  readonly coordination?: Partial<CoordinationOptions>;
}

export class Fixture {
  readonly clock = new TestClock();
  readonly engine: MapEngine;
  readonly store: Store;
  readonly group: LocalGroup<StoreResult, StoreQuery, StoreAnswer>;
  readonly coordination: Coordination;
  readonly observed: ObservedEvent[] = [];

  constructor(kernels: Kernels, options: FixtureOptions = {}) {
    const { clock } = this;
    this.engine = new MapEngine(kernels);
    this.store = new Store({ engine: this.engine, kernels, clock });
    this.group = new LocalGroup({ machine: this.store, clock });
    this.coordination = new Coordination({
      handle: this.group,
      store: this.store,
      ports: { clock, random: seeded(7), observer: { observe: (event) => this.observed.push(event) }, kernels },
      clusterId: 42n,
      limits: { ...defaultLimits, ...options.limits },
      electionMs: 500,
      callTimeoutMs: 5_000,
      ...options.coordination,
    });
  }

  async put(key: string, value = "", more: Partial<PutRequest> = {}): Promise<number> {
    const response = await this.coordination.put(PutRequest.make({ key: utf8(key), value: utf8(value), ...more }));
    return response.header?.revision ?? 0;
  }

  /** The values of the keys that begin with `prefix`, in order. */
  async values(prefix: string): Promise<string[]> {
    const key = utf8(prefix);
    const rangeEnd = key.slice();
    rangeEnd[rangeEnd.length - 1] = (rangeEnd[rangeEnd.length - 1] ?? 0) + 1;
    const { kvs } = await this.coordination.range(RangeRequest.make({ key, rangeEnd }));
    return kvs.map((kv) => new TextDecoder().decode(kv.value));
  }

  watch(more: Partial<WatchListener> = {}): RecordedWatch {
    return new RecordedWatch(this.coordination, more);
  }
}

export class RecordedWatch {
  readonly responses: WatchResponse[] = [];
  readonly failures: unknown[] = [];
  readonly stream: WatchStream;

  constructor(coordination: Coordination, more: Partial<WatchListener>) {
    this.stream = coordination.watch({
      onResponse: (response) => {
        this.responses.push(response);
        more.onResponse?.(response);
      },
      onFailure: (error) => {
        this.failures.push(error);
        more.onFailure?.(error);
      },
    });
  }

  create(request: Partial<WatchCreateRequest>): this {
    return this.send({ type: "createRequest", value: WatchCreateRequest.make(request) });
  }
  cancel(watchId: number): this {
    return this.send({ type: "cancelRequest", value: { watchId } });
  }
  progress(): this {
    return this.send({ type: "progressRequest", value: {} });
  }
  send(requestUnion: WatchRequest["requestUnion"]): this {
    this.stream.request({ requestUnion });
    return this;
  }

  /** What came since the last call, in one line each: `id@revision` and the events. */
  async lines(): Promise<string[]> {
    await settle();
    return this.responses.splice(0).map(line);
  }
}

export function line(response: WatchResponse): string {
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  const events = response.events.map((event) => {
    const kv = event.kv;
    const before = event.prevKv === undefined ? "" : `(${text(event.prevKv.value)})`;
    const what = event.type === 1 ? "-" : `=${text(kv?.value ?? new Uint8Array(0))}`;
    return `${kv?.modRevision}:${text(kv?.key ?? new Uint8Array(0))}${what}${before}`;
  });
  const flags = [
    response.created ? "created" : "",
    response.canceled ? "canceled" : "",
    response.compactRevision === 0 ? "" : `compacted ${response.compactRevision}`,
    response.cancelReason,
    response.fragment ? "more" : "",
  ].filter((flag) => flag !== "");
  return [`${response.watchId}@${response.header?.revision}`, ...flags, ...events].join(" ");
}

function seeded(seed: number): Random {
  const prng = new Prng(seed);
  return {
    unit: () => prng.unit(),
    below: (bound) => prng.below(bound),
    bytes: (length) => Uint8Array.from({ length }, () => prng.below(256)),
  };
}
