/** Bugs of the write-ahead log: what is acknowledged, what is read back, what is given away, what passes for damage. */
import type { Mutant } from "./mutant.ts";

const wal = "src/storage/wal/wal.ts";
const recovery = "src/storage/wal/recovery.ts";
const found = "src/storage/wal/recovered-log.ts";
const files = "src/storage/wal/segment-files.ts";
const sticky = "src/storage/wal/sticky-table.ts";

export const walMutants: readonly Mutant[] = [
  {
    name: "acknowledged-without-a-sync",
    engine: "wal",
    invariant: "wal W4",
    edits: [
      {
        file: wal,
        find: "await file.write(encoded.buffers, segment.bytes);\n      await file.sync();",
        replace: "await file.write(encoded.buffers, segment.bytes);",
      },
    ],
    why: "what was acknowledged is in the page cache only",
  },
  {
    name: "synced-before-written",
    engine: "wal",
    invariant: "wal W4",
    edits: [
      {
        file: wal,
        find: "await file.write(encoded.buffers, segment.bytes);\n      await file.sync();",
        replace: "await file.sync();\n      await file.write(encoded.buffers, segment.bytes);",
      },
    ],
    why: "each batch becomes durable with the next one",
  },
  {
    name: "flush-does-not-wait-for-the-batch-under-way",
    engine: "wal",
    invariant: "wal W4",
    edits: [
      {
        file: wal,
        find: "return this.#writing?.done?.promise ?? Promise.resolve();",
        replace: "return Promise.resolve();",
      },
    ],
    why: "a flush that finds nothing new answers while what was appended before is still being written",
  },
  {
    name: "full-disk-acknowledged",
    engine: "wal",
    invariant: "wal W6",
    edits: [
      {
        file: wal,
        find: "this.#waitForSpace(batch);\n      return;",
        replace: "this.#room.full();\n      batch.done?.resolve();\n      return;",
      },
    ],
    why: "records for which there was no space are acknowledged",
  },
  {
    name: "batch-dropped-on-a-full-disk",
    engine: "wal",
    invariant: "wal W6",
    edits: [
      {
        file: wal,
        find: "batch.join(this.#gathering);\n    this.#gathering = batch;",
        replace: "this.#gathering.join(batch);",
      },
      {
        file: "src/storage/wal/batch.ts",
        find: 'const { done } = later;\n    if (done === undefined) return;\n    assert(this.done !== undefined, "an earlier batch was asked for before a later one");',
        replace:
          "const { done } = later;\n    if (done === undefined) return;\n    if (this.done === undefined) {\n      this.done = done;\n      return;\n    }",
      },
    ],
    why: "what waited for space is written behind what came later",
  },
  {
    name: "failed-sync-tried-again",
    engine: "wal",
    invariant: "wal W6",
    edits: [
      {
        file: wal,
        find: 'this.#writing = undefined;\n      if (!hasCode(error, "DISK_FULL")) {',
        replace:
          'this.#writing = undefined;\n      if (!hasCode(error, "DISK_FULL") && !hasCode(error, "DISK_FAILED")) {',
      },
    ],
    why: "a sync that succeeds after one that failed proves nothing (Rebello et al. 2020)",
  },
  {
    name: "failed-sync-ignored",
    engine: "wal",
    invariant: "wal W6",
    edits: [
      {
        file: wal,
        find: "await file.sync();\n      active.carried = true;",
        replace: "await file.sync().catch(() => undefined);\n      active.carried = true;",
      },
    ],
    why: "a batch whose sync failed is acknowledged",
  },
  {
    name: "body-checksum-not-looked-at",
    engine: "wal",
    invariant: "wal R1",
    edits: [
      {
        file: recovery,
        find: "bodySum(bytes, from, to, kernels) === header.bodyCrc;",
        replace: "bodySum(bytes, from, to, kernels) >= 0;",
      },
    ],
    why: "a record whose body rotted or never reached the disk is given back",
  },
  {
    name: "header-checksum-not-looked-at",
    engine: "wal",
    invariant: "wal W2",
    edits: [
      {
        file: "src/storage/wal/record-header.ts",
        find: "if (sumOf(source, at + 4, at + HEADER_BYTES, seedOf(segment)) !== view.getUint32(at, true)) return undefined;",
        replace: "if (sumOf(source, at + 4, at + HEADER_BYTES, seedOf(segment)) < 0) return undefined;",
      },
    ],
    why: "records of the segment's former life, and rotten ones, are read as they stand",
  },
  {
    name: "rotten-record-not-reported",
    engine: "wal",
    invariant: "wal R1",
    edits: [{ file: found, find: "this.#damageRecord(item);\n          break;", replace: "break;" }],
    why: "an acknowledged record that cannot be read is left out in silence",
  },
  {
    name: "missing-record-not-reported",
    engine: "wal",
    invariant: "wal R4",
    edits: [
      {
        file: found,
        find: 'case "hole":\n          this.#damageHole(item);',
        replace: 'case "hole":\n          break;',
      },
    ],
    why: "acknowledged records that are gone are not missed",
  },
  {
    name: "cut-at-the-first-bad-checksum",
    engine: "wal",
    invariant: "wal R2",
    edits: [
      {
        file: found,
        find: "if (durable <= this.#durable) return;\n    this.#durable = durable;",
        replace: "if (durable <= 0) return;",
      },
    ],
    why: "everything from the first record that cannot be read passes for a torn tail",
  },
  {
    name: "torn-tail-kept",
    engine: "wal",
    invariant: "wal R2",
    edits: [
      {
        file: found,
        find: "if (item.lsn >= cutLsn) {\n        torn.push(item);\n        continue;\n      }",
        replace: "if (item.lsn >= cutLsn) torn.push(item);",
      },
      {
        file: found,
        find: 'assert(item.type === "record", "R2: everything above the watermark and below the cut can be read", item.lsn);',
        replace: "",
      },
    ],
    why: "records of a batch that was torn in two are given back",
  },
  {
    name: "torn-tail-left-on-the-disk",
    engine: "wal",
    invariant: "wal R2",
    edits: [{ file: recovery, find: "await file.write([new Uint8Array(last.end - from)], from);", replace: "" }],
    why: "records that were cut off come back at the start after the next",
  },
  {
    name: "undecided-records-not-made-durable",
    engine: "wal",
    invariant: "wal R2",
    edits: [
      {
        file: recovery,
        find: "tornBytes += last.end - from;\n      }\n      await file.sync();",
        replace: "tornBytes += last.end - from;\n      }",
      },
    ],
    why: "what the page cache held at the start is handed out, and a crash takes it back",
  },
  {
    name: "attempt-on-a-full-disk-read-back",
    engine: "wal",
    invariant: "wal R5",
    edits: [
      {
        file: found,
        find: "if (header.batch > this.#lastBatch && lsn <= this.#lastLsn && lsn > header.durable)",
        replace: "if (header.batch > this.#lastBatch && lsn <= this.#lastLsn && lsn > header.durable && lsn < 0)",
      },
    ],
    why: "leftovers of an attempt that found no space stand in the way of the batch that followed",
  },
  {
    name: "segment-given-away-untrimmed",
    engine: "wal",
    invariant: "wal W5",
    edits: [
      {
        file: "src/storage/wal/segment.ts",
        find: "if (trim === undefined || trim < highest) return false;",
        replace: "if (trim === undefined || highest < 0) return false;",
      },
    ],
    why: "a segment is reused while entries in it are still needed",
  },
  {
    name: "sticky-records-not-carried",
    engine: "wal",
    invariant: "wal W5",
    edits: [
      {
        file: wal,
        find: "const carried = active.carried ? [] : this.#sticky.carried();",
        replace: "const carried = active.carried ? [] : this.#sticky.carried().slice(0, 0);",
      },
    ],
    why: "votes go with the segment that they stand in",
  },
  {
    name: "oldest-sticky-record-carried",
    engine: "wal",
    invariant: "wal W5",
    edits: [
      {
        file: sticky,
        find: "kinds.delete(record.kind); // a map keeps the order of insertion: that of the log",
        replace: 'if (kinds.get(record.kind)?.type === "intact") return;',
      },
    ],
    why: "a newer vote is forgotten in favour of an older one",
  },
  {
    name: "segment-given-away-before-the-copy-is-durable",
    engine: "wal",
    invariant: "wal W5",
    edits: [
      {
        file: wal,
        find: "oldest === undefined || active === undefined || oldest === active.segment || !active.carried",
        replace: "oldest === undefined || active === undefined || oldest === active.segment",
      },
    ],
    why: "the old segment goes while the copy of its votes is still being written",
  },
  {
    name: "watermark-ahead-of-the-disk",
    engine: "wal",
    invariant: "wal W1",
    edits: [
      {
        file: wal,
        find: "durable: this.#nextLsn - 1,\n        batch: ++this.#batch,",
        replace: "durable: this.#nextLsn - 1 + (to - from),\n        batch: ++this.#batch,",
      },
    ],
    why: "a header vouches for its own batch, so that a torn one passes for damage",
  },
  {
    name: "batches-share-a-sector",
    engine: "wal",
    invariant: "wal W3",
    edits: [
      {
        file: "src/storage/wal/batch.ts",
        find: "this.#zeroes(alignUp(this.#bytes, SECTOR_BYTES) - this.#bytes);",
        replace: "this.#zeroes(alignUp(this.#bytes, 8) - this.#bytes);",
      },
    ],
    why: "a write that is torn takes acknowledged bytes of the batch before with it",
  },
  {
    name: "note-not-written",
    engine: "wal",
    invariant: "wal W4",
    edits: [
      { file: wal, find: "this.#noteDue = true;\n      this.#start();", replace: "this.#noteDue = this.#batch < 0;" },
    ],
    why: "a log at rest never says that its last batch is durable, so that its damage passes for a torn tail",
  },
  {
    name: "note-not-synced",
    engine: "wal",
    invariant: "wal W4",
    edits: [
      {
        file: wal,
        find: ".then(() => file.sync())\n          .catch",
        replace: ".then(() => void file.path)\n          .catch",
      },
    ],
    why: "what the note says is lost in the crash that it is for",
  },
  {
    name: "log-numbers-skip-what-was-cut",
    engine: "wal",
    invariant: "wal W2",
    edits: [
      {
        file: found,
        find: "nextLsn: Math.min(Math.max(this.#lastLsn, this.#durable) + 1, cutLsn),",
        replace: "nextLsn: Math.max(this.#lastLsn, this.#durable) + 1 + 0 * Math.min(cutLsn, 1),",
      },
    ],
    why: "after a torn tail there is a gap in the numbers, which the next start takes for damage",
  },
  {
    name: "segment-name-not-synced",
    engine: "wal",
    invariant: "wal F1",
    edits: [
      {
        file: files,
        find: "await this.#disk.syncDirectory(this.#folder);\n    this.#highest = number;",
        replace: "this.#highest = number;",
      },
    ],
    why: "a segment with acknowledged records is gone after a crash, because its name was not durable",
  },
  {
    name: "segment-length-not-synced",
    engine: "wal",
    invariant: "wal F2",
    edits: [
      {
        file: files,
        find: "await file.sync();\n      await file.close();\n    } catch (error) {",
        replace: "await file.close();\n    } catch (error) {",
      },
    ],
    why: "a file is shorter after a crash than its head says, which passes for damage",
  },
  {
    name: "newer-record-above-does-not-replace",
    engine: "wal",
    invariant: "wal R5",
    edits: [
      {
        file: found,
        find: "if (this.#batchEnded && header.batch === this.#lastBatch) return false; // R5",
        replace: "",
      },
      {
        file: found,
        find: "if (lsn <= this.#lastLsn || header.batch < this.#lastBatch) return false; // R5",
        replace: "if (lsn <= this.#lastLsn) return false;",
      },
    ],
    why: "leftovers of older batches behind the end of the log are taken for its continuation",
  },
  {
    name: "older-slot-passes-for-the-newest",
    engine: "wal",
    invariant: "wal R1",
    edits: [
      {
        file: found,
        find: "if (damage.record?.group === group && isSlot(damage.record.kind)) later.add(damage.record.index);",
        replace: "void [damage, later];",
      },
    ],
    why: "a slot whose newest record is damaged gives back what was accepted before",
  },
];
