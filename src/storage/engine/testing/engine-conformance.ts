/**
 * What every engine must do, as cases that any test runner can run: against a naive sorted list under fast-check, and scene
 * by scene. Each case gets an opener over an empty data folder of its own. Faults of disks are not here: they depend on the
 * implementation.
 */
import fc from "fast-check";
import { assert } from "../../../base/assert.ts";
import { compareBytes, equalBytes, utf8 } from "../../../base/bytes.ts";
import type { Engine, EngineOpener, EngineRange, EngineReader, EngineWrite } from "../engine.ts";

export interface EngineCase {
  readonly name: string;
  run(opener: EngineOpener): Promise<void>;
}

type Row = readonly [key: Uint8Array, value: Uint8Array];

/** Short keys over few bytes, so that they meet: with zeroes, high bytes, prefixes of each other, and a long one. */
const keyArbitrary: fc.Arbitrary<Uint8Array> = fc
  .oneof(
    { weight: 10, arbitrary: fc.array(fc.constantFrom(0, 1, 127, 128, 255), { minLength: 1, maxLength: 3 }) },
    { weight: 1, arbitrary: fc.integer({ min: 1_890, max: 1_900 }).map((length) => Array<number>(length).fill(7)) },
  )
  .map((bytes) => Uint8Array.from(bytes));

const boundArbitrary: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 4, arbitrary: keyArbitrary },
  { weight: 1, arbitrary: fc.constant(new Uint8Array(0)) },
);

const writeArbitrary: fc.Arbitrary<EngineWrite> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(keyArbitrary, fc.uint8Array({ maxLength: 20 }))
      .map(([key, value]): EngineWrite => ({ type: "put", key, value })),
  },
  { weight: 3, arbitrary: keyArbitrary.map((key): EngineWrite => ({ type: "delete", key })) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(boundArbitrary, boundArbitrary)
      .map(([from, to]): EngineWrite => ({ type: "delete-range", from, to })),
  },
);

const rangeArbitrary: fc.Arbitrary<EngineRange> = fc
  .tuple(boundArbitrary, fc.option(boundArbitrary, { nil: undefined }), fc.boolean(), fc.integer({ min: 0, max: 6 }))
  .map(([from, to, reverse, limit]) => ({ from, to, reverse, ...(limit > 0 ? { limit: limit - 1 } : {}) }));

type Step =
  | { readonly type: "write"; readonly writes: readonly EngineWrite[] }
  | { readonly type: "range"; readonly range: EngineRange }
  | { readonly type: "get"; readonly key: Uint8Array }
  | { readonly type: "snapshot" }
  | { readonly type: "reopen" };

const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.array(writeArbitrary, { maxLength: 12 }).map((writes): Step => ({ type: "write", writes })),
  },
  { weight: 4, arbitrary: rangeArbitrary.map((range): Step => ({ type: "range", range })) },
  { weight: 3, arbitrary: keyArbitrary.map((key): Step => ({ type: "get", key })) },
  { weight: 1, arbitrary: fc.constant<Step>({ type: "snapshot" }) },
  { weight: 1, arbitrary: fc.constant<Step>({ type: "reopen" }) },
);

/** The naive twin: a list, sorted after every write. */
class SortedList {
  rows: readonly Row[] = [];

  write(writes: readonly EngineWrite[]): void {
    for (const write of writes) {
      switch (write.type) {
        case "put":
          this.rows = [...this.rows.filter(([key]) => !equalBytes(key, write.key)), [write.key, write.value] as const];
          break;
        case "delete":
          this.rows = this.rows.filter(([key]) => !equalBytes(key, write.key));
          break;
        case "delete-range":
          this.rows = this.rows.filter(
            ([key]) => compareBytes(key, write.from) < 0 || compareBytes(key, write.to) >= 0,
          );
      }
    }
    this.rows = [...this.rows].sort(([a], [b]) => compareBytes(a, b));
  }

