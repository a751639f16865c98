import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import type { ObservedEvent } from "../ports/observer.ts";
import { fanOut } from "./fan-out.ts";
import { LineOutput } from "./line-output.ts";
import { prettyLine } from "./log-line.ts";
import { LogObserver } from "./log-observer.ts";
import { counters, gauges, histograms } from "./metrics.ts";
import { MetricsObserver } from "./metrics-observer.ts";

describe("LogObserver", () => {
  function json(level: "debug" | "info" | "warn" | "error", events: readonly ObservedEvent[]) {
    const lines: string[] = [];
    const output = {
      write: (line: string) => {
        lines.push(line);
      },
    };
    const log = new LogObserver({ level, pretty: false, base: { node: 3 }, output });
    for (const event of events) log.observe(event);
    return lines.map((line): unknown => JSON.parse(line));
  }

  test("writes one JSON object an event, with its name, level, time and fields", () => {
    const lines = json("info", [{ type: "role", level: "info", role: "leader", term: 4 }]);
    expect(lines).toEqual([
      { level: "info", time: expect.stringMatching(/^\d{4}-.*Z$/), node: 3, event: "role", role: "leader", term: 4 },
    ]);
  });

  test("names a field of every line once: an event's own of that name is left out, or marked if it says otherwise", () => {
    const lines: string[] = [];
    const output = { write: (line: string) => void lines.push(line) };
    const log = new LogObserver({ pretty: false, base: { node: 3 }, output });
    log.observe({ type: "role", level: "info", node: 3, role: "leader" });
    log.observe({ type: "role", level: "info", node: 4, role: "leader" });
    expect(lines.map((line) => line.match(/"node\w*":\d/g))).toEqual([['"node":3'], ['"node":3', '"node_":4']]);
  });

  test("leaves out what is below its level", () => {
    const events: ObservedEvent[] = [{ type: "a" }, { type: "b", level: "info" }, { type: "c", level: "error" }];
    expect(json("warn", events)).toMatchObject([{ event: "c" }]);
    expect(json("debug", events)).toHaveLength(3);
  });

  test("bounds fields and writes what JSON cannot", () => {
    const lines = json("info", [
      {
        type: "x",
        level: "info",
        event: "not the name",
        long: "y".repeat(10_000),
        big: 10n,
        bytes: new Uint8Array(7),
        error: new Error("outer", { cause: new Error("inner") }),
        deep: { a: { b: { c: { d: 1 } } } },
        many: Array.from({ length: 1_000 }, (_, i) => i),
        infinite: Number.POSITIVE_INFINITY,
      },
    ]);
    expect(lines).toMatchObject([
      {
        event: "x",
        event_: "not the name",
        long: expect.stringMatching(/^y{500}… \(10000 characters\)$/),
        big: "10",
        bytes: "7 bytes",
        error: "outer (inner)",
        deep: { a: { b: { c: "…" } } },
        infinite: "Infinity",
      },
    ]);
    expect(JSON.stringify(lines).length).toBeLessThan(2_000);
  });

  test("prettyLine() is one line that a field cannot forge", () => {
    const line = prettyLine({ type: "x", level: "warn", why: "a\nb", peer: "10.0.0.1:2", n: [1] }, 0, {
      colour: false,
    });
    expect(line).toBe('00:00:00.000 warn  x why="a\\nb" peer=10.0.0.1:2 n=[1]');
  });
});

describe("LineOutput", () => {
  test("writes lines in order, drops what is over its limit and counts it", async () => {
    const path = join(mkdtempSync(join(tmpdir(), "althing-log-")), "log");
    const fd = openSync(path, "w");
    const output = new LineOutput(fd, { bufferedBytesMax: 1_000 });
    const line = (i: number): string => `${String(i).padStart(99, "0")}\n`;
    for (let i = 0; i < 30; i++) output.write(line(i)); // the first is on its way at once, ten wait
    await expect.poll(() => readFileSync(path, "utf8").length).toBe(1_100);
    expect(readFileSync(path, "utf8")).toBe(Array.from({ length: 11 }, (_, i) => line(i)).join(""));
    expect([output.takeDropped(), output.takeDropped()]).toEqual([19, 0]);
    const log = new LogObserver({ pretty: false, output });
    for (let i = 0; i < 30; i++) output.write(line(i));
    await expect.poll(() => readFileSync(path, "utf8").length).toBe(2_200);
    log.observe({ type: "next", level: "info" });
    await expect
      .poll(() => readFileSync(path, "utf8"))
      .toMatch(/"event":"log-lines-dropped","lines":19.*\n.*"event":"next"/);
    closeSync(fd);
    rmSync(dirname(path), { recursive: true });
  });

  test("lines that are left when the process exits are written then, in order", () => {
    const script = `
      import { LogObserver } from ${JSON.stringify(new URL("./log-observer.ts", import.meta.url).href)};
      const log = new LogObserver();
      for (let i = 0; i < 5; i++) log.observe({ type: "e" + i, level: "info" });
      process.exit(0);
    `;
    const options = { encoding: "utf8", env: { PATH: process.env["PATH"] }, timeout: 5_000 } as const;
    const { stderr, status } = spawnSync(process.execPath, ["--input-type=module", "-e", script], options);
    expect(stderr.match(/"event":"e\d"/g)).toEqual([0, 1, 2, 3, 4].map((i) => `"event":"e${i}"`));
    expect(status).toBe(0);
  });
});

