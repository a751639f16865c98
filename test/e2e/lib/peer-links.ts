/** A proxy on every directed link between the nodes of a test cluster, and the partitions of the literature made of them. */
import type { NodePlan } from "./cluster.ts";
import { TcpProxy } from "./tcp-proxy.ts";

export class PeerLinks {
  readonly #proxies: ReadonlyMap<string, TcpProxy>;
  readonly #ids: readonly number[];

  private constructor(proxies: ReadonlyMap<string, TcpProxy>, ids: readonly number[]) {
    this.#proxies = proxies;
    this.#ids = ids;
  }

  /** `peerPorts[i]` is the peer port of node i + 1. */
  static async open(peerPorts: readonly number[]): Promise<PeerLinks> {
    const ids = peerPorts.map((_, i) => i + 1);
    const proxies = new Map<string, TcpProxy>();
    for (const from of ids) {
      for (const to of ids) {
        if (from !== to) proxies.set(`${from}>${to}`, await TcpProxy.open(() => peerPorts[to - 1] ?? 0));
      }
    }
    return new PeerLinks(proxies, ids);
  }

  /** For `ClusterOptions.peerAddress`. */
  readonly address = (from: NodePlan, to: NodePlan): string => this.#link(from.id, to.id).address;

  /** Nothing passes from node `from` to node `to`, on connections of either; the other way stays open. */
  cutOneWay(from: number, to: number): void {
    this.#link(from, to).fault = { forwardCut: true };
    this.#link(to, from).fault = { backwardCut: true };
  }

  cut(a: number, b: number): void {
    this.cutOneWay(a, b);
    this.cutOneWay(b, a);
  }

  /** Cuts a node off from all others. */
  isolate(id: number): void {
    for (const other of this.#ids) if (other !== id) this.cut(id, other);
  }

  delay(delayMs: number): void {
    for (const proxy of this.#proxies.values()) proxy.fault = { delayMs };
  }

  /** All links good again. `reset` breaks the connections that were cut, as a firewall with a short memory would. */
  heal(options: { readonly reset?: boolean } = {}): void {
    for (const proxy of this.#proxies.values()) {
      const wasCut = proxy.fault.forwardCut || proxy.fault.backwardCut;
      proxy.heal();
      if (wasCut && options.reset === true) proxy.reset();
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#proxies.values()].map((proxy) => proxy.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #link(from: number, to: number): TcpProxy {
    const proxy = this.#proxies.get(`${from}>${to}`);
    if (proxy === undefined) throw new Error(`Cannot find the link from node ${from} to node ${to}`);
    return proxy;
  }
}
