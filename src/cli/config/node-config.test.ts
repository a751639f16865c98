import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { defaultLimits, defaultTimings } from "../../config/limits.ts";
import {
  completeSettings,
  configFromEnvironment,
  parseInitialCluster,
  parseNodeConfig,
  readConfigFile,
} from "./node-config.ts";
import { editDistance, suggest } from "./suggest.ts";

describe("parseNodeConfig()", () => {
  test.each([
    [{ lisen: "a:1" }, "unknown key lisen (did you mean listen?)"],
    [{ limits: { sessionMax: 1 } }, "unknown key limits.sessionMax (did you mean sessionsMax?)"],
    [{ timings: { heartbeat: 1 } }, "unknown key timings.heartbeat (did you mean heartbeatMs?)"],
    [{ initialCluster: [{ id: 1, peer: "a:1", nmae: "x" }] }, "unknown key initialCluster.0.nmae (did you mean name?)"],
    [{ zzz: 1 }, "unknown key zzz"],
    [{ id: 0 }, "id: must be a whole number from 1"],
    [{ id: Number.NaN }, "id: must be a whole number"],
    [{ autoCompaction: { mode: "off" } }, "autoCompaction.keep is missing"],
    [{ initialCluster: [{ id: 1 }] }, "initialCluster.0.peer is missing"],
    [{ id: "1" }, "id: "],
    [{ listen: "127.0.0.1" }, "listen: must be host:port"],
    [{ consensus: "zab" }, "consensus: "],
    [{ limits: { sessionsMax: -1 } }, "limits.sessionsMax: "],
    [[], "the content"],
    ["text", "the content"],
  ])("%j: %s", (content, message) => {
    expect(() => parseNodeConfig(content, "file")).toThrow(`file: ${message}`);
  });
});

describe("completeSettings()", () => {
  test("nothing at all is one node on loopback", () => {
    const { node, listen, dir, insecure } = completeSettings([]);
    expect(listen).toBe("127.0.0.1:7400");
    expect(dir).toBe(path.resolve(".althing/node-1"));
    expect(insecure).toBe(false);
    expect(node.peerListen).toBe("127.0.0.1:7401");
    expect(node.limits).toEqual(defaultLimits);
    expect(node.timings).toEqual(defaultTimings);
    expect(node.initialMembers).toEqual([
      { id: 1, name: "node-1", address: "127.0.0.1:7401", clientUrls: ["http://127.0.0.1:7400"] },
    ]);
  });

  test("an id that a ballot has no room for is refused with Paxos", () => {
    const settle = (id: number, consensus: "raft" | "paxos"): unknown => completeSettings([{ id, consensus }]).node.id;
    expect(settle(1_023, "paxos")).toBe(1_023);
    expect(() => settle(1_024, "paxos")).toThrow("id must be at most 1023 with Paxos, not 1024");
    expect(settle(1_024, "raft")).toBe(1_024);
  });

  test("earlier layers win, and limits merge key by key", () => {
    const { node, listen } = completeSettings([
      { listen: "127.0.0.1:1000", limits: { sessionsMax: 5 } },
      { listen: "127.0.0.1:2000", name: "env", limits: { sessionsMax: 6, connectionsMax: 7 } },
      { name: "file", id: 1 },
    ]);
    expect(listen).toBe("127.0.0.1:1000");
    expect(node.name).toBe("env");
    expect(node.limits).toEqual({ ...defaultLimits, sessionsMax: 5, connectionsMax: 7 });
  });

  test("the first members' public addresses follow from their peer addresses unless they are named", () => {
    const { node } = completeSettings([
      {
        id: 2,
        listen: "10.0.0.2:7400",
        initialCluster: parseInitialCluster("1=10.0.0.1:7401@web:80,2=10.0.0.2:7401,3=10.0.0.3:7501", "flag"),
      },
    ]);
    expect(node.initialMembers?.map((member) => member.clientUrls[0])).toEqual([
      "http://web:80",
      "http://10.0.0.2:7400",
      "http://10.0.0.3:7500",
    ]);
  });

  test("a joining node names no first members", () => {
    expect(
      completeSettings([{ id: 4, join: true, initialCluster: [{ id: 1, peer: "a:1" }] }]).node.initialMembers,
    ).toBeUndefined();
  });

  test.each([
    [{ id: 2, initialCluster: [{ id: 1, peer: "a:1" }] }, "does not name this node, id 2"],
    [
      {
        initialCluster: [
          { id: 1, peer: "a:1" },
          { id: 1, peer: "b:1" },
        ],
      },
      "the same id",
    ],
    [
      {
        initialCluster: [
          { id: 1, peer: "a:1" },
          { id: 2, peer: "a:1" },
        ],
      },
      "a peer address twice",
    ],
    [{ listen: "a:1", peerListen: "a:1" }, "the public and the peer address are the same"],
    [{ listen: "127.0.0.1:0" }, "has no port"],
    [{ listen: "127.0.0.1:65535" }, "no port is left"],
    [{ timings: { electionMs: 60 } }, "electionMs"],
    [{ timings: { diskStallMs: 5_000 } }, "diskStallMs"],
    [{ timings: { leaseMs: 5_000 } }, "leaseMs"],
  ])("refuses %j", (layer, message) => {
    expect(() => completeSettings([layer])).toThrow(message);
  });
});

