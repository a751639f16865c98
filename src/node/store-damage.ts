/**
 * What becomes of a node whose copy of the store is found damaged while it runs (ADR 9): it says so, leaves a mark in its
 * folder, and ends. The next start throws the marked engine away and takes a copy from the peers; a node that has none
 * refuses to start, and leaves everything as it is.
 *
 * K1. An engine that was found damaged is never read again: the mark is durable before the node ends by itself, and goes only
 *     after the engine has gone. If the disk does not take the mark, the check at the next opening is all there is.
 */
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { Deferred } from "../base/deferred.ts";
import { AlthingError } from "../base/errors.ts";
import type { Store } from "../coordination/store.ts";
import type { Disk } from "../ports/disk.ts";
import type { Ports } from "../ports/ports.ts";

/** In the folder of the group, beside the engine's. Two lines: `alone` or `copies`, and the reason. */
const MARK = "damaged";
const MARK_BYTES_MAX = 4_096;
const WHY_LENGTH_MAX = 1_000;
/** For telling the cluster: without a leader that may take for ever. */
const TELL_MS = 1_000;

export interface DamageKeeperOptions {
  readonly store: Store;
  /** Of the group: where the mark goes. */
  readonly folder: string;
  /** There is no other copy in the cluster. */
  readonly isAlone: () => boolean;
  /** Tells the cluster; resolves also if that fails. */
  readonly tell: () => Promise<void>;
  /** Ends the node. */
  readonly fail: (error: AlthingError) => void;
}

export class DamageKeeper {
  readonly #ports: Pick<Ports, "clock" | "disk" | "observer">;
  readonly #options: DamageKeeperOptions;
  readonly #stopListening: () => void;
  /** Set once the damage is known here. */
  #marking: Promise<void> | undefined;
  readonly #closing = new Deferred<void>();
  #isClosed = false;

  constructor(ports: Pick<Ports, "clock" | "disk" | "observer">, options: DamageKeeperOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#stopListening = options.store.listen({
      published: () => undefined,
      replaced: () => undefined,
      damaged: (error) => this.#damaged(error),
    });
  }

  /** K1: a node that ends for whatever reason waits for the mark. */
  async close(): Promise<void> {
    this.#stopListening();
    this.#isClosed = true;
    this.#closing.resolve();
    const { damage } = this.#options.store;
    if (damage !== undefined) this.#damaged(damage); // perhaps found in this very turn
    await this.#marking;
  }

  #damaged(error: AlthingError): void {
    if (this.#marking !== undefined) return;
    const { what, key } = error.details;
    const isAlone = this.#options.isAlone();
    this.#ports.observer.observe({ type: "store-damaged", level: "error", why: error.message, what, key });
    this.#marking = this.#mark(error.message, isAlone);
    void this.#end(error, isAlone, this.#marking);
  }

  async #mark(why: string, isAlone: boolean): Promise<void> {
    try {
      await writeMark(
        this.#ports.disk,
        this.#options.folder,
        `${isAlone ? "alone" : "copies"}\n${why.slice(0, WHY_LENGTH_MAX)}\n`,
      );
    } catch (error) {
      if (!(error instanceof AlthingError)) throw error;
      this.#ports.observer.observe({ type: "damage-mark-failed", level: "error", why: error.message });
    }
  }

  async #end(damage: AlthingError, isAlone: boolean, marking: Promise<void>): Promise<void> {
    const { tell, fail } = this.#options;
    const late = new Deferred<void>();
    const timer = this.#ports.clock.timer(TELL_MS, () => late.resolve());
    if (!isAlone) await Promise.race([tell(), late.promise, this.#closing.promise]);
    timer.cancel();
    await marking;
    if (this.#isClosed) return; // it ends already
    const next = isAlone ? NO_OTHER_COPY : "started again, the node takes a copy of the store from its peers";
    fail(
      new AlthingError("DATA_CORRUPT", `Cannot go on: the store is damaged (${damage.message}); ${next}`, {
        details: damage.details,
        cause: damage,
      }),
    );
  }
}

const NO_OTHER_COPY = "there is no other copy of the store: restore from a backup";

/** What the opening of a damaged store fails with on a node that has no peers. */
export function noOtherCopy(damage: AlthingError): AlthingError {
  return new AlthingError("DATA_CORRUPT", `${damage.message}; ${NO_OTHER_COPY}`, {
    details: damage.details,
    cause: damage,
  });
}

export interface DamageMark {
  /** Why the engine beside the mark must not be used any more. */
  readonly damage: AlthingError;
  /** When it was found, the node had no other voter beside it. */
  readonly wasAlone: boolean;
}

/** Undefined if there is no mark. */
export async function readDamageMark(disk: Disk, folder: string): Promise<DamageMark | undefined> {
  const file = await disk.open(`${folder}/${MARK}`, { create: false });
  if (file === undefined) return undefined;
  try {
    const bytes = new Uint8Array(Math.min(await file.length(), MARK_BYTES_MAX));
    await file.read(bytes, 0);
    const [company = "", why = ""] = fromUtf8(bytes).split("\n");
    const damage = new AlthingError(
      "DATA_CORRUPT",
      `Cannot open the store in ${folder}: it was found damaged while the node ran (${why})`,
      { details: { folder } },
    );
    return { damage, wasAlone: company !== "copies" };
  } finally {
    await file.close();
  }
}

/** K1. To be called when the engine has gone. */
export async function removeDamageMark(disk: Disk, folder: string): Promise<void> {
  await disk.syncDirectory(folder);
  await disk.remove(`${folder}/${MARK}`);
  await disk.syncDirectory(folder);
}

async function writeMark(disk: Disk, folder: string, text: string): Promise<void> {
  const path = `${folder}/${MARK}`;
  const aside = `${path}.new`;
  const file = await disk.open(aside, { create: true });
  if (file === undefined) throw new AlthingError("DISK_FAILED", `Cannot create ${aside}`);
  try {
    await file.truncate(0);
    await file.write([utf8(text)], 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(aside, path);
  await disk.syncDirectory(folder);
}