describe("MetricsObserver", () => {
  test("turns events into metrics", async () => {
    const observer = new MetricsObserver({ processMetrics: false });
    observer.observe({ type: "wal-flush", tookMs: 2, bytes: 100, records: 3 });
    observer.observe({ type: "wal-flush", tookMs: 0.2, bytes: 50, records: 1 });
    observer.observe({ type: "role", level: "info", role: "leader", term: 7, group: 1 });
    observer.observe({ type: "peer-connected", peer: 2 });
    observer.observe({ type: "peer-lost", peer: 2, reason: "x" });
    observer.observe({ type: "snapshot-sent", group: 1, ok: false });
    const sizes = { engine: "meta", engineFileBytes: 8_192, engineUsedBytes: 5_000 };
    observer.observe({ type: "resources", ...sizes, diskFreeBytes: 1_000_000 });
    observer.observe({ type: "resources", ...sizes, diskFreeBytes: undefined }); // it stays as it was
    const { text, contentType } = await observer.collect();
    expect(contentType).toContain("text/plain");
    for (const line of [
      'althing_wal_flush_seconds_bucket{le="0.00025"} 1',
      'althing_wal_flush_seconds_bucket{le="0.0025"} 2',
      "althing_wal_flushed_bytes_total 150",
      "althing_wal_flushed_records_total 4",
      'althing_group_leader{group="1"} 1',
      'althing_group_term{group="1"} 7',
      'althing_group_role_changes_total{group="1",role="leader"} 1',
      'althing_peer_connected{peer="2"} 0',
      'althing_peer_losses_total{peer="2"} 1',
      'althing_group_snapshots_sent_total{group="1",outcome="failed"} 1',
      'althing_engine_file_bytes{engine="meta"} 8192',
      'althing_engine_used_bytes{engine="meta"} 5000',
      "althing_disk_free_bytes 1000000",
      'althing_observer_events_total{event="role",level="info"} 1',
    ]) {
      expect(text.split("\n")).toContain(line);
    }
  });

  test("onCollect() samples before each collection, and a sampler that fails harms nobody", async () => {
    const observer = new MetricsObserver({ processMetrics: false });
    observer.onCollect(() => Promise.reject(new Error("no")));
    const stop = observer.onCollect(() => observer.set("diskFreeBytes", 42));
    expect((await observer.collect()).text).toContain("althing_disk_free_bytes 42");
    stop();
  });

  test("a label that turns out unbounded stops at the cap", async () => {
    const observer = new MetricsObserver({ processMetrics: false });
    for (let i = 0; i < 5_000; i++) observer.observe({ type: "peer-connected", peer: i });
    const lines = (await observer.collect()).text
      .split("\n")
      .filter((line) => line.startsWith("althing_peer_connected{"));
    expect(lines).toHaveLength(2_000);
  });

  test("every metric is named by the rule and has a sentence of help", () => {
    const metrics = [...Object.values(counters), ...Object.values(gauges), ...Object.values(histograms)];
    for (const { name, help } of metrics) {
      expect(name).toMatch(/^althing_[a-z]+(_[a-z]+)+$/);
      expect(help).toMatch(/^[A-Z0-9].*\.$/);
    }
    expect(new Set(metrics.map((metric) => metric.name)).size).toBe(metrics.length);
  });

  test("two nodes in one process keep their metrics apart", async () => {
    const [a, b] = [new MetricsObserver(), new MetricsObserver()];
    a.set("diskFreeBytes", 1);
    expect((await b.collect()).text).toContain("althing_disk_free_bytes 0");
  });
});

describe("fanOut()", () => {
  test("tells every observer, in order", () => {
    const told: string[] = [];
    const observer = (name: string) => ({ observe: (event: ObservedEvent) => told.push(`${name}:${event.type}`) });
    fanOut(observer("a"), observer("b")).observe({ type: "x" });
    expect(told).toEqual(["a:x", "b:x"]);
  });
});
