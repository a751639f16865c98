/**
 * The Observer as Prometheus metrics, on a registry of its own, so that several nodes in one process stay apart. Events
 * move counters and histograms; values that nobody announces (indexes, sizes) are read when a scrape asks for them.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { ObservedEvent, Observer } from "../ports/observer.ts";
import {
  type CounterKey,
  counters,
  type GaugeKey,
  gauges,
  type HistogramKey,
  histograms,
  type Metric,
} from "./metrics.ts";

type Labels = Readonly<Record<string, string | number>>;

/** Label values come from our own code; the cap is a guard against a field that turns out to be unbounded. */
const SERIES_MAX = 2_000;

export class MetricsObserver implements Observer {
  readonly registry: Registry = new Registry();
  readonly #counters = new Map<Metric, Counter>();
  readonly #gauges = new Map<Metric, Gauge>();
  readonly #histograms = new Map<Metric, Histogram>();
  readonly #samplers = new Set<() => void | Promise<void>>();
  readonly #series = new Set<string>();

  /** `processMetrics`: also export memory, CPU, event-loop delay and garbage collection. Default true. */
  constructor(options: { readonly processMetrics?: boolean } = {}) {
    for (const metric of Object.values(counters)) this.#counters.set(metric, new Counter(this.#describe(metric)));
    for (const metric of Object.values(gauges)) this.#gauges.set(metric, new Gauge(this.#describe(metric)));
    for (const metric of Object.values(histograms)) {
      this.#histograms.set(metric, new Histogram({ ...this.#describe(metric), buckets: [...metric.buckets] }));
    }
    if (options.processMetrics ?? true) collectDefaultMetrics({ register: this.registry });
  }

  observe(event: ObservedEvent): void {
    const { level } = event;
    if (level !== undefined && level !== "debug") this.#count("events", 1, { event: event.type, level });
    const group = { group: label(event["group"]) };
    const peer = { peer: label(event["peer"]) };
    switch (event.type) {
      case "wal-flush":
        this.#time("walFlushSeconds", event["tookMs"]);
        this.#count("walFlushedBytes", number(event["bytes"]));
        this.#count("walFlushedRecords", number(event["records"]));
        break;
      case "wal-room":
        this.set("walHasRoom", event["hasRoom"] === true ? 1 : 0);
        break;
      case "wal-recovered":
        this.set("walRecoverySeconds", number(event["tookMs"]) / 1_000);
        break;
      case "role":
        this.set("groupLeader", event["role"] === "leader" ? 1 : 0, group);
        this.set("groupTerm", number(event["term"]), group);
        this.#count("groupRoleChanges", 1, { ...group, role: label(event["role"]) });
        break;
      case "checkpoint":
        this.#count("groupCheckpoints", 1, group);
        break;
      case "snapshot-sent":
        this.#count("groupSnapshotsSent", 1, { ...group, outcome: event["ok"] === true ? "ok" : "failed" });
        break;
      case "snapshot-installed":
        this.#count("groupSnapshotsInstalled", 1, group);
        break;
      case "resources": {
        const engine = { engine: label(event["engine"]) };
        this.set("engineFileBytes", number(event["engineFileBytes"]), engine);
        this.set("engineUsedBytes", number(event["engineUsedBytes"]), engine);
        if (event["diskFreeBytes"] !== undefined) this.set("diskFreeBytes", number(event["diskFreeBytes"]));
        break;
      }
      case "disk-stalled":
      case "disk-recovered":
        this.set("groupDiskStalled", event.type === "disk-stalled" ? 1 : 0, group);
        break;
      case "peer-connected":
        this.set("peerConnected", 1, peer);
        break;
      case "peer-lost":
        this.set("peerConnected", 0, peer);
        this.#count("peerLosses", 1, peer);
        break;
      default: // most events are for the log
    }
  }

  set(key: GaugeKey, value: number, labels: Labels = {}): void {
    if (this.#admits(key, labels)) this.#gauges.get(gauges[key])?.set({ ...labels }, value);
  }

  /** Calls `sample` before each collection, to `set` what it knows. Returns the way to stop it. */
  onCollect(sample: () => void | Promise<void>): () => void {
    this.#samplers.add(sample);
    return () => this.#samplers.delete(sample);
  }

  /** Everything in the Prometheus text format. A sampler that fails leaves its values as they were. */
  async collect(): Promise<{ readonly contentType: string; readonly text: string }> {
    await Promise.allSettled([...this.#samplers].map(async (sample) => sample()));
    return { contentType: this.registry.contentType, text: await this.registry.metrics() };
  }

  #describe(metric: Metric): { name: string; help: string; labelNames: string[]; registers: Registry[] } {
    return { name: metric.name, help: metric.help, labelNames: [...metric.labels], registers: [this.registry] };
  }

  #count(key: CounterKey, by: number, labels: Labels = {}): void {
    if (by > 0 && this.#admits(key, labels)) this.#counters.get(counters[key])?.inc({ ...labels }, by);
  }

  #time(key: HistogramKey, ms: unknown): void {
    if (typeof ms === "number" && Number.isFinite(ms)) this.#histograms.get(histograms[key])?.observe(ms / 1_000);
  }

  #admits(key: CounterKey | GaugeKey, labels: Labels): boolean {
    const values = Object.values(labels);
    if (values.length === 0) return true;
    const series = `${key}:${values.join("\0")}`;
    if (this.#series.has(series)) return true;
    if (this.#series.size >= SERIES_MAX) return false;
    this.#series.add(series);
    return true;
  }
}

function number(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

function label(value: unknown): string {
  return typeof value === "number" || typeof value === "string" ? String(value) : "none";
}
