/**
 * Watches of one node, fed from what its replica has applied. Source: etcd documentation, "API guarantees", section Watch.
 *
 * W1. A watcher gets every change of its keys from its start revision on, in order, once; all changes of one revision in
 *     one response, unless it asked for fragments.
 * W2. A watcher is *live* (it has everything up to the published revision) or *behind*. Those behind read history from the
 *     store, in slices, until they are live; nothing is queued for them in memory.
 * W3. A stream whose consumer is slow is paused: its watchers fall behind. The others do not notice.
 * W4. A watcher whose next revision was compacted away is cancelled with the compacted revision; it never skips silently.
 * W5. A progress answer names a revision only when everything up to it was delivered to the stream's watchers. While a
 *     snapshot is installed nobody behind catches up, nor is cancelled: half a state cannot say what they missed.
 * W6. In one turn a stream is handed at most `queueBytesMax` of events, or one revision for one watcher: before its consumer
 *     can say that it is slow, no more than that gathers in memory. Watchers for whom there was no room fall behind.
 */
import type { Clock, Timer } from "../ports/clock.ts";
import type { Observer } from "../ports/observer.ts";
import { AlthingError } from "../base/errors.ts";
import { defaultLimits } from "../config/limits.ts";
import { etcdErrors, watchRefusals } from "./etcd-error.ts";
import {
  type Event,
  EventType,
  type KeyValue,
  type ResponseHeader,
  type WatchCreateRequest,
  WatchFilter,
  type WatchRequest,
  type WatchResponse,
} from "./messages.ts";
import type { KeyRange } from "./mvcc.ts";
import type { HistoryRecord } from "./record.ts";
import type { Store } from "./store.ts";
import { WatcherIndex } from "./watcher-index.ts";

export interface WatchListener {
  /** One response, in order. The listener may pause or close the stream from within. */
  readonly onResponse: (response: WatchResponse) => void;
  /** The stream cannot go on: nothing follows. */
  readonly onFailure: (error: unknown) => void;
}

/** Many watchers of one client. */
export interface WatchStream {
  request(request: WatchRequest): void;
  /** No more responses until `resume`: events wait in the store. */
  pause(): void;
  resume(): void;
  close(): void;
}

export interface WatchHubOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly header: (revision: number) => ResponseHeader;
  /** Quiet watchers that asked for it hear of progress this often. etcd's default is ten minutes. */
  readonly progressIntervalMs: number;
  /** Size from which a watcher's response is cut, if it allows fragments. */
  readonly fragmentBytes: number;
  /** Watchers of the whole node; more are refused. */
  readonly watchersMax: number;
  /** Bytes of events that one stream is handed in one turn (W6). Default: that of `limits.watchQueueBytesMax`. */
  readonly queueBytesMax?: number;
}

interface Watcher {
  readonly stream: Stream;
  readonly id: number;
  readonly keys: KeyRange;
  readonly puts: boolean;
  readonly deletes: boolean;
  readonly prevKv: boolean;
  readonly fragment: boolean;
  readonly progressNotify: boolean;
  /** The first revision that it has not seen. */
  next: number;
  /** Something was delivered since the last round of progress notices. */
  heard: boolean;
}

/** What one watcher is handed in one turn. */
interface Delivery {
  readonly events: Event[];
  /** Revision of the newest of them; how many and how many bytes of it there are. */
  last: number;
  lastCount: number;
  lastBytes: number;
  /** The first revision that found no room (W6). */
  cut: number | undefined;
}

/** Changes read from history in one turn for the watchers behind: a few milliseconds at most. */
const SLICE_CHANGES = 500;
const SLICE_BYTES = 1024 * 1024;
/** The id that stands for the whole stream. */
const ALL_WATCHERS = -1;
const FROM_FIRST_KEY: Uint8Array = new Uint8Array([0]);

