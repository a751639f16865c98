import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseEndpoints, resolveEndpoints } from "./endpoints.ts";
import { type Profile, readProfile, writeProfile } from "./profile.ts";

describe("parseEndpoints()", () => {
  test("takes host:port, hosts, URLs and IPv6, and drops repetitions", () => {
    expect(parseEndpoints("127.0.0.1:7400, http://a:1 ,b,[::1]:80,a:1", "--endpoints")).toEqual([
      "http://127.0.0.1:7400",
      "http://a:1",
      "http://b:7400",
      "http://[::1]:80",
    ]);
  });

  test.each(["", " , ", "http://a:1/path", "ftp://a:1", "a:0", "http://user:secret@a:1", "a b"])(
    "refuses %j",
    (text) => {
      expect(() => parseEndpoints(text, "--endpoints")).toThrow(/^Cannot use/);
    },
  );
});

describe("resolveEndpoints()", () => {
  let root = "";
  const profile: Profile = { version: 1, consensus: "raft", endpoints: ["http://127.0.0.1:7777"], nodes: [] };
  beforeAll(async () => {
    root = await mkdtemp(path.join(os.tmpdir(), "althing-endpoints-"));
    await writeProfile(path.join(root, ".althing"), profile);
    await mkdir(path.join(root, "a", "b"), { recursive: true });
  });
  afterAll(() => rm(root, { recursive: true }));

  test("goes by flag, ALTHING_ENDPOINTS, ETCDCTL_ENDPOINTS, profile above, default", async () => {
    const below = path.join(root, "a", "b");
    const both = { ALTHING_ENDPOINTS: "a:1", ETCDCTL_ENDPOINTS: "b:2" };
    expect((await resolveEndpoints("c:3", both, below)).urls).toEqual(["http://c:3"]);
    expect((await resolveEndpoints(undefined, both, below)).urls).toEqual(["http://a:1"]);
    expect((await resolveEndpoints(undefined, { ETCDCTL_ENDPOINTS: "b:2" }, below)).urls).toEqual(["http://b:2"]);
    expect(await resolveEndpoints(undefined, {}, below)).toEqual({
      urls: ["http://127.0.0.1:7777"],
      source: "the profile",
    });
    expect((await resolveEndpoints(undefined, {}, os.tmpdir())).urls).toEqual(["http://127.0.0.1:7400"]);
  });

  test("a broken profile is an error that names the file", async () => {
    const folder = path.join(root, "broken");
    await mkdir(folder);
    await writeFile(path.join(folder, "cluster.json"), "{");
    await expect(readProfile(folder)).rejects.toThrow("it is not JSON");
    await writeFile(path.join(folder, "cluster.json"), '{"version":2}');
    await expect(readProfile(folder)).rejects.toThrow("version");
  });

  test("a profile that was written is read back", async () => {
    expect(await readProfile(path.join(root, ".althing"))).toEqual(profile);
  });
});
