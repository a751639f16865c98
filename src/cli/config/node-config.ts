/**
 * The configuration of one node, as people write it: in a file, in `ALTHING_*` variables, in flags. Here it is parsed and
 * completed once; everything behind works with `NodeSettings`.
 *
 * Order: flags, then environment, then file, then defaults. Unknown keys are errors, with the nearest known key named.
 * Rules across fields stand in `checkSettings`.
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import * as v from "valibot";
import { defaultLimits, defaultTimings, type Limits, type Timings } from "../../config/limits.ts";
import {
  type AutoCompaction,
  checkNodeConfig,
  type ConsensusEngine,
  consensusEngines,
  type InitialMember,
  type NodeConfig,
  nodeDefaults,
} from "../../config/node-config.ts";
import { splitAddress } from "../address.ts";
import { CliFailure, hasErrno } from "../failure.ts";
import { editDistance, suggest } from "./suggest.ts";

export interface FirstMember {
  readonly id: number;
  readonly name?: string;
  /** `host:port` of the peer port. */
  readonly peer: string;
  /** `host:port` of the public port. Default: the peer port - 1. */
  readonly client?: string;
}

/** What a configuration file may hold. Every field has a flag or an environment variable too, except the nested ones. */
export interface NodeConfigFile {
  /** The node's id, from 1; never used by another node of the cluster. */
  readonly id?: number;
  readonly name?: string;
  /** Nodes of another cluster are refused. */
  readonly cluster?: string;
  /** The data folder. Relative to the configuration file. */
  readonly dir?: string;
  /** `host:port` of the public port. */
  readonly listen?: string;
  readonly peerListen?: string;
  /** What clients are told, when it is not where the node listens. */
  readonly advertise?: string;
  readonly peerAdvertise?: string;
  /** The first members of a new cluster, this node among them. */
  readonly initialCluster?: readonly FirstMember[];
  /** The node was added to a running cluster. */
  readonly join?: boolean;
  readonly consensus?: ConsensusEngine;
  /** Higher stands earlier for election. */
  readonly priority?: number;
  readonly logLevel?: LogLevel;
  /** Allow addresses beyond loopback without TLS and credentials. */
  readonly insecure?: boolean;
  readonly autoCompaction?: AutoCompaction;
  readonly snapshotBytesPerSecond?: number;
  readonly walSegmentBytes?: number;
  readonly limits?: Partial<Limits>;
  readonly timings?: Partial<Timings>;
}

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Complete and checked: what the node itself gets, and what the process around it needs. */
export interface NodeSettings {
  readonly node: NodeConfig;
  /** Absolute. */
  readonly dir: string;
  /** `host:port` of the public port. */
  readonly listen: string;
  readonly logLevel: LogLevel;
  readonly insecure: boolean;
}

/** For a `.ts` or `.js` file: `export const config = defineConfig({ … })`, with completion in the editor. */
export function defineConfig(config: NodeConfigFile): NodeConfigFile {
  return config;
}

const whole = (least: number): v.GenericSchema<unknown, number> =>
  v.pipe(
    v.number("must be a whole number"),
    v.safeInteger("must be a whole number"),
    v.minValue(least, `must be a whole number from ${least}`),
  );
const address = v.pipe(
  v.string(),
  v.check((text) => splitAddress(text) !== undefined, "must be host:port, for example 127.0.0.1:7400"),
);

/** One optional schema for each key of a record of numbers with defaults, so that a new limit is accepted by itself. */
function numbersLike<T extends object>(defaults: T): v.GenericSchema<unknown, Partial<T>> {
  const entries = Object.fromEntries(Object.keys(defaults).map((key) => [key, v.exactOptional(whole(0))]));
  // fromEntries forgets which keys there are; they are those of `defaults`.
  return v.strictObject(entries) as unknown as v.GenericSchema<unknown, Partial<T>>;
}

