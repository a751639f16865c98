/**
 * Network namespaces joined by a bridge: one host a node, on one machine, for faults that a proxy cannot make, such as
 * lost packets on connections that stay open. Needs root and iproute2 (ip-netns(8)), and nftables for cuts (nft(8)).
 * Names carry the process id, so that two runs do not meet; `close` removes all of it.
 */
import { spawnSync } from "node:child_process";
import { atExit } from "./at-exit.ts";

export class NetNamespaces {
  readonly #prefix: string;
  readonly #count: number;
  readonly #subnet: string;
  readonly #forget: () => void;

  private constructor(prefix: string, count: number, subnet: string) {
    this.#prefix = prefix;
    this.#count = count;
    this.#subnet = subnet;
    this.#forget = atExit(() => this.#remove());
  }

  /** True if this process may make namespaces. */
  static available(): boolean {
    if (process.getuid?.() !== 0) return false;
    const name = `althing-probe-${process.pid}`;
    if (spawnSync("ip", ["netns", "add", name]).status !== 0) return false;
    spawnSync("ip", ["netns", "del", name]);
    return spawnSync("nft", ["--version"]).status === 0;
  }

  /** Makes hosts 1 to `count`. Host i has the address `10.x.y.i`; this process reaches them as `10.x.y.254`. */
  static open(count: number): NetNamespaces {
    const prefix = `al${process.pid % 100_000}`;
    const subnet = `10.${64 + (process.pid % 64)}.${(process.pid >> 6) % 256}`;
    const made = new NetNamespaces(prefix, count, subnet);
    try {
      run("ip", ["link", "add", `${prefix}br`, "type", "bridge"]);
      run("ip", ["addr", "add", `${subnet}.254/24`, "dev", `${prefix}br`]);
      run("ip", ["link", "set", `${prefix}br`, "up"]);
      for (let host = 1; host <= count; host++) made.#add(host);
      return made;
    } catch (error) {
      made.close();
      throw error;
    }
  }

  address(host: number): string {
    return `${this.#subnet}.${host}`;
  }

  /**
   * A command as it is run on a host. Not `ip netns exec`, which also gives it mounts of its own: a disk that is unmounted here
   * would stay mounted there.
   */
  wrap(
    host: number,
    file: string,
    args: readonly string[],
  ): { readonly file: string; readonly args: readonly string[] } {
    return { file: "nsenter", args: [`--net=/run/netns/${this.#name(host)}`, "--", file, ...args] };
  }

  /** Drops all packets that host `to` gets from host `from`; the other way stays open. */
  cutOneWay(from: number, to: number): void {
    const rule = ["add", "rule", "inet", "althing", "in", "ip", "saddr", this.address(from), "drop"];
    run("ip", ["netns", "exec", this.#name(to), "nft", ...rule]);
  }

  cut(a: number, b: number): void {
    this.cutOneWay(a, b);
    this.cutOneWay(b, a);
  }

  /** Cuts a host off from all other hosts; this process still reaches it. */
  isolate(host: number): void {
    for (let other = 1; other <= this.#count; other++) if (other !== host) this.cut(host, other);
  }

  heal(): void {
    for (let host = 1; host <= this.#count; host++) {
      run("ip", ["netns", "exec", this.#name(host), "nft", "flush", "chain", "inet", "althing", "in"]);
    }
  }

  close(): void {
    this.#forget();
    this.#remove();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #remove(): void {
    for (let host = 1; host <= this.#count; host++) {
      spawnSync("ip", ["link", "del", this.#veth(host)]); // also removes the end inside the namespace
      spawnSync("ip", ["netns", "del", this.#name(host)]);
    }
    spawnSync("ip", ["link", "del", `${this.#prefix}br`]);
  }

  #add(host: number): void {
    const name = this.#name(host);
    run("ip", ["netns", "add", name]);
    run("ip", ["link", "add", this.#veth(host), "type", "veth", "peer", "name", "eth0", "netns", name]);
    run("ip", ["link", "set", this.#veth(host), "master", `${this.#prefix}br`, "up"]);
    run("ip", ["-n", name, "addr", "add", `${this.address(host)}/24`, "dev", "eth0"]);
    run("ip", ["-n", name, "link", "set", "eth0", "up"]);
    run("ip", ["-n", name, "link", "set", "lo", "up"]);
    run("ip", ["netns", "exec", name, "nft", "add", "table", "inet", "althing"]);
    const hook = "{ type filter hook input priority 0 ; policy accept ; }";
    run("ip", ["netns", "exec", name, "nft", "add", "chain", "inet", "althing", "in", hook]);
  }

  #name(host: number): string {
    return `${this.#prefix}n${host}`;
  }

  #veth(host: number): string {
    return `${this.#prefix}v${host}`;
  }
}

function run(file: string, args: readonly string[]): void {
  const done = spawnSync(file, args, { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`Cannot run ${file} ${args.join(" ")}: ${done.stderr.trim()}`);
}
