import { describe, expect, it } from "vitest";
import { parseH2load } from "./h2load.ts";

const report = `finished in 1.11s, 18008.67 req/s, 1.14MB/s
requests: 20000 total, 20000 started, 20000 done, 20000 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 20000 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 1.26MB (1325360) total, 39.16KB (40096) headers (space savings 94.72%), 649.04KB (664618) data
                     min         max         mean         sd        +/- sd
time for request:      228us     33.06ms     13.85ms      4.43ms    71.95%
time for connect:      156us       554us       325us       133us    75.00%
`;

describe("parseH2load()", () => {
  it("reads rate, counts, bytes and latency", () => {
    expect(parseH2load(report, 20_000)).toEqual({
      requestsPerSecond: 18_008.67,
      succeeded: 20_000,
      dataBytes: 664_618,
      meanLatencyMs: 13.85,
      maxLatencyMs: 33.06,
    });
  });
  it("reads microseconds and seconds", () => {
    const other = report.replace("33.06ms", "1.50s").replace("13.85ms", "851us");
    expect(parseH2load(other, 20_000)).toMatchObject({ meanLatencyMs: 0.851, maxLatencyMs: 1500 });
  });
  it.each([
    ["a failed request", report.replace("0 failed", "1 failed")],
    ["an error", report.replace("0 errored", "3 errored")],
    ["a 5xx", report.replace("20000 2xx, 0 3xx, 0 4xx, 0 5xx", "19999 2xx, 0 3xx, 0 4xx, 1 5xx")],
    ["a missing rate", report.replace("req/s", "r/s")],
    ["no report", ""],
  ])("refuses a report with %s", (_, text) => {
    expect(() => parseH2load(text, 20_000)).toThrow("Cannot read h2load's report");
  });
  it("refuses a report of fewer requests than were asked", () => {
    expect(() => parseH2load(report, 30_000)).toThrow("20000 of 30000");
  });
});
