/**
 * Connections between the nodes of a cluster, shared by all groups.
 * Owns    dialling with back-off, the handshake, who is at the other end, and telling when a connection broke.
 * Leaves  what frames mean to the groups; framing, checksums and batching of writes to the Network port.
 *
 * Every node dials every other; a frame goes out on the dialled connection, or back on the one the peer dialled. Frames for
 * a peer that cannot be reached are dropped: every protocol above repeats what matters.
 *
 * N1. A node id stands for one data folder, the one the configuration names: a wiped disk that returns under its old id
 *     (another incarnation) is a stranger, and frames of strangers are marked, so that their votes and acknowledgements do
 *     not count. What a stranger says as a leader still does: our own configuration may be the older one. Nobody is a
 *     stranger by old evidence: a link of another data folder than the configuration comes to name is made anew. A folder
 *     that took a lost one's place is a stranger also to a configuration that names nobody yet.
 * N2. A process that started again may have less than it once acknowledged. So each process has a number of its own; once
 *     we have met a newer one of a peer, nothing that an older one said is delivered any more, and its links count as lost
 *     before the new ones count as connected.
 */
import { ByteReader, ByteWriter, BytesError, fromUtf8 } from "../base/bytes.ts";
import { type GroupId, type Incarnation, incarnation, isReplacement, type NodeId, nodeId } from "../base/ids.ts";
import { type ConsensusEngine, consensusEngines } from "../config/node-config.ts";
import type { Timer } from "../ports/clock.ts";
import type { Connection, Listener } from "../ports/network.ts";
import type { Ports } from "../ports/ports.ts";
import { decodePeerFrame, encodePeerFrame, type PeerFrame } from "./frames.ts";
import type { PeerAddress } from "./peer-address.ts";
import { Refusals } from "./refusals.ts";

export interface PeerIdentity {
  readonly clusterId: number;
  readonly nodeId: NodeId;
  readonly incarnation: Incarnation;
  readonly consensus: ConsensusEngine;
}

export interface PeerListener {
  /** `isStranger`: the sender is not the data folder that the configuration names (N1). */
  frame(from: NodeId, frame: PeerFrame, isStranger: boolean): void;
  connected(peer: NodeId, incarnation: Incarnation): void;
  /** A connection to or from the peer broke. */
  lost(peer: NodeId): void;
  /** The node id is known under another incarnation (N1). */
  stranger(peer: NodeId, incarnation: Incarnation): void;
}

const MAGIC = 0x414c_5448; // "ALTH"
const VERSION = 1;
const HELLO = 0;
const REFUSED = 255;
const HANDSHAKE_MS = 2_000;
const DIAL_MS = 1_000;
const BACKOFF_LEAST_MS = 20;
const BACKOFF_MOST_MS = 1_000;

interface Link {
  readonly connection: Connection;
  /** Set by the handshake. */
  peer: Met | undefined;
  handshake: Timer | undefined;
}

/** Who said hello. */
interface Met {
  readonly id: NodeId;
  readonly incarnation: Incarnation;
  /** The process (N2). */
  readonly life: number;
}

interface Peer {
  readonly id: NodeId;
  address: string;
  incarnation: number;
  /** The process met last (N2); 0: none yet. */
  life: number;
  /** Member of the present set: dialled and kept. */
  wanted: boolean;
  dialled: Link | undefined;
  accepted: Link | undefined;
  dialling: boolean;
  retry: Timer | undefined;
  backoffMs: number;
}

export class Peers {
  readonly #ports: Pick<Ports, "clock" | "network" | "observer" | "random">;
  readonly #self: PeerIdentity;
  readonly #life: number;
  readonly #groups = new Map<GroupId, PeerListener>();
  readonly #peers = new Map<NodeId, Peer>();
  readonly #links = new Set<Link>();
  readonly #refusals = new Refusals();
  readonly #abort = new AbortController();
  #listener: Listener | undefined;
  #closed = false;

  constructor(ports: Pick<Ports, "clock" | "network" | "observer" | "random">, self: PeerIdentity) {
    this.#ports = ports;
    this.#self = self;
    this.#life = 1 + ports.random.below(0x1_0000_0000);
  }

  /** The address others dial, once listening. */
  get address(): string | undefined {
    return this.#listener?.address;
  }

  get consensus(): ConsensusEngine {
    return this.#self.consensus;
  }

  /** Why handshakes fail just now: with whom this node cannot speak, in words. */
  get refusals(): readonly string[] {
    return this.#refusals.current(this.#ports.clock.monotonicMs());
  }

  async listen(address: string): Promise<void> {
    this.#listener = await this.#ports.network.listen(address, (connection) => this.#accept(connection));
  }

  register(group: GroupId, listener: PeerListener): void {
    this.#groups.set(group, listener);
  }