const fileEntries = {
  id: v.exactOptional(whole(1)),
  name: v.exactOptional(v.pipe(v.string(), v.nonEmpty(), v.maxLength(128))),
  cluster: v.exactOptional(v.pipe(v.string(), v.nonEmpty(), v.maxLength(128))),
  dir: v.exactOptional(v.pipe(v.string(), v.nonEmpty())),
  listen: v.exactOptional(address),
  peerListen: v.exactOptional(address),
  advertise: v.exactOptional(address),
  peerAdvertise: v.exactOptional(address),
  initialCluster: v.exactOptional(
    v.array(
      v.strictObject({
        id: whole(1),
        name: v.exactOptional(v.string()),
        peer: address,
        client: v.exactOptional(address),
      }),
    ),
  ),
  join: v.exactOptional(v.boolean()),
  consensus: v.exactOptional(v.picklist(consensusEngines)),
  priority: v.exactOptional(v.pipe(v.number(), v.safeInteger())),
  logLevel: v.exactOptional(v.picklist(["debug", "info", "warn", "error"])),
  insecure: v.exactOptional(v.boolean()),
  autoCompaction: v.exactOptional(
    v.strictObject({ mode: v.picklist(["off", "periodic", "revision"]), keep: whole(0) }),
  ),
  snapshotBytesPerSecond: v.exactOptional(whole(1)),
  walSegmentBytes: v.exactOptional(whole(64 * 1024)),
  limits: v.exactOptional(numbersLike(defaultLimits)),
  timings: v.exactOptional(numbersLike(defaultTimings)),
};

const schema: v.GenericSchema<unknown, NodeConfigFile> = v.strictObject(fileEntries);

/**
 * Parses what a file, the environment or the flags hold. `source` is named in the error, and `nameOf` gives the name under
 * which the person wrote a key, where that name says already where it stands.
 */
export function parseNodeConfig(
  content: unknown,
  source: string,
  nameOf: (key: string) => string | undefined = () => undefined,
): NodeConfigFile {
  // A list would be taken for an object with inherited keys, `join` among them.
  if (Array.isArray(content)) throw invalid(`${source}: the content: a list is no configuration`);
  const parsed = v.safeParse(schema, content);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const at = v.getDotPath(issue) ?? "";
  // A key that the strict object does not know arrives as "expected never".
  if (issue.expected === "never") {
    const key = at.split(".").at(-1) ?? at;
    const near = suggest(key, knownKeys(at));
    throw invalid(`${source}: unknown key ${at}${near === undefined ? "" : ` (did you mean ${near}?)`}`);
  }
  const [key = "", ...below] = at.split(".");
  const written = nameOf(key);
  const place = written === undefined ? `${source}: ${at === "" ? "the content" : at}` : [written, ...below].join(".");
  // A key that a strict object demands and does not find.
  if (issue.type === "strict_object" && issue.received === "undefined") throw invalid(`${place} is missing`);
  throw invalid(`${place}: ${issue.message.charAt(0).toLowerCase()}${issue.message.slice(1)}`);
}

function knownKeys(at: string): readonly string[] {
  if (at.startsWith("limits.")) return Object.keys(defaultLimits);
  if (at.startsWith("timings.")) return Object.keys(defaultTimings);
  if (at.startsWith("initialCluster.")) return ["id", "name", "peer", "client"];
  if (at.startsWith("autoCompaction.")) return ["mode", "keep"];
  return Object.keys(fileEntries);
}

