/**
 * The profile: a small file that `althing dev` leaves in its data folder, so that the other commands, run anywhere below
 * the project, find the cluster without a flag. It is also what a later `dev` in the same folder starts from.
 */
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import * as v from "valibot";
import { CliFailure, hasErrno } from "./failure.ts";

export const DEFAULT_FOLDER = ".althing";
export const PROFILE_FILE = "cluster.json";

export interface ProfileNode {
  readonly id: number;
  readonly name: string;
  /** The public port on 127.0.0.1. */
  readonly port: number;
  readonly peerPort: number;
  /** Relative to the folder of the profile. */
  readonly dir: string;
}

export interface Profile {
  readonly version: 1;
  readonly consensus: string;
  /** The cluster's name, where it is not the usual one. */
  readonly cluster?: string;
  readonly endpoints: readonly string[];
  readonly nodes: readonly ProfileNode[];
}

const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));

const schema: v.GenericSchema<unknown, Profile> = v.object({
  version: v.literal(1),
  consensus: v.string(),
  cluster: v.exactOptional(v.pipe(v.string(), v.nonEmpty())),
  endpoints: v.array(v.string()),
  nodes: v.array(
    v.object({
      id: v.pipe(v.number(), v.integer(), v.minValue(1)),
      name: v.string(),
      port,
      peerPort: port,
      dir: v.string(),
    }),
  ),
});

/** The profile in a data folder; undefined if there is none. Fails if the file is there and is no profile. */
export async function readProfile(folder: string): Promise<Profile | undefined> {
  const file = path.join(folder, PROFILE_FILE);
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (hasErrno(error) && (error.code === "ENOENT" || error.code === "ENOTDIR")) return undefined;
    throw error;
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw new CliFailure("usage", `Cannot read ${file}: it is not JSON`, { cause: error });
  }
  const parsed = v.safeParse(schema, content);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw new CliFailure("usage", `Cannot read ${file}: ${v.getDotPath(issue) ?? "content"}: ${issue.message}`);
  }
  return parsed.output;
}

/** Replaces the profile in one step, so that a reader never sees half a file. */
export async function writeProfile(folder: string, profile: Profile): Promise<void> {
  await mkdir(folder, { recursive: true });
  const file = path.join(folder, PROFILE_FILE);
  await writeFile(`${file}.new`, `${JSON.stringify(profile, null, 2)}\n`);
  await rename(`${file}.new`, file);
}

/** The nearest profile at or above a folder. */
export async function findProfile(from: string): Promise<Profile | undefined> {
  for (let folder = path.resolve(from); ; folder = path.dirname(folder)) {
    const profile = await readProfile(path.join(folder, DEFAULT_FOLDER));
    if (profile !== undefined || folder === path.dirname(folder)) return profile;
  }
}
