/**
 * The node's data folder: whose it is, and that one process holds it.
 * Layout  `lock`; `identity` (JSON, this file); `wal/`; `meta/` (the meta group's engine and snapshots).
 *
 * F1. A folder that lost its log, or such a part of it that nobody can tell what was there, gets a new incarnation and does not
 *     count itself among the founders any more: it could otherwise vote a second time under its old id (dragonboat#369).
 *     Its new number is odd (`isReplacement`): others do not count it before a configuration names it.
 */
import { AlthingError } from "../base/errors.ts";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { type Incarnation, incarnation } from "../base/ids.ts";
import { type ConsensusEngine, consensusEngines } from "../config/node-config.ts";
import type { Disk, DiskLock } from "../ports/disk.ts";
import type { Random } from "../ports/random.ts";

const FORMAT = 1;
const FILE = "identity";
const FILE_BYTES_MAX = 64 * 1024;

export interface Identity {
  readonly nodeId: number;
  readonly cluster: string;
  /** Whose records the log holds. Folders of the time when there was only Raft do not say so. */
  readonly consensus: ConsensusEngine;
  readonly incarnation: Incarnation;
  /** The node has seen something committed: from then on an empty log is a loss, not a fresh start. */
  readonly joined: boolean;
}

/** Locks the folder and reads or writes its identity. Fails with DATA_LOCKED, DATA_NEWER, DATA_FOREIGN, DATA_CORRUPT. */
export async function openDataFolder(
  ports: { readonly disk: Disk; readonly random: Random },
  owner: Pick<Identity, "nodeId" | "cluster" | "consensus">,
): Promise<{ readonly identity: Identity; readonly lock: DiskLock }> {
  const lock = await ports.disk.lock("lock");
  try {
    const stored = await readIdentity(ports.disk);
    if (stored !== undefined) {
      if (stored.nodeId !== owner.nodeId || stored.cluster !== owner.cluster) {
        throw new AlthingError(
          "DATA_FOREIGN",
          `Cannot use the data folder: it belongs to node ${stored.nodeId} of cluster "${stored.cluster}", ` +
            `not to node ${owner.nodeId} of "${owner.cluster}"; choose another folder or the matching id and cluster`,
        );
      }
      if (stored.consensus !== owner.consensus) {
        throw new AlthingError(
          "DATA_FOREIGN",
          `Cannot use the data folder: its log was written by ${stored.consensus}, and this node is to run ${owner.consensus}; ` +
            `set consensus to ${stored.consensus}, or choose another folder`,
        );
      }
      return { identity: stored, lock };
    }
    const identity: Identity = {
      ...owner,
      incarnation: incarnation(2 + 2 * ports.random.below(0x7fff_ffff_fffe)),
      joined: false,
    };
    await writeIdentity(ports.disk, identity);
    return { identity, lock };
  } catch (error) {
    await lock.close().catch(() => undefined); // why opening failed says more
    throw error;
  }
}

/** The log is gone although the node was a member: it is another disk from now on, and its number says so (F1). */
export async function renewIncarnation(
  ports: { readonly disk: Disk; readonly random: Random },
  identity: Identity,
): Promise<Identity> {
  const renewed: Identity = { ...identity, incarnation: incarnation(3 + 2 * ports.random.below(0x7fff_ffff_fffe)) };
  await writeIdentity(ports.disk, renewed);
  return renewed;
}

export async function markJoined(disk: Disk, identity: Identity): Promise<Identity> {
  const joined: Identity = { ...identity, joined: true };
  await writeIdentity(disk, joined);
  return joined;
}

async function readIdentity(disk: Disk): Promise<Identity | undefined> {
  const file = await disk.open(FILE, { create: false });
  if (file === undefined) return undefined;
  try {
    const bytes = new Uint8Array(Math.min(await file.length(), FILE_BYTES_MAX));
    await file.read(bytes, 0);
    return parseIdentity(fromUtf8(bytes));
  } finally {
    await file.close();
  }
}

function parseIdentity(text: string): Identity {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AlthingError("DATA_CORRUPT", "Cannot read the data folder: its identity file is not JSON", { cause });
  }
  const field = (name: string): unknown =>
    typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
  const format = field("format");
  if (typeof format === "number" && format > FORMAT) {
    throw new AlthingError(
      "DATA_NEWER",
      `Cannot use the data folder: format ${format} was written by a newer version, this one knows ${FORMAT}; start the newer version`,
    );
  }
  const id = field("nodeId");
  const cluster = field("cluster");
  const data = field("incarnation");
  if (format !== FORMAT || typeof id !== "number" || typeof cluster !== "string" || typeof data !== "number") {
    throw new AlthingError("DATA_CORRUPT", "Cannot read the data folder: its identity file lacks a field");
  }
  const consensus = consensusEngines.find((engine) => engine === (field("consensus") ?? "raft"));
  if (consensus === undefined) {
    throw new AlthingError(
      "DATA_NEWER",
      "Cannot use the data folder: its log was written by a consensus engine that this version does not know; start the newer version",
    );
  }
  return { nodeId: id, cluster, consensus, incarnation: incarnation(data), joined: field("joined") === true };
}

async function writeIdentity(disk: Disk, identity: Identity): Promise<void> {
  const { nodeId, cluster, consensus, incarnation: data, joined } = identity;
  const aside = `${FILE}.new`;
  const file = await disk.open(aside, { create: true });
  if (file === undefined) throw new AlthingError("DISK_FAILED", `Cannot create ${aside}`);
  try {
    await file.truncate(0);
    const text = `${JSON.stringify({ format: FORMAT, nodeId, cluster, consensus, incarnation: data, joined }, null, 2)}\n`;
    await file.write([utf8(text)], 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await disk.rename(aside, FILE);
  await disk.syncDirectory("");
}
