import { describe, expect, test } from "vitest";
import { actionOfKey, actionOfLine } from "./keys.ts";
import { parseNodeEvent } from "./node-events.ts";
import { listeningInodes } from "./port-check.ts";

test("actionOfKey() maps keys, Ctrl-C and Ctrl-D, and ignores the rest", () => {
  expect(["k", "3", "r", "s", "?", "q", "\u0003", "\u0004"].map((key) => actionOfKey(key)?.type)).toEqual([
    "kill-leader",
    "kill",
    "restart",
    "status",
    "help",
    "quit",
    "quit",
    "quit",
  ]);
  expect(["0", "x", "\u001b", "[", "K"].map((key) => actionOfKey(key))).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});

test("actionOfLine() takes words with an optional node", () => {
  expect(actionOfLine("kill")).toEqual({ type: "kill-leader" });
  expect(actionOfLine(" kill  2 ")).toEqual({ type: "kill", id: 2 });
  expect(actionOfLine("restart 3")).toEqual({ type: "restart", id: 3 });
  expect(["", "kill 0", "kill 2 3", "status 1", "quit now", "stop"].map(actionOfLine)).toEqual(
    Array(6).fill(undefined),
  );
});

describe("parseNodeEvent()", () => {
  test("reads what a node says", () => {
    expect(parseNodeEvent('{"event":"leader-changed","leader":2,"term":7}')).toEqual({
      event: "leader-changed",
      leader: 2,
      term: 7,
    });
    expect(parseNodeEvent('{"event":"failed","message":"m","next":"n"}')).toEqual({
      event: "failed",
      message: "m",
      next: "n",
    });
  });

  test.each([
    "",
    "text",
    "[]",
    "null",
    '{"event":"ready"}',
    '{"event":"other"}',
    '{"event":"leader-changed","leader":-1,"term":1}',
  ])("ignores %j", (line) => {
    expect(parseNodeEvent(line)).toBeUndefined();
  });
});

test("listeningInodes() finds listening sockets of one port only", () => {
  const table = [
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    "   0: 0100007F:1CE8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 111 1 0 100 0 0 10 0",
    "   1: 0100007F:1CE8 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1000        0 222 1 0 100 0 0 10 0",
    "   2: 0100007F:1CE9 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 333 1 0 100 0 0 10 0",
  ].join("\n");
  expect(listeningInodes(table, 7400)).toEqual(["111"]);
  expect(listeningInodes("", 7400)).toEqual([]);
});
