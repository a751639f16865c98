/** The parts of the commands that need no cluster; the rest is proven by `test/e2e/cli-*.test.ts`. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AlthingError, type ErrorCode, errors } from "../../base/errors.ts";
import { CompareResult, CompareTarget, type Member, StatusResponse } from "../../coordination/messages.ts";
import { keyRange, prefixEnd } from "../etcd/range.ts";
import { asText, jsonBytes, showBytesOf } from "../etcd/text.ts";
import { exitCodes, exitCodesHelp } from "../exit-codes.ts";
import { CliFailure, toFailure } from "../failure.ts";
import { duration, hexId, showBytes, showDuration, showId, wholeNumber } from "../parse.ts";
import { callTrouble } from "../grpc/call-failure.ts";
import { GrpcError } from "../grpc/status.ts";
import { commonFlagsLast, createProgram, helpAsFlag } from "../program.ts";
import { joinCommand } from "./member.ts";
import { judge } from "./status.ts";
import { parseTxn } from "./txn.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("keyRange()", () => {
  test("one key, a range, a prefix, from a key on", () => {
    expect(keyRange("a", undefined, {})).toEqual({ key: bytes("a"), rangeEnd: bytes("") });
    expect(keyRange("a", "c", {})).toEqual({ key: bytes("a"), rangeEnd: bytes("c") });
    expect(keyRange("ab", undefined, { prefix: true })).toEqual({ key: bytes("ab"), rangeEnd: bytes("ac") });
    expect(keyRange("a", undefined, { fromKey: true })).toEqual({ key: bytes("a"), rangeEnd: Uint8Array.of(0) });
    expect(keyRange("", undefined, { prefix: true })).toEqual({ key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) });
  });

  test("refuses an empty key and two ways at once", () => {
    expect(() => keyRange("", undefined, {})).toThrow("empty key");
    expect(() => keyRange("a", "b", { prefix: true })).toThrow("exclude each other");
  });

  test("prefixEnd() is the first key behind every key with the prefix", () => {
    expect(prefixEnd(Uint8Array.of(1, 0xff, 0xff))).toEqual(Uint8Array.of(2));
    expect(prefixEnd(Uint8Array.of(0xff))).toEqual(Uint8Array.of(0));
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 4 }), fc.uint8Array({ maxLength: 4 }), (prefix, rest) => {
        const end = prefixEnd(prefix);
        const inside = Buffer.concat([prefix, rest]);
        const toTheEnd = end.length === 1 && end[0] === 0;
        expect(toTheEnd || Buffer.compare(inside, end) < 0).toBe(true);
        if (!toTheEnd) expect(Buffer.from(end).subarray(0, prefix.length).equals(Buffer.from(prefix))).toBe(false);
      }),
    );
  });
});

describe("parseTxn()", () => {
  test("reads compares and both lists of operations", () => {
    const request = parseTxn('mod("a b") > "3"\nvalue("x") != "y \\" z"\n\nput a "two words"\nget a c\n\ndel a\n');
    expect(request).toEqual({
      compare: [
        {
          key: bytes("a b"),
          result: CompareResult.GREATER,
          target: CompareTarget.MOD,
          targetUnion: { type: "modRevision", value: 3 },
        },
        {
          key: bytes("x"),
          result: CompareResult.NOT_EQUAL,
          target: CompareTarget.VALUE,
          targetUnion: { type: "value", value: bytes('y " z') },
        },
      ],
      success: [
        { request: { type: "requestPut", value: { key: bytes("a"), value: bytes("two words") } } },
        { request: { type: "requestRange", value: { key: bytes("a"), rangeEnd: bytes("c") } } },
      ],
      failure: [{ request: { type: "requestDeleteRange", value: { key: bytes("a"), rangeEnd: bytes("") } } }],
    });
  });

  test.each([
    "mod(a) > 3",
    'mod("a") >= "3"',
    'mod("a") > "x"',
    'size("a") = "1"',
    'lease("a") = "zz"',
    "\n\nput a",
    "\n\nput a b c",
    "\n\nincrement a",
    "\n\n\n\n\n\nget a\n\nget a\n\nget b\n\nget c",
  ])("refuses %j", (text) => {
    expect(() => parseTxn(text)).toThrow(/^Cannot read the transaction/);
  });
});

const member = (id: bigint, parts: Partial<Member> = {}): Member => ({
  id,
  name: `node-${id}`,
  peerUrls: [],
  clientUrls: [],
  isLearner: false,
  ...parts,
});
const up = (id: bigint, parts: Parameters<typeof StatusResponse.make>[0] = {}) => ({
  member: member(id),
  status: StatusResponse.make({ leader: 1n, raftIndex: 100, raftAppliedIndex: 100, ...parts }),
  trouble: undefined,
});
const down = (id: bigint) => ({ member: member(id), status: undefined, trouble: "connection refused" });

describe("judge()", () => {
  test("a whole cluster needs nothing", () => {
    expect(judge([up(1n), up(2n), up(3n)])).toEqual([]);
  });

  test("one member down is named with the way to get rid of it", () => {
    const [advice, ...more] = judge([up(1n), up(2n), down(3n)]);
    expect(more).toEqual([]);
    expect(advice?.problem).toBe("node-3 does not answer: connection refused");
    expect(advice?.next).toContain("member remove 3");
  });

  test("a lost majority comes first", () => {
    expect(judge([up(1n), down(2n), down(3n)])[0]?.problem).toContain("1 of 3 voters answer, 2 are needed");
  });

  test("a learner counts for no majority", () => {
    expect(judge([up(1n), { ...down(2n), member: member(2n, { isLearner: true }) }])).toHaveLength(1);
  });

  test("no leader, an alarm and a lag are each named", () => {
    expect(judge([up(1n, { leader: 0n })])[0]?.problem).toBe("no member leads");
    expect(judge([up(1n, { errors: ["memberID:1 alarm:NOSPACE"] })])[0]?.problem).toContain("NOSPACE");
    expect(judge([up(1n, { raftIndex: 9_000, raftAppliedIndex: 9_000 }), up(2n)])[0]?.problem).toContain(
      "8900 entries behind",
    );
  });
});

describe("judge() advises by what a member reports", () => {
  const reporting = (error: string) => [up(1n), up(2n, { leader: 0n, errors: [error] })];
  test.each([
    ["etcdserver: no leader", "peer ports"],
    ["memberID:2 alarm:NOSPACE ", "free disk space"],
    ["memberID:2 alarm:CORRUPT ", "member remove 2 --endpoints a:1,"],
    ["node 3 runs raft, and node 2 runs paxos", "with the engine of the others"],
    ["something new", "read the log"],
  ])("%s: %s", (error, next) => {
    const [advice, ...more] = judge(reporting(error), "a:1");
    expect(more).toEqual([]);
    expect(advice?.problem).toBe(`node-2 reports ${error.trim()}`);
    expect(advice?.next).toContain(next);
  });

  test("that nobody leads is said once", () => {
    const lost = { leader: 0n, errors: ["etcdserver: no leader"] };
    expect(judge([up(1n, lost), up(2n, lost)]).map((advice) => advice.problem)).toEqual(["no member leads"]);
  });
});

describe("joinCommand()", () => {
  const member = {
    id: 26n,
    name: "new one",
    peer: "http://127.0.0.1:7431",
    cluster: "althing",
    dir: ".althing/node-26",
  };

  test("names everything that the node needs, the id in decimal", () => {
    expect(joinCommand(member)).toBe(
      "node --join --id 26 --name 'new one' --cluster althing --dir .althing/node-26 --listen 127.0.0.1:7430 --peer-listen 127.0.0.1:7431",
    );
  });

  test("an address beyond loopback carries its consent; an unknown cluster name is left to the reader", () => {
    expect(joinCommand({ ...member, peer: "http://[2001:db8::1]:7401", cluster: undefined })).toMatch(
      /--cluster CLUSTER .*--listen '\[2001:db8::1\]:7400' --peer-listen '\[2001:db8::1\]:7401' --insecure$/,
    );
  });
});

describe("callTrouble()", () => {
  test("a failed call is its reason, without a stack", () => {
    const error = new GrpcError(14, "connection refused", { progress: "not-sent", endpoint: "http://a:1" });
    expect(callTrouble(error)).toBe("connection refused");
  });
});

describe("helpAsFlag()", () => {
  test("help and --help are the same; unknown words are left to be refused", () => {
    const words = (...argv: readonly string[]): string => helpAsFlag(createProgram(), argv).join(" ");
    expect(words("help")).toBe("--help");
    expect(words("help", "kv")).toBe("kv --help");
    expect(words("help", "kv", "get", "key")).toBe("kv get --help");
    expect(words("help", "kv", "gett")).toBe("kv gett");
    expect(words("help", "stauts")).toBe("stauts");
    expect(words("kv", "help", "get")).toBe("kv get --help");
    expect(words("kv", "lease", "help")).toBe("kv lease --help");
    expect(words("kv", "put", "a", "help")).toBe("kv put a help");
    expect(words("kv", "get", "help")).toBe("kv get help");
  });
});

describe("toFailure()", () => {
  test("every operating error has an exit code that --help lists", () => {
    for (const code of Object.keys(errors) as ErrorCode[]) {
      // the table's keys are the codes
      const failure = toFailure(new AlthingError(code, "Cannot do it"));
      expect(exitCodesHelp()).toContain(String(exitCodes[failure.exit]));
      expect(failure.code).toBe(code);
    }
  });

  test("a bug keeps its stack, an operating error is one line", () => {
    expect(toFailure(new TypeError("x is undefined")).message).toContain("at ");
    expect(new CliFailure("failure", "Cannot\nfind it", { next: "look" }).line).toBe("Cannot find it. Next: look");
    expect(new CliFailure("usage", "Cannot do it: from 1.", { next: "look" }).line).toBe(
      "Cannot do it: from 1. Next: look",
    );
    expect(toFailure("text").exit).toBe("failure");
  });

  test("errors of the system are told apart", () => {
    const system = (code: string): Error => Object.assign(new Error(code), { code, errno: -1 });
    expect(toFailure(system("EACCES")).exit).toBe("permission");
    expect(toFailure(system("ENOENT")).exit).toBe("notFound");
    expect(toFailure(system("EIO")).exit).toBe("failure");
  });
});

describe("texts and numbers of flags", () => {
  test("duration() reads units; a bare number counts seconds", () => {
    expect([duration("500ms"), duration("5"), duration("1.5s"), duration("2m"), duration("1h")]).toEqual([
      500, 5_000, 1_500, 120_000, 3_600_000,
    ]);
    for (const text of ["", "x", "-1s", "0", "5 s", "1d"]) expect(() => duration(text)).toThrow("duration");
  });

  test("wholeNumber() keeps its bounds", () => {
    const parse = wholeNumber(1, 9);
    expect(parse("9")).toBe(9);
    for (const text of ["0", "10", "1.5", "", "x", "1e0", " 1"]) expect(() => parse(text)).toThrow("from 1 to 9");
  });

  test("ids are hexadecimal and unsigned for people", () => {
    expect(hexId("0xff")).toBe(255n);
    expect(showId(-1n)).toBe("ffffffffffffffff");
    for (const text of ["", "xyz", "12345678901234567"]) expect(() => hexId(text)).toThrow("hexadecimal");
  });

  test("showDuration() and showBytes() read well", () => {
    expect([0.123, 42.4, 4_200, 180_000].map(showDuration)).toEqual(["0.12 ms", "42 ms", "4.2 s", "3 min"]);
    expect([512, 2_048, 20 * 1024 * 1024].map(showBytes)).toEqual(["512 B", "2.0 KiB", "20 MiB"]);
  });

  test("common flags may stand first, but never behind a --", () => {
    expect(commonFlagsLast(["--json", "-q", "kv", "get", "a"])).toEqual(["kv", "get", "a", "--json", "-q"]);
    expect(commonFlagsLast(["--json", "kv", "lock", "l", "--", "ls", "--json"])).toEqual([
      "kv",
      "lock",
      "l",
      "--json",
      "--",
      "ls",
      "--json",
    ]);
    expect(commonFlagsLast(["--help"])).toEqual(["--help"]);
    expect(commonFlagsLast(["--json"])).toEqual(["--json"]);
  });
});

describe("bytes of keys and values", () => {
  test("text stays text, control characters become visible, the rest is hexadecimal or base64", () => {
    expect(showBytesOf(bytes("héllo\n\u001b"))).toBe("héllo\\n\\x1b");
    expect(showBytesOf(Uint8Array.of(0xff, 1))).toBe("0xff01");
    expect(asText(Uint8Array.of(0xff))).toBeUndefined();
    expect(jsonBytes("key", bytes("a"))).toEqual({ key: "a" });
    expect(jsonBytes("key", Uint8Array.of(0xff))).toEqual({ keyBase64: "/w==" });
  });
});