  range({ from, to, reverse, limit }: EngineRange): readonly Row[] {
    const rows = this.rows.filter(
      ([key]) => compareBytes(key, from) >= 0 && (to === undefined || compareBytes(key, to) < 0),
    );
    if (reverse === true) rows.reverse();
    return limit === undefined ? rows : rows.slice(0, limit);
  }
}

const ALL: EngineRange = { from: new Uint8Array(0), to: undefined };

function sameRows(found: Iterable<Row>, wanted: readonly Row[], what: string): void {
  const rows = [...found];
  assert(
    rows.length === wanted.length &&
      rows.every(([key, value], i) => {
        const row = wanted[i];
        return row !== undefined && equalBytes(key, row[0]) && equalBytes(value, row[1]);
      }),
    what,
    { found: rows.map(([key]) => [...key]), wanted: wanted.map(([key]) => [...key]) },
  );
}

function sameValue(reader: EngineReader, key: Uint8Array, list: readonly Row[]): void {
  const found = reader.get(key);
  const wanted = list.find(([k]) => equalBytes(k, key))?.[1];
  assert(
    found === undefined ? wanted === undefined : wanted !== undefined && equalBytes(found, wanted),
    "get gives the newest value",
    { key: [...key] },
  );
}

const put = (key: string, value: string | Uint8Array): EngineWrite => ({
  type: "put",
  key: utf8(key),
  value: typeof value === "string" ? utf8(value) : value,
});

let folders = 0;

async function withEngine(
  opener: EngineOpener,
  work: (engine: Engine, folder: string) => Promise<void>,
): Promise<void> {
  const folder = `engine-${++folders}`;
  const engine = await opener.open(folder);
  await work(engine, folder);
}