describe("configFromEnvironment()", () => {
  test("reads ALTHING_* and leaves the rest alone", () => {
    const env = { ALTHING_ID: "3", ALTHING_INSECURE: "yes", ALTHING_NAME: "", ALTHING_ENDPOINTS: "a:1", PATH: "/bin" };
    expect(configFromEnvironment(env)).toEqual({ config: { id: 3, insecure: true }, mistyped: [] });
  });

  test("names what looks mistyped, and takes no offence at the variables of others", () => {
    const env = {
      ALTHING_LISTN: "a:1",
      ALTHING_SERVICE_HOST: "10.0.0.1",
      ALTHING_PORT_7400_TCP: "tcp://10.0.0.1:7400",
    };
    expect(configFromEnvironment(env)).toEqual({
      config: {},
      mistyped: [{ name: "ALTHING_LISTN", near: "ALTHING_LISTEN" }],
    });
  });

  test("a wrong value is an error", () => {
    expect(() => configFromEnvironment({ ALTHING_ID: "three" })).toThrow(/: ALTHING_ID: must be a whole number$/);
    expect(() => configFromEnvironment({ ALTHING_JOIN: "maybe" })).toThrow("ALTHING_JOIN: ");
  });
});

describe("readConfigFile()", () => {
  let folder = "";
  const put = async (name: string, text: string): Promise<string> => {
    const file = path.join(folder, name);
    await writeFile(file, text);
    return file;
  };
  beforeAll(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), "althing-config-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("reads JSON; the data folder is relative to the file", async () => {
    expect(await readConfigFile(await put("a.json", '{"id":2,"dir":"data"}'))).toEqual({
      id: 2,
      dir: path.join(folder, "data"),
    });
  });

  test("reads a module's config or default", async () => {
    expect(await readConfigFile(await put("a.mjs", "export const config = { id: 4 };"))).toEqual({ id: 4 });
    expect(await readConfigFile(await put("b.mjs", "export default { id: 5 };"))).toEqual({ id: 5 });
  });

  test.each([
    ["bad.json", "{", "it is not JSON"],
    ["bad.yaml", "id: 1", "neither .json, .ts nor .js"],
    ["none.mjs", "export const other = 1;", "neither config nor a default"],
    ["throws.mjs", "throw new Error('inside');", "inside"],
  ])("%s is a clear error", async (name, text, message) => {
    await expect(readConfigFile(await put(name, text))).rejects.toThrow(message);
  });

  test("a missing file is a clear error", async () => {
    await expect(readConfigFile(path.join(folder, "missing.json"))).rejects.toThrow("does not exist");
  });
});

describe("suggest()", () => {
  test("counts insertions, deletions, replacements and swaps", () => {
    expect(editDistance("abc", "abc")).toBe(0);
    expect(editDistance("abc", "acb")).toBe(1);
    expect(editDistance("", "abc")).toBe(3);
    expect(editDistance("kitten", "sitting")).toBe(3);
  });

  test("stays silent when nothing is near", () => {
    expect(suggest("banana", ["listen", "id"])).toBeUndefined();
  });
});
