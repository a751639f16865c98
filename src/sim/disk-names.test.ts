import { describe, expect, it } from "vitest";
import { Prng } from "../base/prng.ts";
import { DiskNames, normalPath } from "./disk-names.ts";

function make(): DiskNames<string> {
  const names = new DiskNames<string>();
  names.makeFolder("wal");
  names.syncDirectory("");
  return names;
}

function afterCrashes(prepare: () => DiskNames<string>, scattered: boolean): Set<string> {
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 100; seed++) {
    const names = prepare();
    names.crash(new Prng(seed), scattered);
    outcomes.add(
      [...names.files()]
        .map(([path, file]) => `${path}=${file}`)
        .sort()
        .join(" "),
    );
  }
  return outcomes;
}

describe("DiskNames", () => {
  it("keeps a created name after syncDirectory, and maybe without", () => {
    const outcomes = afterCrashes(() => {
      const names = make();
      names.createFile("wal/a", "A");
      names.syncDirectory("wal");
      names.createFile("wal/b", "B");
      return names;
    }, false);
    expect(outcomes).toEqual(new Set(["wal/a=A", "wal/a=A wal/b=B"]));
  });

  it("loses files whose folder was not made durable", () => {
    const outcomes = afterCrashes(() => {
      const names = new DiskNames<string>();
      names.makeFolder("x");
      names.createFile("x/a", "A");
      names.syncDirectory("x"); // the file's name is durable in a folder that is not
      return names;
    }, true);
    expect(outcomes).toEqual(new Set(["", "x/a=A"]));
  });

  it("M1: a rename leaves the old target or the new one", () => {
    for (const scattered of [false, true]) {
      const outcomes = afterCrashes(() => {
        const names = make();
        names.createFile("wal/a", "old");
        names.createFile("wal/b", "new");
        names.syncDirectory("wal");
        names.rename("wal/b", "wal/a");
        return names;
      }, scattered);
      expect(outcomes).toEqual(new Set(["wal/a=old wal/b=new", "wal/a=new"]));
    }
  });

  it("M2, M3: a prefix survives on a journal; scattered, any set that keeps each name's order", () => {
    const prepare = (): DiskNames<string> => {
      const names = make();
      names.createFile("wal/a", "A");
      names.createFile("wal/b", "B");
      names.remove("wal/a");
      return names;
    };
    expect(afterCrashes(prepare, false)).toEqual(new Set(["", "wal/a=A", "wal/a=A wal/b=B", "wal/b=B"]));
    const scattered = afterCrashes(prepare, true);
    expect(scattered).toEqual(new Set(["", "wal/a=A", "wal/b=B", "wal/a=A wal/b=B"]));
  });

  it("a removed and un-synced name may come back", () => {
    const outcomes = afterCrashes(() => {
      const names = make();
      names.createFile("wal/a", "A");
      names.syncDirectory("wal");
      names.remove("wal/a");
      return names;
    }, false);
    expect(outcomes).toEqual(new Set(["", "wal/a=A"]));
  });

  it("list() is sorted and shows one level", () => {
    const names = make();
    names.createFile("wal/b", "B");
    names.createFile("wal/a", "A");
    names.makeFolder("wal/deep/er");
    expect(names.list("wal")).toEqual(["a", "b", "deep"]);
    expect(names.list("")).toEqual(["wal"]);
    expect(names.list("nothing")).toEqual([]);
  });

  it("normalPath() keeps paths inside the data folder", () => {
    expect(normalPath("./a//b/")).toBe("a/b");
    expect(() => normalPath("a/../../b")).toThrow(/inside the data folder/);
  });
});