export const engineCases: readonly EngineCase[] = [
  {
    name: "does what a sorted list does: batches, ranges, snapshots, reopening",
    run: async (opener) => {
      await fc.assert(
        fc.asyncProperty(fc.array(stepArbitrary, { minLength: 1, maxLength: 30 }), async (steps) => {
          const folder = `engine-${++folders}`;
          let engine = await opener.open(folder);
          const list = new SortedList();
          const snapshots: { readonly reader: ReturnType<Engine["snapshot"]>; readonly rows: readonly Row[] }[] = [];
          const endSnapshots = (): void => {
            for (const { reader, rows } of snapshots.splice(0)) {
              sameRows(reader.range(ALL), rows, "a snapshot stays as it was");
              for (const [key] of rows) sameValue(reader, key, rows);
              reader.close();
            }
          };
          for (const step of steps) {
            switch (step.type) {
              case "write":
                await engine.write(step.writes);
                list.write(step.writes);
                break;
              case "range":
                sameRows(engine.range(step.range), list.range(step.range), "a range is that of the list");
                break;
              case "get":
                sameValue(engine, step.key, list.rows);
                break;
              case "snapshot":
                snapshots.push({ reader: engine.snapshot(), rows: list.rows });
                break;
              case "reopen":
                endSnapshots();
                await engine.close();
                engine = await opener.open(folder);
            }
          }
          endSnapshots();
          sameRows(engine.range(ALL), list.rows, "all rows at the end");
          await engine.close();
          engine = await opener.open(folder);
          sameRows(engine.range(ALL), list.rows, "all rows after a restart");
          await engine.close();
          await opener.discard(folder);
        }),
        { numRuns: 60, seed: 7 },
      );
    },
  },
  {
    name: "keeps many rows in order through splits, overwrites and removals",
    run: (opener) =>
      withEngine(opener, async (engine) => {
        const list = new SortedList();
        const rows: EngineWrite[] = [];
        for (let i = 0; i < 3_000; i++)
          rows.push(put(`row/${((i * 7_919) % 3_000).toString().padStart(5, "0")}`, `${i}`));
        const narrow: EngineWrite = { type: "delete-range", from: utf8("row/00700"), to: utf8("row/02100") };
        const batches = [rows.slice(0, 1_500), rows.slice(1_500), [narrow], [put("row/01000", "back")]];
        for (const batch of batches) {
          await engine.write(batch);
          if (batch.length < 10) list.write(batch);
          else {
            list.rows = [...list.rows, ...batch.flatMap((w) => (w.type === "put" ? [[w.key, w.value] as const] : []))];
            list.write([]);
          }
          sameRows(engine.range(ALL), list.rows, "all rows");
          const part = { from: utf8("row/00650"), to: utf8("row/02200"), reverse: true, limit: 100 };
          sameRows(engine.range(part), list.range(part), "a part, backwards");
        }
        await engine.close();
      }),
  },
  {
    name: "hands out bytes that belong to the caller, and keeps none of the caller's",
    run: (opener) =>
      withEngine(opener, async (engine) => {
        const key = utf8("key");
        const value = utf8("value");
        await engine.write([{ type: "put", key, value }]);
        key.fill(0);
        value.fill(0);
        engine.get(utf8("key"))?.fill(1);
        for (const [k, v] of engine.range(ALL)) {
          k.fill(2);
          v.fill(2);
        }
        sameRows(engine.range(ALL), [[utf8("key"), utf8("value")]], "the row is untouched");
        await engine.close();
      }),
  },
  {
    name: "shows a write to readers and later snapshots once it is done, and to earlier snapshots never",
    run: (opener) =>
      withEngine(opener, async (engine) => {
        await engine.write([put("a", "1")]);
        const before = engine.snapshot();
        await engine.write([put("a", "2"), put("b", "2")]);
        const after = engine.snapshot();
        await engine.write([{ type: "delete-range", from: utf8("a"), to: utf8("z") }]);
        sameRows(before.range(ALL), [[utf8("a"), utf8("1")]], "before");
        sameRows(
          after.range(ALL),
          [
            [utf8("a"), utf8("2")],
            [utf8("b"), utf8("2")],
          ],
          "after",
        );
        sameRows(engine.range(ALL), [], "now");
        before.close();
        after.close();
        await engine.close();
      }),
  },
  {
    name: "carries out the writes of a batch in order",
    run: (opener) =>
      withEngine(opener, async (engine) => {
        await engine.write([
          put("a", "1"),
          put("a", "2"),
          { type: "delete-range", from: utf8("a"), to: utf8("b") },
          put("a", "3"),
          put("b", "1"),
          { type: "delete", key: utf8("b") },
        ]);
        sameRows(engine.range(ALL), [[utf8("a"), utf8("3")]], "the last one counts");
        await engine.close();
      }),
  },
  {
    name: "keeps empty and large values",
    run: (opener) =>
      withEngine(opener, async (engine, folder) => {
        const large = new Uint8Array(2_000_000).map((_, i) => (i * 31) & 0xff);
        await engine.write([put("empty", ""), put("large", large)]);
        await engine.close();
        const again = await opener.open(folder);
        assert(again.get(utf8("empty"))?.length === 0, "an empty value is not a missing one");
        assert(equalBytes(again.get(utf8("large")) ?? new Uint8Array(0), large), "a large value is whole");
        assert(again.size().fileBytes >= large.length && again.size().usedBytes >= large.length, "its size counts");
        assert(again.size().usedBytes <= again.size().fileBytes, "no more is used than there is");
        await again.close();
      }),
  },
  {
    name: "keeps engines in different folders apart, and is empty after discard",
    run: (opener) =>
      withEngine(opener, async (engine, folder) => {
        const other = await opener.open(`${folder}-other`);
        await engine.write([put("a", "1")]);
        await other.write([put("a", "2")]);
        await engine.close();
        await opener.discard(folder);
        const again = await opener.open(folder);
        sameRows(again.range(ALL), [], "nothing is left");
        sameRows(other.range(ALL), [[utf8("a"), utf8("2")]], "the other one is untouched");
        await again.close();
        await other.close();
      }),
  },
];
