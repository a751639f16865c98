/** Whether a port is free, and who holds it if not. Asked before any node starts, so that the answer is one clear line. */
import { randomInt } from "node:crypto";
import { readdir, readFile, readlink } from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";
import { CliFailure, hasErrno } from "../failure.ts";

/** Undefined if the address can be listened on, else the system's reason. */
export async function portTrouble(host: string, port: number): Promise<"in-use" | "not-permitted" | undefined> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host, port, exclusive: true }, resolve);
    });
    return undefined;
  } catch (error) {
    if (hasErrno(error) && error.code === "EADDRINUSE") return "in-use";
    if (hasErrno(error) && error.code === "EACCES") return "not-permitted";
    throw error;
  } finally {
    server.close();
  }
}

export interface PortHolder {
  readonly pid: number;
  readonly name: string;
}

/**
 * The process that listens on a TCP port, from Linux's /proc (proc_net_tcp(5)): the socket's inode, then the process that
 * has it open. Undefined elsewhere, or when the process belongs to another user.
 */
export async function portHolder(port: number): Promise<PortHolder | undefined> {
  const inodes = new Set<string>();
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    const text = await readFile(table, "utf8").catch(() => "");
    for (const inode of listeningInodes(text, port)) inodes.add(`socket:[${inode}]`);
  }
  if (inodes.size === 0) return undefined;
  const processes = await readdir("/proc").catch((): string[] => []);
  for (const pid of processes) {
    if (!/^\d+$/.test(pid)) continue;
    const handles = await readdir(`/proc/${pid}/fd`).catch((): string[] => []);
    for (const handle of handles) {
      const target = await readlink(`/proc/${pid}/fd/${handle}`).catch(() => "");
      if (!inodes.has(target)) continue;
      // Not `comm`: Node.js names its main thread, and so every Node program would be called MainThread.
      const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
      const [program = ""] = command.split("\0");
      return { pid: Number(pid), name: program === "" ? "a program" : path.basename(program) };
    }
  }
  return undefined;
}

const LISTEN = "0A";

/** Inodes of the listening sockets on a port, from the text of /proc/net/tcp. */
export function listeningInodes(table: string, port: number): readonly string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, "0");
  const inodes: string[] = [];
  for (const line of table.split("\n").slice(1)) {
    const fields = line.trim().split(/\s+/);
    const [, local, , state] = fields;
    const inode = fields[9];
    if (state === LISTEN && local?.endsWith(`:${wanted}`) === true && inode !== undefined) inodes.push(inode);
  }
  return inodes;
}

/**
 * The first port of a free run of `nodes` pairs, spaced as `plan.ts` spaces them. Below the range from which systems hand
 * out ports for outgoing connections, and drawn, so that two tours on one machine do not meet.
 */
export async function freePorts(nodes: number): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = 20_000 + 100 * randomInt(120);
    const wanted = Array.from({ length: nodes }, (_, i) => [port + 10 * i, port + 10 * i + 1]).flat();
    const troubles = await Promise.all(wanted.map((one) => portTrouble("127.0.0.1", one)));
    if (troubles.every((trouble) => trouble === undefined)) return port;
  }
  throw new CliFailure("failure", "Cannot find free ports between 20000 and 32000");
}