export class WatchHub {
  readonly #options: WatchHubOptions;
  readonly #store: Store;
  readonly #streams = new Set<Stream>();
  readonly #live = new WatcherIndex<Watcher>();
  readonly #behind = new WatcherIndex<Watcher>();
  readonly #stopListening: () => void;
  readonly #queueBytesMax: number;
  /** Up to here the live watchers have everything. */
  #published: number;
  #catchUpPlanned = false;
  /** Counts the turns in which something was handed out. */
  #turn = 1;
  #turnOpen = false;
  #progressTimer: Timer | undefined;
  #closed = false;

  constructor(options: WatchHubOptions) {
    this.#options = options;
    this.#store = options.store;
    this.#queueBytesMax = options.queueBytesMax ?? defaultLimits.watchQueueBytesMax;
    this.#published = options.store.publishedRevision;
    this.#stopListening = options.store.listen({
      published: (from, to) => this.#publish(from, to),
      replaced: () => this.#replaced(),
      damaged: (error) => this.#endAll(error),
    });
  }

  get watcherCount(): number {
    return this.#live.size + this.#behind.size;
  }

  get behindCount(): number {
    return this.#behind.size;
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  open(listener: WatchListener): WatchStream {
    const stream = new Stream(this, listener);
    const refusal = this.#closed ? shuttingDown() : this.#store.damage;
    this.#streams.add(stream);
    if (refusal !== undefined) this.#end([stream], refusal);
    return stream;
  }

  /** Ends every stream. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopListening();
    this.#progressTimer?.cancel();
    this.#endAll(shuttingDown());
  }

  #endAll(error: AlthingError): void {
    this.#end(this.#streams, error);
  }

  #end(streams: Iterable<Stream>, error: AlthingError): void {
    for (const stream of [...streams]) {
      stream.close();
      stream.listener.onFailure(error);
    }
  }

  // What streams ask for

  create(stream: Stream, request: WatchCreateRequest): void {
    const { store, header, watchersMax } = this.#options;
    const key = request.key.length === 0 ? FROM_FIRST_KEY : request.key;
    const keys = store.mvcc.keyRange(key, request.rangeEnd);
    const refusal =
      keys.type === "span" && keys.to !== undefined && keys.from >= keys.to
        ? watchRefusals.emptyRange
        : stream.watchers.has(request.watchId) && request.watchId !== 0
          ? watchRefusals.duplicateId
          : this.watcherCount >= watchersMax
            ? etcdErrors.TOO_MANY_REQUESTS.text
            : undefined;
    const created = { ...blank(header(this.#published)), created: true };
    if (refusal !== undefined) {
      stream.send({ ...created, watchId: ALL_WATCHERS, canceled: true, cancelReason: refusal });
      return;
    }
    const watcher: Watcher = {
      stream,
      id: request.watchId === 0 ? stream.freeId() : request.watchId,
      keys,
      puts: !request.filters.includes(WatchFilter.NOPUT),
      deletes: !request.filters.includes(WatchFilter.NODELETE),
      prevKv: request.prevKv,
      fragment: request.fragment,
      progressNotify: request.progressNotify,
      next: request.startRevision <= 0 ? this.#published + 1 : request.startRevision,
      heard: true, // the first round of notices passes it over: it has just heard of its creation
    };
    stream.watchers.set(watcher.id, watcher);
    if (watcher.next > this.#published) this.#live.add(watcher);
    else this.#behind.add(watcher);
    if (watcher.progressNotify) this.#planProgress();
    stream.send({ ...created, watchId: watcher.id });
    this.planCatchUp();
  }

  cancel(stream: Stream, id: number): void {
    const watcher = stream.watchers.get(id);
    if (watcher === undefined) return; // as etcd: a watcher that is not there gives no answer
    this.#forget(watcher);
    stream.send({ ...blank(this.#options.header(this.#published)), watchId: id, canceled: true });
    stream.answerProgress();
  }

  /** W5. True if everything up to the published revision was delivered to the stream. */
  isCurrent(stream: Stream): boolean {
    for (const watcher of stream.watchers.values()) if (this.#behind.has(watcher)) return false;
    return true;
  }

  sendProgress(stream: Stream): void {
    stream.send({ ...blank(this.#options.header(this.#published)), watchId: ALL_WATCHERS });
  }

  drop(stream: Stream): void {
    for (const watcher of stream.watchers.values()) {
      this.#live.delete(watcher);
      this.#behind.delete(watcher);
    }
    stream.watchers.clear();
    this.#streams.delete(stream);
  }

  #forget(watcher: Watcher): void {
    this.#live.delete(watcher);
    this.#behind.delete(watcher);
    watcher.stream.watchers.delete(watcher.id);
  }

  // Live watchers

  #publish(from: number, to: number): void {
    this.#published = to;
    if (this.#live.size === 0) return;
    const deliveries = new Map<Watcher, Delivery>();
    try {
      for (const change of this.#store.changes(from, to)) this.#collect(this.#live, change, deliveries);
    } catch (error) {
      this.#unreadable(error, this.#streams); // a value of before, for those who asked for it
      return;
    }
    let wasCut = false;
    for (const [watcher, { events, cut }] of deliveries) {
      if (!this.#live.has(watcher)) continue; // cancelled from within an earlier delivery
      if (watcher.stream.paused) {
        this.#fallBehind(watcher, from);
        continue;
      }
      if (cut !== undefined) {
        this.#fallBehind(watcher, cut);
        wasCut = true;
      }
      this.#deliver(watcher, events, cut === undefined ? to : cut - 1);
    }
    if (wasCut) this.planCatchUp();
  }

  /** W3, W6. */
  #fallBehind(watcher: Watcher, from: number): void {
    this.#live.delete(watcher);
    watcher.next = Math.max(watcher.next, from);
    this.#behind.add(watcher);
  }

  #collect(index: WatcherIndex<Watcher>, change: HistoryRecord, deliveries: Map<Watcher, Delivery>): void {
    let bare: Event | undefined;
    let whole: Event | undefined;
    const { modRevision } = change.kv;
    index.match(change.name, (watcher) => {
      if (modRevision < watcher.next) return;
      if (change.tombstone ? !watcher.deletes : !watcher.puts) return;
      let delivery = deliveries.get(watcher);
      if (delivery === undefined) deliveries.set(watcher, (delivery = noDelivery()));
      if (delivery.cut !== undefined) return;
      let event: Event;
      if (watcher.prevKv) event = whole ??= eventOf(change, this.#previous(change));
      else event = bare ??= eventOf(change, undefined);
      this.#handOut(watcher.stream, delivery, event, modRevision);
    });
  }

  /** W6: takes the event, or cuts the delivery before its revision, which is not torn (W1). */
  #handOut(stream: Stream, delivery: Delivery, event: Event, revision: number): void {
    const size = sizeOfEvent(event);
    if (delivery.last !== revision) {
      delivery.last = revision;
      delivery.lastCount = 0;
      delivery.lastBytes = 0;
    }
    const handed = this.#handedBytes(stream);
    if (handed > delivery.lastBytes && handed + size > this.#queueBytesMax) {
      delivery.events.length -= delivery.lastCount;
      stream.handedBytes -= delivery.lastBytes;
      delivery.cut = revision;
      return;
    }
    delivery.events.push(event);
    delivery.lastCount++;
    delivery.lastBytes += size;
    stream.handedBytes += size;
  }

  /** What the stream was handed in this turn. */
  #handedBytes(stream: Stream): number {
    if (!this.#turnOpen) {
      this.#turnOpen = true;
      this.#turn++;
      this.#options.clock.afterTurn(() => {
        this.#turnOpen = false;
      });
    }
    if (stream.handedTurn !== this.#turn) {
      stream.handedTurn = this.#turn;
      stream.handedBytes = 0;
    }
    return stream.handedBytes;
  }

  /** The pair before the change, unless it was created by it or lies behind a compaction. */
  #previous(change: HistoryRecord): KeyValue | undefined {
    const before = change.kv.modRevision - 1;
    const created = !change.tombstone && change.kv.version === 1;
    if (created || before < this.#store.compactRevision) return undefined;
    return this.#store.mvcc.getAt(change.name, before);
  }

  #deliver(watcher: Watcher, events: readonly Event[], revision: number): void {
    if (events.length === 0) return;
    watcher.heard = true;
    const response = { ...blank(this.#options.header(revision)), watchId: watcher.id };
    const parts = watcher.fragment ? fragments(events, this.#options.fragmentBytes) : [events];
    for (const [i, part] of parts.entries()) {
      watcher.stream.send({ ...response, events: part, fragment: i < parts.length - 1 });
    }
  }

  // Watchers that are behind

  #replaced(): void {
    const before = this.#published;
    this.#published = this.#store.publishedRevision;
    for (const watcher of [...this.#live]) {
      if (watcher.next <= this.#published) this.#fallBehind(watcher, before + 1);
    }
    this.planCatchUp();
  }

  planCatchUp(): void {
    if (this.#catchUpPlanned || this.#closed || this.#behind.size === 0) return;
    this.#catchUpPlanned = true;
    this.#options.clock.afterTurn(() => {
      this.#catchUpPlanned = false;
      if (!this.#closed && this.#store.isWhole && this.#store.damage === undefined) this.#catchUp(); // `replaced` plans anew
    });
  }

  /** One slice of history for all watchers behind whose streams take it. */
  #catchUp(): void {
    const able = [...this.#behind].filter((watcher) => !watcher.stream.paused);
    if (able.length === 0) return; // `resume` plans anew
    let from = this.#published + 1;
    for (const watcher of able) {
      if (watcher.next < this.#store.compactRevision) this.#cancelCompacted(watcher);
      else from = Math.min(from, watcher.next);
    }
    const deliveries = new Map<Watcher, Delivery>();
    let end: number;
    try {
      end = this.#readSlice(from, deliveries);
    } catch (error) {
      this.#unreadable(error, new Set(able.map((watcher) => watcher.stream)));
      return;
    }
    for (const watcher of able) {
      if (!this.#behind.has(watcher) || watcher.stream.paused || watcher.next > end) continue;
      const delivery = deliveries.get(watcher);
      const upTo = delivery?.cut === undefined ? end : delivery.cut - 1;
      watcher.next = upTo + 1;
      const current = watcher.next > this.#published;
      if (current) {
        this.#behind.delete(watcher);
        this.#live.add(watcher);
      }
      if (delivery !== undefined) this.#deliver(watcher, delivery.events, current ? this.#published : upTo);
    }
    for (const stream of new Set(able.map((watcher) => watcher.stream))) stream.answerProgress();
    this.planCatchUp();
  }

  /** Ends the streams that it leaves without their events; a bug is passed on. */
  #unreadable(error: unknown, streams: Iterable<Stream>): void {
    if (!(error instanceof AlthingError)) throw error;
    this.#options.observer.observe({ type: "watch-history-unreadable", level: "error", why: error.message });
    this.#end(streams, error);
  }

  /** Reads whole revisions from `from` on until the slice is full; the last one read. */
  #readSlice(from: number, deliveries: Map<Watcher, Delivery>): number {
    const sliceBytes = Math.min(SLICE_BYTES, this.#queueBytesMax);
    let count = 0;
    let bytes = 0;
    let last = from;
    for (const change of this.#store.changes(from, this.#published)) {
      const { modRevision, key, value } = change.kv;
      if (modRevision !== last && (count >= SLICE_CHANGES || bytes >= sliceBytes)) return modRevision - 1;
      last = modRevision;
      count++;
      bytes += key.length + value.length;
      this.#collect(this.#behind, change, deliveries);
    }
    return this.#published;
  }

  /** W4. */
  #cancelCompacted(watcher: Watcher): void {
    this.#forget(watcher);
    watcher.stream.send({
      ...blank(this.#options.header(0)),
      watchId: watcher.id,
      canceled: true,
      compactRevision: this.#store.compactRevision,
    });
  }

  // Progress notices

  #planProgress(): void {
    if (this.#progressTimer !== undefined || this.#closed) return;
    this.#progressTimer = this.#options.clock.timer(this.#options.progressIntervalMs, () => {
      this.#progressTimer = undefined;
      this.#notifyProgress();
    });
  }

  #notifyProgress(): void {
    let wanted = false;
    for (const stream of [...this.#streams]) {
      for (const watcher of [...stream.watchers.values()]) {
        if (!watcher.progressNotify) continue;
        wanted = true;
        const quiet = !watcher.heard;
        watcher.heard = false;
        if (!quiet || stream.paused || !this.#live.has(watcher)) continue;
        stream.send({ ...blank(this.#options.header(this.#published)), watchId: watcher.id });
      }
    }
    if (wanted) this.#planProgress();
  }
}

class Stream implements WatchStream {
  readonly #hub: WatchHub;
  readonly listener: WatchListener;
  readonly watchers = new Map<number, Watcher>();
  /** Bytes of events that it was handed in the hub's turn of that number (W6). */
  handedBytes = 0;
  handedTurn = 0;
  #state: "open" | "paused" | "closed" = "open";
  #nextId = 0;
  #progressAsked = false;

  constructor(hub: WatchHub, listener: WatchListener) {
    this.#hub = hub;
    this.listener = listener;
  }

  get paused(): boolean {
    return this.#state !== "open";
  }

  request(request: WatchRequest): void {
    if (this.#state === "closed") return;
    const asked = request.requestUnion;
    switch (asked?.type) {
      case "createRequest":
        this.#hub.create(this, asked.value);
        return;
      case "cancelRequest":
        this.#hub.cancel(this, asked.value.watchId);
        return;
      case "progressRequest":
        this.#progressAsked = true;
        this.answerProgress();
        return;
      case undefined:
        return; // of a later protocol: etcd passes over it too
    }
  }

  pause(): void {
    if (this.#state === "open") this.#state = "paused";
  }

  resume(): void {
    if (this.#state !== "paused") return;
    this.#state = "open";
    this.answerProgress();
    this.#hub.planCatchUp();
  }

  close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#hub.drop(this);
  }

  /** Answers to requests go out also while paused: they are few and small, and the client waits for them. */
  send(response: WatchResponse): void {
    if (this.#state !== "closed") this.listener.onResponse(response);
  }

  answerProgress(): void {
    if (!this.#progressAsked || this.#state !== "open" || !this.#hub.isCurrent(this)) return;
    this.#progressAsked = false;
    this.#hub.sendProgress(this);
  }

  /** The least id from where the last one was drawn that no watcher of the stream has. */
  freeId(): number {
    while (this.watchers.has(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }
}

function blank(header: ResponseHeader): WatchResponse {
  return {
    header,
    watchId: 0,
    created: false,
    canceled: false,
    compactRevision: 0,
    cancelReason: "",
    fragment: false,
    events: NO_EVENTS,
  };
}

function shuttingDown(): AlthingError {
  return new AlthingError("CLOSED", "Cannot watch: the node is shutting down");
}

function noDelivery(): Delivery {
  return { events: [], last: 0, lastCount: 0, lastBytes: 0, cut: undefined };
}

const NO_EVENTS: readonly Event[] = [];

function eventOf(change: HistoryRecord, prevKv: KeyValue | undefined): Event {
  return { type: change.tombstone ? EventType.DELETE : EventType.PUT, kv: change.kv, prevKv };
}

/** Cuts events into parts of at most `bytesMax`; an event that is larger stands alone. */
function fragments(events: readonly Event[], bytesMax: number): readonly (readonly Event[])[] {
  const parts: Event[][] = [];
  let bytes = 0;
  for (const event of events) {
    const size = sizeOfEvent(event);
    const part = parts[parts.length - 1];
    if (part === undefined || bytes + size > bytesMax) {
      parts.push([event]);
      bytes = size;
    } else {
      part.push(event);
      bytes += size;
    }
  }
  return parts;
}

function sizeOfEvent(event: Event): number {
  return sizeOf(event.kv) + sizeOf(event.prevKv) + 16;
}

function sizeOf(kv: KeyValue | undefined): number {
  return kv === undefined ? 0 : kv.key.length + kv.value.length + 40;
}