  /** The nodes to be connected with, without this one. Others that are connected stay until they close. */
  setPeers(addresses: readonly PeerAddress[]): void {
    const wanted = new Set(addresses.map((a) => a.id));
    for (const peer of this.#peers.values()) peer.wanted = wanted.has(peer.id);
    for (const { id, address, incarnation: bound } of addresses) {
      if (id === this.#self.nodeId) continue;
      const peer = this.#peer(id);
      peer.wanted = true;
      if (peer.incarnation !== bound) {
        peer.incarnation = bound;
        this.#leaveOthers(peer);
      }
      if (peer.address !== address) {
        peer.address = address;
        peer.dialled?.connection.close();
      }
      this.#dial(peer);
    }
  }

  /** True if the frame was queued on a live connection. */
  send(to: NodeId, group: GroupId, frame: PeerFrame): boolean {
    const peer = this.#peers.get(to);
    const link = peer?.dialled ?? peer?.accepted;
    if (link === undefined) return false;
    link.connection.send(encodePeerFrame(group, frame));
    return true;
  }

  /** Bytes queued towards a peer and not yet on their way. */
  bufferedBytes(to: NodeId): number {
    const peer = this.#peers.get(to);
    return (peer?.dialled ?? peer?.accepted)?.connection.bufferedBytes ?? 0;
  }

  isConnected(to: NodeId): boolean {
    const peer = this.#peers.get(to);
    return peer?.dialled !== undefined || peer?.accepted !== undefined;
  }

  /** The incarnation behind a live connection. */
  incarnationOf(id: NodeId): Incarnation | undefined {
    const peer = this.#peers.get(id);
    return (peer?.dialled ?? peer?.accepted)?.peer?.incarnation;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#abort.abort(new Error("closing"));
    for (const peer of this.#peers.values()) peer.retry?.cancel();
    for (const link of [...this.#links]) link.connection.close();
    await this.#listener?.close();
  }

  // ---------------------------------------------------------------- dialling

  #dial(peer: Peer): void {
    if (this.#closed || !peer.wanted || peer.dialling || peer.dialled !== undefined || peer.address === "") return;
    peer.retry?.cancel();
    peer.retry = undefined;
    peer.dialling = true;
    const address = peer.address;
    this.#ports.network.dial(address, { signal: this.#abort.signal, timeoutMs: DIAL_MS }).then(
      (connection) => {
        if (this.#closed) return connection.close();
        let isDialling = true; // an older link that ends later must not end a newer attempt
        const settled = (): void => {
          if (isDialling) peer.dialling = false;
          isDialling = false;
        };
        const link = this.#link(connection, (from) => {
          settled();
          if (from.id !== peer.id) return connection.close();
          this.#leaveOldLife(peer, from);
          if (peer.dialled !== undefined) return connection.close();
          peer.dialled = link;
          peer.backoffMs = BACKOFF_LEAST_MS;
          this.#met(peer, from.incarnation);
        });
        connection.onClose = (reason) => {
          settled();
          this.#drop(link, reason);
          this.#retry(peer);
        };
        connection.send(this.#hello(peer.id));
      },
      () => {
        peer.dialling = false;
        this.#retry(peer);
      },
    );
  }

  #retry(peer: Peer): void {
    if (this.#closed || !peer.wanted || peer.retry !== undefined) return;
    const delayMs = peer.backoffMs * (0.5 + this.#ports.random.unit() / 2);
    peer.backoffMs = Math.min(peer.backoffMs * 2, BACKOFF_MOST_MS);
    peer.retry = this.#ports.clock.timer(delayMs, () => {
      peer.retry = undefined;
      this.#dial(peer);
    });
  }

  // ---------------------------------------------------------------- accepting

  #accept(connection: Connection): void {
    if (this.#closed) return connection.close();
    const link = this.#link(connection, (from) => {
      const peer = this.#peer(from.id);
      this.#leaveOldLife(peer, from);
      if (peer.accepted !== undefined) this.#abandon(peer.accepted, "the peer has dialled again");
      peer.accepted = link;
      connection.send(this.#hello(from.id));
      this.#met(peer, from.incarnation);
      // It is up: do not wait out the back-off.
      if (peer.dialled === undefined) this.#dial(peer);
    });
    connection.onClose = (reason) => this.#drop(link, reason);
  }

  #link(connection: Connection, welcome: (from: Met) => void): Link {
    const link: Link = { connection, peer: undefined, handshake: undefined };
    this.#links.add(link);
    link.handshake = this.#ports.clock.timer(HANDSHAKE_MS, () => connection.close());
    connection.onFrame = (bytes) => {
      try {
        if (link.peer === undefined) {
          link.peer = this.#readHello(bytes, connection);
          if (link.peer === undefined) return connection.close();
          link.handshake?.cancel();
          link.handshake = undefined;
          welcome(link.peer);
        } else {
          this.#deliver(link.peer, bytes);
        }
      } catch (error) {
        if (!(error instanceof BytesError)) throw error;
        this.#ports.observer.observe({
          type: "peer-frame-bad",
          level: "warn",
          why: error.message,
          from: link.peer?.id,
        });
        connection.close();
      }
    };
    return link;
  }

  #drop(link: Link, reason: string): void {
    link.handshake?.cancel();
    if (!this.#links.delete(link) || link.peer === undefined) return;
    const peer = this.#peers.get(link.peer.id);
    if (peer === undefined) return;
    if (peer.dialled === link) peer.dialled = undefined;
    else if (peer.accepted === link) peer.accepted = undefined;
    else return; // replaced by a newer one
    if (this.#closed) return;
    this.#ports.observer.observe({ type: "peer-lost", peer: peer.id, reason });
    for (const listener of this.#groups.values()) listener.lost(peer.id);
  }

  /** N1. It may be the folder's newest life that the configuration does not know yet, or one that is long gone. */
  #leaveOthers(peer: Peer): void {
    if (peer.incarnation === 0) return;
    for (const link of [peer.dialled, peer.accepted]) {
      if (link?.peer === undefined || link.peer.incarnation === peer.incarnation) continue;
      this.#abandon(link, "the member is another data folder");
    }
  }

  /** N2. */
  #leaveOldLife(peer: Peer, { life }: Met): void {
    if (peer.life === life) return;
    peer.life = life;
    for (const link of [peer.dialled, peer.accepted]) {
      if (link !== undefined) this.#abandon(link, "the peer has started again");
    }
  }

  #abandon(link: Link, reason: string): void {
    this.#drop(link, reason);
    link.connection.close();
  }

  #met(peer: Peer, met: Incarnation): void {
    this.#ports.observer.observe({ type: "peer-connected", peer: peer.id });
    for (const listener of this.#groups.values()) {
      if (peer.incarnation !== 0 && peer.incarnation !== met) listener.stranger(peer.id, met);
      listener.connected(peer.id, met);
    }
  }

  #deliver(from: { readonly id: NodeId; readonly incarnation: Incarnation }, bytes: Uint8Array): void {
    const expected = this.#peers.get(from.id)?.incarnation ?? 0;
    const isStranger = expected !== from.incarnation && (expected !== 0 || isReplacement(from.incarnation));
    const decoded = decodePeerFrame(bytes);
    if (decoded === undefined) {
      this.#ports.observer.observe({ type: "peer-frame-unknown", from: from.id, kind: bytes[0] });
      return;
    }
    this.#groups.get(decoded.group)?.frame(from.id, decoded.frame, isStranger);
  }

  #peer(id: NodeId): Peer {
    let peer = this.#peers.get(id);
    if (peer === undefined) {
      peer = {
        id,
        address: "",
        incarnation: 0,
        life: 0,
        wanted: false,
        dialled: undefined,
        accepted: undefined,
        dialling: false,
        retry: undefined,
        backoffMs: BACKOFF_LEAST_MS,
      };
      this.#peers.set(id, peer);
    }
    return peer;
  }

  // ---------------------------------------------------------------- handshake

  #hello(to: NodeId): Uint8Array {
    const { clusterId, nodeId: id, incarnation: mine } = this.#self;
    const out = new ByteWriter(64).u8(HELLO).u32(MAGIC).u8(VERSION).u53(clusterId).varint(id).u53(mine);
    return out.varint(to).u53(this.#life).u8(consensusEngines.indexOf(this.#self.consensus)).finish();
  }

  #readHello(bytes: Uint8Array, connection: Connection): Link["peer"] {
    const input = new ByteReader(bytes);
    const kind = input.u8();
    if (kind === REFUSED) {
      this.#complain(`the peer refused us: ${fromUtf8(input.raw(input.remaining))}`);
      return undefined;
    }
    if (kind !== HELLO || input.u32() !== MAGIC) return this.#refuse(connection, "this is not an Althing peer");
    const version = input.u8();
    if (version !== VERSION) return this.#refuse(connection, `peer protocol ${version}, here ${VERSION}`);
    const clusterId = input.u53();
    if (clusterId !== this.#self.clusterId) return this.#refuse(connection, "another cluster");
    const from = input.varint();
    const data = input.u53();
    const to = input.varint();
    const life = input.u53();
    const engine = consensusEngines[input.remaining === 0 ? 0 : input.u8()]; // who says nothing is of the time before Paxos
    if (from === 0 || data === 0 || life === 0) return this.#refuse(connection, "a node without an id");
    const id = nodeId(from);
    const theirs = incarnation(data);
    if (to !== this.#self.nodeId) return this.#refuse(connection, `this is node ${this.#self.nodeId}, not ${to}`);
    if (engine !== this.#self.consensus) {
      const { consensus } = this.#self;
      const theirs = engine ?? "an engine unknown here";
      return this.#refuse(connection, `node ${id} runs ${theirs}, and node ${this.#self.nodeId} runs ${consensus}`);
    }
    if (id === this.#self.nodeId) return this.#refuse(connection, `node id ${id} is taken: by this node itself`);
    return { id, incarnation: theirs, life };
  }

  #refuse(connection: Connection, why: string): undefined {
    connection.send(new ByteWriter(64).u8(REFUSED).raw(new TextEncoder().encode(why)).finish());
    this.#complain(why);
    return undefined;
  }

  #complain(why: string): void {
    if (!this.#refusals.note(why, this.#ports.clock.monotonicMs())) return;
    this.#ports.observer.observe({ type: "peer-refused", level: "warn", why });
  }
}
