/** Whose a data folder is. Crashes between its writes are the simulator's part. */
import { describe, expect, test } from "vitest";
import { FakeDisk, fakeRandom } from "../../test/sim/lib/fake-ports.ts";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { AlthingError } from "../base/errors.ts";
import { type Identity, markJoined, openDataFolder, renewIncarnation } from "./data-folder.ts";

const owner = { nodeId: 3, cluster: "blue", consensus: "raft" } as const;

function open(
  disk: FakeDisk,
  seed = 1,
  who: Parameters<typeof openDataFolder>[1] = owner,
): Promise<{ readonly identity: Identity }> {
  return openDataFolder({ disk, random: fakeRandom(seed) }, who);
}

const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "opened",
    (error: unknown) => (error instanceof AlthingError ? error.code : String(error)),
  );

describe("openDataFolder()", () => {
  test("gives a new folder an identity and keeps it", async () => {
    const disk = new FakeDisk();
    const { identity } = await open(disk);
    expect(identity).toMatchObject({ ...owner, joined: false });
    expect((await open(disk, 2)).identity).toEqual(identity);
    expect((await open(new FakeDisk(), 2)).identity.incarnation).not.toBe(identity.incarnation);
    expect(disk.opened.size).toBe(0);
  });

  test("refuses the folder of another node or cluster", async () => {
    const disk = new FakeDisk();
    await open(disk);
    expect(await code(open(disk, 1, { ...owner, nodeId: 4 }))).toBe("DATA_FOREIGN");
    expect(await code(open(disk, 1, { ...owner, cluster: "red" }))).toBe("DATA_FOREIGN");
  });

  test("refuses the log of another engine, and changes nothing", async () => {
    for (const [first, second] of [
      ["raft", "paxos"],
      ["paxos", "raft"],
    ] as const) {
      const disk = new FakeDisk();
      await open(disk, 1, { ...owner, consensus: first });
      const before = fromUtf8(disk.files.get("identity") ?? new Uint8Array(0));
      const refused = open(disk, 1, { ...owner, consensus: second });
      await expect(refused).rejects.toMatchObject({
        code: "DATA_FOREIGN",
        message: expect.stringContaining(`by ${first}`),
      });
      expect(fromUtf8(disk.files.get("identity") ?? new Uint8Array(0))).toBe(before);
    }
  });

  test("takes a folder of the time when there was only Raft for Raft's", async () => {
    const disk = new FakeDisk();
    await open(disk);
    const text = fromUtf8(disk.files.get("identity") ?? new Uint8Array(0));
    disk.files.set("identity", utf8(text.replace(/\n *"consensus": "raft",/, "")));
    expect((await open(disk)).identity.consensus).toBe("raft");
    expect(await code(open(disk, 1, { ...owner, consensus: "paxos" }))).toBe("DATA_FOREIGN");
    disk.files.set("identity", utf8(text.replace('"raft"', '"zab"')));
    expect(await code(open(disk))).toBe("DATA_NEWER");
  });

  test("refuses what it cannot read, and a newer format by name", async () => {
    const disk = new FakeDisk();
    await open(disk);
    const whole = disk.files.get("identity") ?? new Uint8Array(0);
    for (let length = 0; length < whole.length - 1; length++) {
      disk.files.set("identity", whole.slice(0, length)); // the last byte is the end of the line
      expect(await code(open(disk))).toBe("DATA_CORRUPT");
    }
    for (const text of ["null", "[]", '{"format":1}', '{"format":0,"nodeId":3,"cluster":"blue","incarnation":5}']) {
      disk.files.set("identity", utf8(text));
      expect(await code(open(disk))).toBe("DATA_CORRUPT");
    }
    disk.files.set("identity", utf8(fromUtf8(whole).replace('"format": 1', '"format": 2')));
    expect(await code(open(disk))).toBe("DATA_NEWER");
  });

  test("an identity that found no space is no identity", async () => {
    const disk = new FakeDisk();
    disk.roomBytes = 10;
    expect(await code(open(disk))).toBe("DISK_FULL");
    disk.roomBytes = 10_000;
    expect((await open(disk)).identity.joined).toBe(false);
  });
});

test("markJoined() and renewIncarnation() change one thing each, durably (F1)", async () => {
  const disk = new FakeDisk();
  const { identity } = await open(disk);
  const joined = await markJoined(disk, identity);
  expect(joined).toEqual({ ...identity, joined: true });
  const renewed = await renewIncarnation({ disk, random: fakeRandom(9) }, joined);
  expect(renewed.incarnation).not.toBe(joined.incarnation);
  expect((await open(disk)).identity).toEqual({ ...joined, incarnation: renewed.incarnation });
});