/** Reads a `.json`, `.ts` or `.js` file. A module exports the configuration as `config` or as its default. */
export async function readConfigFile(file: string): Promise<NodeConfigFile> {
  const extension = path.extname(file);
  let content: unknown;
  if (extension === ".json") {
    let text: string;
    try {
      text = await readFile(file, "utf8");
    } catch (error) {
      const why = hasErrno(error) && error.code === "ENOENT" ? "the file does not exist" : String(error);
      throw new CliFailure("usage", `Cannot read the configuration ${file}: ${why}`, { cause: error });
    }
    try {
      content = JSON.parse(text);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new CliFailure("usage", `Cannot read the configuration ${file}: it is not JSON: ${why}`, { cause: error });
    }
  } else if ([".ts", ".js", ".mts", ".mjs"].includes(extension)) {
    let module: unknown;
    try {
      module = await import(pathToFileURL(path.resolve(file)).href);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new CliFailure("usage", `Cannot load the configuration ${file}: ${why}`, { cause: error });
    }
    const exported = (name: string): unknown =>
      typeof module === "object" && module !== null ? Reflect.get(module, name) : undefined;
    content = exported("config") ?? exported("default");
    if (content === undefined) throw invalid(`${file}: it exports neither config nor a default`);
  } else {
    throw new CliFailure("usage", `Cannot read the configuration ${file}: it is neither .json, .ts nor .js`);
  }
  const config = parseNodeConfig(content, file);
  return config.dir === undefined ? config : { ...config, dir: path.resolve(path.dirname(file), config.dir) };
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Scalar fields, each by the variable that sets it. */
const variables: Readonly<
  Record<string, { readonly key: keyof NodeConfigFile; readonly read: (text: string) => unknown }>
> = {
  ALTHING_ID: { key: "id", read: readNumber },
  ALTHING_NAME: { key: "name", read: String },
  ALTHING_CLUSTER: { key: "cluster", read: String },
  ALTHING_DIR: { key: "dir", read: String },
  ALTHING_LISTEN: { key: "listen", read: String },
  ALTHING_PEER_LISTEN: { key: "peerListen", read: String },
  ALTHING_ADVERTISE: { key: "advertise", read: String },
  ALTHING_PEER_ADVERTISE: { key: "peerAdvertise", read: String },
  ALTHING_INITIAL_CLUSTER: {
    key: "initialCluster",
    read: (text) => parseInitialCluster(text, "ALTHING_INITIAL_CLUSTER"),
  },
  ALTHING_JOIN: { key: "join", read: readFlag },
  ALTHING_CONSENSUS: { key: "consensus", read: String },
  ALTHING_LOG_LEVEL: { key: "logLevel", read: String },
  ALTHING_INSECURE: { key: "insecure", read: readFlag },
};

/**
 * What the `ALTHING_*` variables set, and which variables look like a typing mistake of one that is known. Unknown ones are
 * no error as they are in a file: whoever runs the process adds some of its own (Kubernetes sets ALTHING_SERVICE_HOST
 * for a service called althing).
 */
export function configFromEnvironment(env: Environment): {
  readonly config: NodeConfigFile;
  readonly mistyped: readonly { readonly name: string; readonly near: string }[];
} {
  const content: Record<string, unknown> = {};
  const mistyped: { readonly name: string; readonly near: string }[] = [];
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith("ALTHING_") || text === undefined || text === "") continue;
    const variable = variables[name];
    if (variable !== undefined) {
      content[variable.key] = variable.read(text);
    } else {
      const near = suggest(name, Object.keys(variables));
      if (near !== undefined && editDistance(name, near) <= 2) mistyped.push({ name, near });
    }
  }
  return { config: parseNodeConfig(content, "the environment (ALTHING_*)", variableOf), mistyped };
}

function variableOf(key: string): string | undefined {
  return Object.entries(variables).find(([, variable]) => variable.key === key)?.[0];
}

function readNumber(text: string): unknown {
  return /^-?\d+$/.test(text) ? Number(text) : text; // the schema names what is wrong
}

function readFlag(text: string): unknown {
  if (["1", "true", "yes", "on"].includes(text.toLowerCase())) return true;
  if (["0", "false", "no", "off"].includes(text.toLowerCase())) return false;
  return text; // the schema names what is wrong
}

/** `1=10.0.0.1:7401,2=10.0.0.2:7401`; the public address can stand behind an `@`: `1=HOST:7401@HOST:7400`. */
export function parseInitialCluster(text: string, source: string): readonly FirstMember[] {
  return text
    .split(",")
    .filter((part) => part.trim() !== "")
    .map((part) => {
      const match = /^\s*(\d+)=([^@]+)(?:@(.+?))?\s*$/.exec(part);
      const [, id, peer, client] = match ?? [];
      if (id === undefined || peer === undefined) {
        throw invalid(`${source}: "${part.trim()}" is not ID=HOST:PEERPORT`);
      }
      return client === undefined ? { id: Number(id), peer } : { id: Number(id), peer, client };
    });
}

