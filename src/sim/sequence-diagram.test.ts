import { describe, expect, it } from "vitest";
import { simulate } from "../sim.ts";
import { sequenceDiagram } from "./sequence-diagram.ts";
import { counterPlan } from "./testing/file-counter.ts";
import { Trace } from "./trace.ts";

function small(): Trace {
  const trace = new Trace();
  trace.record(1, 1, { type: "booted", life: 0 });
  trace.record(1.5, 1, { type: "wal-flush", records: 1 }); // debug: not in a diagram
  trace.record(2, 0, { type: "call", client: 3, to: 1, what: "put a" });
  for (const timeMs of [2.5, 2.6]) {
    trace.record(timeMs, 2, { type: "message", from: 1, to: 2, what: "append; <7>", sentMs: 2 });
  }
  trace.record(3, 0, { type: "fault-partition", shape: "halves", cuts: [[1, 2]], fault: "partition" });
  trace.record(4, 0, { type: "fault-pause", node: 2, forMs: 10 });
  trace.record(5, 2, { type: "role", level: "info", group: 1, role: "leader" });
  trace.record(6, 0, { type: "answer", client: 3, from: 1, what: "unknown (timeout)" });
  return trace;
}

describe("sequenceDiagram()", () => {
  it("draws clients before nodes, arrows for what travels, notes for the rest, equal lines once", () => {
    expect(sequenceDiagram(small()).split("\n")).toEqual([
      "sequenceDiagram",
      "  participant c3",
      "  participant n1",
      "  participant n2",
      "  Note over n1: booted: life 0 [1.0 ms]",
      "  c3->>n1: put a [2.0 ms]",
      "  n1->>n2: 2× append#59; #60;7#62; [2.5 ms]",
      "  Note over c3,n2: fault-partition: shape halves, fault partition [3.0 ms]",
      "  Note over n2: fault-pause: forMs 10 [4.0 ms]",
      "  Note over n2: role: role leader [5.0 ms]",
      "  n1--xc3: unknown (timeout) [6.0 ms]",
      "",
    ]);
  });

  it("draws the same as plain text, one column each", () => {
    expect(sequenceDiagram(small(), { format: "text" }).split("\n")).toEqual([
      "              c3    n1    n2",
      "      1.0 ms  |     *     |  booted: life 0",
      "      2.0 ms  |----->     |  put a",
      "      2.5 ms  |     |----->  2× append; <7>",
      "      3.0 ms  =============  fault-partition: shape halves, fault partition",
      "      4.0 ms  |     |     *  fault-pause: forMs 10",
      "      5.0 ms  |     |     *  role: role leader",
      "      6.0 ms  x-----|     |  unknown (timeout)",
      "",
    ]);
  });

  it("keeps the newest events and a span of time, and says what it left out", () => {
    expect(sequenceDiagram(small(), { eventsMax: 2 })).toContain("… 5 earlier events");
    const span = sequenceDiagram(small(), { fromMs: 2, toMs: 3 });
    expect(span).not.toContain("booted");
    expect(span).not.toContain("role");
    expect(span).toContain("put a");
    expect(sequenceDiagram(new Trace())).toBe("sequenceDiagram\n");
    expect(sequenceDiagram(new Trace(), { format: "text" })).toBe("\n");
  });

  it("draws a whole run with a line for each call", async () => {
    const { trace } = await simulate(() => counterPlan("nothing", { traceMessages: true }), { seed: 4 });
    const diagram = sequenceDiagram(trace, { eventsMax: 1_000_000 });
    expect(diagram.split("\n").filter((line) => line.startsWith("  c1->>n1: call"))).toHaveLength(
      trace.counts.get("call") ?? 0,
    );
    for (const line of diagram.trimEnd().split("\n").slice(1)) {
      expect(line).toMatch(/^ {2}(participant [cn]\d+|Note over [cn]\d+(,[cn]\d+)?: .+|[cn]\d+(->>|--x)[cn]\d+: .+)$/);
    }
    expect(
      trace
        .toJsonLines()
        .split("\n")
        .every((line) => typeof JSON.parse(line) === "object"),
    ).toBe(true);
  });
});
