/** Who may talk to whom, over a network that delivers at once. Broken links under load are the simulator's part. */
import { expect, test } from "vitest";
import {
  FakeClock,
  type FakeConnection,
  FakeNetwork,
  FakeObserver,
  fakeRandom,
} from "../../test/sim/lib/fake-ports.ts";
import { ByteWriter, fromUtf8 } from "../base/bytes.ts";
import type { ConsensusEngine } from "../config/node-config.ts";
import { groupId, incarnation, logIndex, nodeId } from "../base/ids.ts";
import { encodePeerFrame, type PeerFrame } from "./frames.ts";
import { Peers, type PeerListener } from "./peers.ts";

const GROUP = groupId(1);

interface Told {
  readonly node: number;
  readonly what: string;
}

class World {
  readonly clock = new FakeClock();
  readonly network = new FakeNetwork();
  readonly observer = new FakeObserver();
  readonly told: Told[] = [];
  #seed = 1;

  /** Starts the peers of a node: number 1 listens at "n1", and so on. */
  async start(
    node: number,
    options: { cluster?: number; data?: number; consensus?: ConsensusEngine } = {},
  ): Promise<Peers> {
    const { clock, network, observer } = this;
    const { consensus = "raft" } = options;
    const peers = new Peers(
      { clock, network, observer, random: fakeRandom(this.#seed++) },
      {
        clusterId: options.cluster ?? 9,
        nodeId: nodeId(node),
        incarnation: incarnation(options.data ?? node * 100),
        consensus,
      },
    );
    const tell = (what: string): void => void this.told.push({ node, what });
    const listener: PeerListener = {
      frame: (from, frame, isStranger) => tell(`${frame.type} of ${from}${isStranger ? ", a stranger" : ""}`),
      connected: (peer, met) => tell(`connected ${peer} (${met})`),
      lost: (peer) => tell(`lost ${peer}`),
      stranger: (peer, met) => tell(`stranger ${peer} (${met})`),
    };
    peers.register(GROUP, listener);
    await peers.listen(`n${node}`);
    return peers;
  }

  of(node: number): readonly string[] {
    return this.told.filter((t) => t.node === node).map((t) => t.what);
  }

  forget(): void {
    this.told.length = 0;
  }

  /** The newest connection dialled to the address. */
  linkTo(address: string): FakeConnection {
    const found = this.network.dialled.findLast((d) => d.address === address);
    if (found === undefined) throw new Error(`nobody dialled ${address}`);
    return found.connection;
  }
}

const member = (node: number, data = 0): { id: ReturnType<typeof nodeId>; address: string; incarnation: number } => ({
  id: nodeId(node),
  address: `n${node}`,
  incarnation: data,
});

const beat: PeerFrame = { type: "read", context: 5 };

test("Peers meet, and frames pass both ways", async () => {
  const world = new World();
  const one = await world.start(1);
  const two = await world.start(2);
  one.setPeers([member(1), member(2)]);
  await world.clock.advance(100);
  expect(one.isConnected(nodeId(2)) && two.isConnected(nodeId(1))).toBe(true);
  expect(one.incarnationOf(nodeId(2))).toBe(200);
  expect(one.send(nodeId(2), GROUP, beat)).toBe(true);
  expect(two.send(nodeId(1), GROUP, beat)).toBe(true); // over the link that node 1 dialled
  await world.clock.advance(1);
  expect(world.of(2)).toContain("read of 1");
  expect(world.of(1)).toContain("read of 2");
});

test("Peers.send() says that a node is out of reach", async () => {
  const world = new World();
  const one = await world.start(1);
  one.setPeers([member(1), member(2)]);
  await world.clock.advance(100);
  expect(one.send(nodeId(2), GROUP, beat)).toBe(false);
  expect(one.isConnected(nodeId(2))).toBe(false);
  await one.close();
  expect(world.clock.pending).toBe(0); // no attempt is left over
});

test("Peers dial again, later and later, until the other is up", async () => {
  const world = new World();
  const one = await world.start(1);
  one.setPeers([member(1), member(2)]);
  await world.clock.advance(5_000);
  expect(world.network.dialled).toHaveLength(0);
  await world.start(2);
  await world.clock.advance(1_100);
  expect(world.of(1)).toContain("connected 2 (200)");
});

test("Peers refuse another cluster, with the reason on both sides", async () => {
  const world = new World();
  const one = await world.start(1);
  await world.start(2, { cluster: 10 });
  one.setPeers([member(1), member(2)]);
  await world.clock.advance(30);
  expect(one.isConnected(nodeId(2))).toBe(false);
  const reasons = world.observer.of("peer-refused").map((event) => event["why"]);
  expect(reasons).toContain("another cluster");
  expect(reasons).toContain("the peer refused us: another cluster");
});

test("Peers refuse a node that runs another engine: each says so once, and its status as long as it lasts", async () => {
  const world = new World();
  const one = await world.start(1);
  const two = await world.start(2, { consensus: "paxos" });
  one.setPeers([member(1), member(2)]);
  two.setPeers([member(1), member(2)]);
  await world.clock.advance(20_000);
  expect(one.isConnected(nodeId(2)) || two.isConnected(nodeId(1))).toBe(false);
  expect(one.refusals).toContain("node 2 runs paxos, and node 1 runs raft");
  expect(two.refusals).toContain("node 1 runs raft, and node 2 runs paxos");
  const reasons = world.observer.of("peer-refused").map((event) => String(event["why"]));
  expect(reasons.toSorted()).toEqual([
    "node 1 runs raft, and node 2 runs paxos",
    "node 2 runs paxos, and node 1 runs raft",
    "the peer refused us: node 1 runs raft, and node 2 runs paxos",
    "the peer refused us: node 2 runs paxos, and node 1 runs raft",
  ]);
});

test("Peers refuse a call that was meant for another node", async () => {
  const world = new World();
  const one = await world.start(1);
  await world.start(2);
  one.setPeers([member(1), { ...member(3), address: "n2" }]);
  await world.clock.advance(30);
  expect(one.isConnected(nodeId(3))).toBe(false);
  expect(world.observer.of("peer-refused").map((event) => event["why"])).toContain("this is node 2, not 3");
});

test("Peers refuse a node under their own id", async () => {
  const world = new World();
  await world.start(1);
  const twin = new Peers(
    { clock: world.clock, network: world.network, observer: world.observer, random: fakeRandom(99) },
    { clusterId: 9, nodeId: nodeId(1), incarnation: incarnation(7), consensus: "raft" },
  );
  twin.setPeers([{ ...member(1) }, { ...member(2), address: "n1" }]);
  await world.clock.advance(30);
  const reasons = world.observer.of("peer-refused").map((event) => String(event["why"]));
  expect(reasons.some((why) => why.startsWith("this is node 1"))).toBe(true);
});

test("Peers hang up on what is no handshake, and on silence", async () => {
  const world = new World();
  await world.start(1);
  const garbage = await world.network.dial("n1");
  const answers: string[] = [];
  garbage.onFrame = (frame) => void answers.push(fromUtf8(frame.subarray(1)));
  let ended = "";
  garbage.onClose = (reason) => {
    ended = reason;
  };
  garbage.send(new ByteWriter(8).u8(0).u32(0xdead).finish());
  await world.clock.advance(1);
  expect(ended).toBe("closed by the peer");
  expect(answers).toEqual(["this is not an Althing peer"]);

  const short = await world.network.dial("n1");
  let closed = false;
  short.onClose = () => {
    closed = true;
  };
  short.send(new Uint8Array([0, 72]));
  await world.clock.advance(1);
  expect(closed).toBe(true);
  expect(world.observer.of("peer-frame-bad")).toHaveLength(1);

  const silent = await world.network.dial("n1");
  let silentEnd = false;
  silent.onClose = () => {
    silentEnd = true;
  };
  await world.clock.advance(1_900);
  expect(silentEnd).toBe(false);
  await world.clock.advance(200);
  expect(silentEnd).toBe(true);
});

test("Peers hang up after a frame that cannot be read, and dial again", async () => {
  const world = new World();
  const one = await world.start(1);
  await world.start(2);
  one.setPeers([member(1), member(2)]);
  await world.clock.advance(100);
  world.forget();
  world.linkTo("n2").send(new Uint8Array([1]));
  await world.clock.advance(100);
  expect(world.observer.of("peer-frame-bad")).toHaveLength(1);
  expect(world.of(1)).toEqual(["lost 2", "connected 2 (200)"]);
});

test("Peers pass over a kind of frame that only a newer version knows", async () => {
  const world = new World();
  const one = await world.start(1);
  const two = await world.start(2);
  one.setPeers([member(1), member(2)]);
  await world.clock.advance(100);
  world.linkTo("n2").send(new ByteWriter(8).u8(99).varint(1).finish());
  await world.clock.advance(10);
  expect(world.observer.of("peer-frame-unknown")).toHaveLength(1);
  expect(two.isConnected(nodeId(1))).toBe(true);
});

test("Peers mark a known id with another data folder as a stranger (N1)", async () => {
  const world = new World();
  const one = await world.start(1);
  const two = await world.start(2, { data: 777 });
  one.setPeers([member(1, 100), member(2, 200)]);
  await world.clock.advance(100);
  expect(world.of(1)).toContain("stranger 2 (777)");
  two.send(nodeId(1), GROUP, beat);
  await world.clock.advance(1);
  expect(world.of(1)).toContain("read of 2, a stranger");

  one.setPeers([member(1, 100), member(2, 777)]); // the configuration has taken it in
  world.forget();
  two.send(nodeId(1), GROUP, beat);
  await world.clock.advance(1);
  expect(world.of(1)).toEqual(["read of 2"]);
});

test("Peers mark a folder that took a lost one's place as a stranger while nobody has bound it (N1)", async () => {
  const world = new World();
  const one = await world.start(1);
  const two = await world.start(2, { data: 201 });
  const three = await world.start(3, { data: 300 });
  one.setPeers([member(1), member(2), member(3)]);
  await world.clock.advance(100);
  world.forget();
  two.send(nodeId(1), GROUP, beat);
  three.send(nodeId(1), GROUP, beat);
  await world.clock.advance(1);
  expect(world.of(1)).toEqual(["read of 2, a stranger", "read of 3"]);
});

test("Peers ask anew who is there when a member comes to be bound to another data folder (N1)", async () => {
  const world = new World();
  const one = await world.start(1);
  const old = await world.start(2);
  one.setPeers([member(1, 100), member(2, 200)]);
  old.setPeers([member(1, 100), member(2, 200)]);
  await world.clock.advance(100);
  world.linkTo("n1").onClose = () => undefined; // the old one is gone without a word
  world.linkTo("n2").onClose = () => undefined;
  const renewed = await world.start(2, { data: 777 });
  world.forget();
  one.setPeers([member(1, 100), member(2, 777)]); // others have met it
  await world.clock.advance(1_100);
  expect(world.of(1)).toContain("connected 2 (777)");
  expect(world.of(1).filter((what) => what.startsWith("stranger"))).toEqual([]);
  expect(one.incarnationOf(nodeId(2))).toBe(777);
  await renewed.close();
});

/**
 * Node 2 dies with an acknowledgement on its way to node 1, comes back with less, and is met again before the old frame
 * arrives: had it counted, node 1 would have counted a copy that is not there.
 */
test("Peers deliver nothing of a process that has started again (N2)", async () => {
  const world = new World();
  const one = await world.start(1);
  const two = await world.start(2);
  two.setPeers([member(1), member(2)]);
  await world.clock.advance(100);
  const old = world.linkTo("n1");
  old.isHeld = true;
  two.send(nodeId(1), GROUP, { type: "read-grant", context: 1, index: logIndex(9) });
  old.onClose = () => undefined; // gone without a word: it will not dial again
  world.forget();

  const again = await world.start(2);
  again.setPeers([member(1), member(2)]);
  await world.clock.advance(100);
  expect(world.of(1)).toEqual(["lost 2", "connected 2 (200)"]);
  old.release();
  await world.clock.advance(100);
  expect(world.of(1)).not.toContain("read-grant of 2");
  expect(again.send(nodeId(1), GROUP, beat)).toBe(true);
  await world.clock.advance(1);
  expect(world.of(1)).toContain("read of 2");
  expect(one.isConnected(nodeId(2))).toBe(true);
});

test("Peers tell a link that the other side has replaced as lost: frames may have been", async () => {
  const world = new World();
  await world.start(1);
  const two = await world.start(2);
  two.setPeers([member(1), member(2)]);
  await world.clock.advance(100);
  world.forget();
  world.linkTo("n1").end("reset"); // node 1 hears nothing of it
  await world.clock.advance(100);
  expect(world.of(1)).toEqual(["lost 2", "connected 2 (200)"]);
  expect(world.of(2)).toEqual(["lost 1", "connected 1 (100)"]);
});

test("Peers leave a member that was removed in peace, and follow one that moved", async () => {
  const world = new World();
  const one = await world.start(1);
  await world.start(2);
  one.setPeers([member(1), member(2)]);
  await world.clock.advance(100);
  one.setPeers([member(1)]);
  expect(one.isConnected(nodeId(2))).toBe(true);
  world.forget();
  world.linkTo("n2").close();
  await world.clock.advance(3_000);
  expect(world.of(1)).toEqual(["lost 2"]);
  expect(one.isConnected(nodeId(2))).toBe(false);

  await world.network.listen("elsewhere", () => undefined);
  one.setPeers([member(1), { ...member(2), address: "elsewhere" }]);
  await world.clock.advance(10);
  expect(world.network.dialled.at(-1)?.address).toBe("elsewhere");
});

test("Peers.close() ends every link and timer", async () => {
  const world = new World();
  const one = await world.start(1);
  const two = await world.start(2);
  one.setPeers([member(1), member(2), member(3)]);
  two.setPeers([member(1), member(2)]);
  await world.clock.advance(100);
  await one.close();
  await two.close();
  await world.clock.advance(5_000);
  expect(world.network.dialled.every((d) => !d.connection.isOpen)).toBe(true);
  expect(world.clock.pending).toBe(0);
  expect(one.send(nodeId(2), GROUP, beat)).toBe(false);
});

test("encodePeerFrame() is what a link carries", () => {
  expect(encodePeerFrame(GROUP, beat)).toEqual(new ByteWriter(8).u8(4).varint(1).varint(5).finish());
});