/** Merges by precedence (earlier wins), fills in the defaults and checks the rules across fields. */
export function completeSettings(layers: readonly NodeConfigFile[]): NodeSettings {
  const merged = layers.reduceRight<NodeConfigFile>((below, layer) => ({ ...below, ...layer }), {});
  const id = merged.id ?? 1;
  const name = merged.name ?? `node-${id}`;
  const listen = merged.listen ?? "127.0.0.1:7400";
  const peerListen = merged.peerListen ?? shiftPort(listen, 1);
  const advertise = merged.advertise ?? listen;
  const peerAddress = merged.peerAdvertise ?? peerListen;
  for (const text of [advertise, peerAddress]) {
    if (splitAddress(text)?.port === 0) throw invalid(`${text} has no port that others could call`, "name a port");
  }
  if (listen === peerListen) throw invalid(`the public and the peer address are the same, ${listen}`);
  const first = merged.initialCluster ?? [{ id, name, peer: peerAddress, client: advertise }];
  demandDistinct(first);
  const join = merged.join === true;
  if (!join && !first.some((member) => member.id === id)) {
    throw invalid(
      `the initial cluster does not name this node, id ${id}`,
      "add it, or use --join for a running cluster",
    );
  }
  const initialMembers = first.map((member) =>
    initialMember(member.id === id ? { name, client: advertise, ...member } : member),
  );
  const node: NodeConfig = {
    ...nodeDefaults,
    ...present({
      cluster: merged.cluster,
      consensus: merged.consensus,
      priority: merged.priority,
      autoCompaction: merged.autoCompaction,
      snapshotBytesPerSecond: merged.snapshotBytesPerSecond,
      walSegmentBytes: merged.walSegmentBytes,
    }),
    id,
    name,
    peerListen,
    peerAddress,
    clientUrls: [`http://${advertise}`],
    initialMembers: join ? undefined : initialMembers,
    limits: { ...defaultLimits, ...nested(layers, (layer) => layer.limits) },
    timings: { ...defaultTimings, ...nested(layers, (layer) => layer.timings) },
  };
  checkNodeConfig(node);
  return {
    node,
    dir: path.resolve(merged.dir ?? `.althing/node-${id}`),
    listen,
    logLevel: merged.logLevel ?? "info",
    insecure: merged.insecure ?? false,
  };
}

function initialMember({ id, name, peer, client }: FirstMember): InitialMember {
  return {
    id,
    name: name ?? `node-${id}`,
    address: peer,
    clientUrls: [`http://${client ?? shiftPort(peer, -1)}`],
  };
}

function demandDistinct(first: readonly FirstMember[]): void {
  if (new Set(first.map((member) => member.peer)).size !== first.length) {
    throw invalid("the initial cluster names a peer address twice");
  }
}

/** The members of a cluster that is made as a whole, seen from none of its nodes. Throws CONFIG_INVALID. */
export function firstMembers(first: readonly FirstMember[]): readonly InitialMember[] {
  const { initialCluster } = parseNodeConfig({ initialCluster: first }, "the initial cluster");
  if (initialCluster === undefined || initialCluster.length === 0) throw invalid("the initial cluster is empty");
  if (new Set(initialCluster.map((member) => member.id)).size !== initialCluster.length) {
    throw invalid("the initial cluster names an id twice");
  }
  demandDistinct(initialCluster);
  return initialCluster.map(initialMember);
}

/** Nested records merge key by key, not as a whole. */
function nested<T extends object>(
  layers: readonly NodeConfigFile[],
  pick: (layer: NodeConfigFile) => T | undefined,
): Partial<T> {
  return layers.reduceRight<Partial<T>>((below, layer) => ({ ...below, ...pick(layer) }), {});
}

/** Without the keys whose value is undefined, so that spreading it keeps the defaults. */
function present<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const known = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
  return known as { [K in keyof T]?: Exclude<T[K], undefined> }; // fromEntries forgets which keys there are
}

/** Port 0, "any free one", stays 0. */
function shiftPort(text: string, by: number): string {
  const parts = splitAddress(text);
  if (parts === undefined) throw invalid(`${text} is not host:port`);
  const port = parts.port === 0 ? 0 : parts.port + by;
  if (port < 0 || port > 65_535) throw invalid(`no port is left beside ${text}`, "name both addresses");
  return `${parts.host}:${port}`;
}

function invalid(why: string, next?: string): CliFailure {
  return new CliFailure("usage", `Cannot use the configuration: ${why}`, { code: "CONFIG_INVALID", next });
}
