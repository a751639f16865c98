/**
 * One kind of fault on one node after the other, and nothing else: a majority that can talk to each other and write must go
 * on serving while it lasts. The checks of the group scenario hold besides.
 *
 *   deaf      the node sends and hears nobody: a leader must notice and step down (check-quorum)
 *   mute      the node hears and cannot send: whoever leads meanwhile goes on leading (pre-vote)
 *   absent    the node is cut off both ways, and comes back: whoever leads meanwhile goes on leading (pre-vote)
 *   stalled   the node's disk hangs: a leader must give its place away
 *   paused    the node's process stands still
 *   wiped     the node comes back with an empty disk; in the end everybody has a vote again
 *
 * Source  Ongaro 2014, sections 6.4 and 9.6; Howard & Abraham, "Raft does not guarantee liveness in the face of network
 *         faults" (2020), after the outage of 2 November 2020 at Cloudflare.
 */
import { assert } from "../../../src/base/assert.ts";
import type { ConsensusEngine } from "../../../src/config/node-config.ts";
import type { Fault } from "../../../src/sim/faults.ts";
import type { Scenario } from "../../../src/sim/simulate.ts";
import type { TraceEntry } from "../../../src/sim/trace.ts";
import { type GroupNode, groupScenario } from "./group-scenario.ts";

export const progressKinds = ["deaf", "mute", "absent", "stalled", "paused", "wiped"] as const;
export type ProgressKind = (typeof progressKinds)[number];

const FAULT_MS = 5_000;
const GAP_MS = 7_500;
/** Four election timeouts, and what a client needs to try another node. */
const GRACE_MS = 3_000;
/** After a fault, how long whoever leads must have gone on. */
const AFTER_MS = 1_000;
/** Nothing but the fault itself may cost a leader its quorum. */
const SOUND_LINK = { delayLeastMs: 0.1, delayMeanMs: 0.5, bytesPerMs: 125_000, lossChance: 0, retransmitMs: 200 };
const TRACE_ENTRIES = 50_000;

function faultOn(kind: ProgressKind, nodes: number, node: number, atMs: number): Fault {
  const others = Array.from({ length: nodes }, (_, i) => i + 1).filter((n) => n !== node);
  const away = others.map((other) => [node, other] as const);
  const towards = others.map((other) => [other, node] as const);
  const cut = (cuts: readonly (readonly [number, number])[], shape: "one-way" | "isolate"): Fault => ({
    type: "partition",
    atMs,
    shape,
    cuts,
    forMs: FAULT_MS,
  });
  switch (kind) {
    case "deaf":
      return cut(towards, "one-way");
    case "mute":
      return cut(away, "one-way");
    case "absent":
      return cut([...towards, ...away], "isolate");
    case "stalled":
      return { type: "stalled-disk", atMs, node, forMs: FAULT_MS };
    case "paused":
      return { type: "pause", atMs, node, forMs: FAULT_MS };
    case "wiped":
      return { type: "wipe", atMs, node, downMs: 500 };
  }
}

export function progressScenario(
  kind: ProgressKind,
  run: { readonly seed: number; readonly nodes: number; readonly consensus: ConsensusEngine },
): Scenario<GroupNode> {
  const { seed, nodes, consensus } = run;
  const hit = Array.from({ length: 3 }, (_, i) => ((seed + i) % nodes) + 1);
  const scenario = groupScenario(seed, {
    nodes,
    consensus,
    clients: 6,
    patienceMs: 300,
    pauseMs: 20,
    durationMs: 500 + GAP_MS * hit.length,
    faults: hit.map((node, i) => faultOn(kind, nodes, node, 500 + GAP_MS * i)),
    network: { datagram: undefined, resetChance: 0, corruptChance: 0, link: SOUND_LINK },
    disk: {},
  });
  return {
    ...scenario,
    traceEntriesMax: TRACE_ENTRIES,
    check: async (ended) => {
      await scenario.check?.(ended);
      const events = ended.trace.entries();
      const began = events.filter((e) => e.event.type === `fault-${faultType(kind)}`).map((e) => e.timeMs);
      assert(began.length === hit.length, "every fault was carried out", { kind, began });
      for (const [i, fromMs] of began.entries()) {
        const toMs = fromMs + FAULT_MS;
        const served = scenario.acknowledged.filter(({ byMs }) => byMs > fromMs + GRACE_MS && byMs < toMs).length;
        assert(served > 0, "a majority goes on serving", { kind, node: hit[i], fromMs, toMs });
        if (kind === "wiped") for (const node of ended.nodes) checkVote(node);
        if (kind === "mute" || kind === "absent") checkUndisturbed(events, hit[i] ?? 0, fromMs, toMs + AFTER_MS);
      }
    },
  };
}

function faultType(kind: ProgressKind): Fault["type"] {
  switch (kind) {
    case "stalled":
      return "stalled-disk";
    case "paused":
      return "pause";
    case "wiped":
      return "wipe";
    case "deaf":
    case "mute":
    case "absent":
      return "partition";
  }
}

/** M1 of `src/group`: a member that lost its disk votes again, in the name of its new data folder. */
function checkVote({ group, foundation }: Pick<GroupNode, "group" | "foundation">): void {
  const me = group.members.find(({ id }) => id === group.nodeId);
  const { incarnation } = foundation.identity;
  assert(me?.role === "voter" && me.incarnation === incarnation, "M1: every member has a vote again", {
    me,
    incarnation,
  });
}

/** A node that was away while another led must not end that leadership, neither meanwhile nor by coming back. */
function checkUndisturbed(events: readonly TraceEntry[], away: number, fromMs: number, toMs: number): void {
  const turns = events.filter(({ event }) => event.type === "role");
  const last = new Map<number, TraceEntry>();
  for (const turn of turns) if (turn.timeMs <= fromMs) last.set(turn.node, turn);
  const leader = [...last.values()].find(({ event }) => event["role"] === "leader");
  if (leader === undefined || leader.node === away) return;
  const ended = turns.find(({ node, timeMs }) => node === leader.node && timeMs > fromMs && timeMs < toMs);
  assert(ended === undefined, "E2: who was away does not end a leadership", { away, leader: leader.node, ended });
}
