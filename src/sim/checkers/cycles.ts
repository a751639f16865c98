/**
 * Finds short cycles in a dependency graph and names them.
 * Source  Adya 1999, chapter 4 (the cycles); Kingsbury & Alvaro 2020, section 6 (strong components first, then a
 *         breadth-first search for the least cycle of each kind).
 *
 * C1. An edge counts as the gravest it can be: what overwrites or was seen needs no clock to be in order.
 * C2. Every strong component has a cycle, and one of the queries finds one, unless the work allowed has run out; then the
 *     query is named in `unsearched`, and no answer is "none".
 */
import type { AnomalyName } from "./anomalies.ts";
import {
  type DependencyGraph,
  type EdgeKind,
  PROCESS,
  REALTIME,
  RW,
  strongComponents,
  WR,
  WW,
} from "./dependency-graph.ts";

export interface CycleEdge {
  readonly from: number;
  readonly to: number;
  readonly kind: EdgeKind;
}

/** The last edge ends where the first begins. */
export type Cycle = readonly CycleEdge[];

interface Query {
  readonly name: AnomalyName;
  /** The kind of the edge from which the search sets out, and those of the others. */
  readonly first: EdgeKind;
  readonly rest: number;
  /** Kinds that must occur among the others. */
  readonly need: number;
  /** No two anti-dependencies in a row. */
  readonly isSpread: boolean;
}

const queries: readonly Query[] = [
  ...family("", 0, 0),
  ...family("-process", PROCESS, PROCESS),
  ...family("-realtime", PROCESS | REALTIME, REALTIME),
];

/** The five cycles, with the edges of a session order or of real time, of which at least one `special` must occur. */
function family(suffix: "" | "-process" | "-realtime", time: number, special: 0 | EdgeKind): readonly Query[] {
  const seen = WW | WR | time;
  return [
    { name: `G0${suffix}`, first: WW, rest: WW | time, need: special, isSpread: false },
    { name: `G1c${suffix}`, first: WR, rest: seen, need: special, isSpread: false },
    { name: `G-single${suffix}`, first: RW, rest: seen, need: special, isSpread: false },
    { name: `G-nonadjacent${suffix}`, first: RW, rest: seen | RW, need: RW | special, isSpread: true },
    { name: `G2-item${suffix}`, first: RW, rest: seen | RW, need: RW | special, isSpread: false },
  ];
}

export interface CycleFindings {
  readonly found: readonly { readonly name: AnomalyName; readonly cycle: Cycle }[];
  /** Not searched to the end: there may be cycles of this name. */
  readonly unsearched: readonly AnomalyName[];
}

export interface CycleOptions {
  /** Only cycles of these names. */
  readonly wants: (name: AnomalyName) => boolean;
  /** Edges looked at for one name. */
  readonly workMax: number;
  /** Cycles of one name that are returned, each the shortest found of its component. */
  readonly examplesMax: number;
}

/** After so many cycles in one component the shortest of them is short enough. */
const CYCLES_TRIED_MAX = 64;

export function findCycles(graph: DependencyGraph, options: CycleOptions): CycleFindings {
  const wanted = queries.filter(({ name }) => options.wants(name));
  const found: { readonly name: AnomalyName; readonly cycle: Cycle }[] = [];
  const unsearched: AnomalyName[] = [];
  const all = strongComponents(
    graph,
    wanted.reduce((mask, query) => mask | query.first | query.rest, 0),
  );
  if (all.length === 0) return { found, unsearched };
  const within = { nodes: all.flat(), componentOf: new Int32Array(graph.nodes) };
  for (const [i, component] of all.entries()) for (const node of component) within.componentOf[node] = i + 1;
  const search = new CycleSearch(graph, options);
  for (const query of wanted) {
    const { cycles, isComplete } = search.run(query, strongComponents(graph, query.first | query.rest, within));
    for (const cycle of cycles) {
      // With no two anti-dependencies in a row it has the other name, under which it has been found.
      if (query.isSpread || (query.need & RW) === 0 || isAdjacent(cycle)) found.push({ name: query.name, cycle });
    }
    if (!isComplete) unsearched.push(query.name);
  }
  return { found, unsearched };
}

/** What has happened on a walk so far, as bits. */
const LAST_WAS_RW = 1;
const SAW_RW = 2;
const SAW_SPECIAL = 4;
const WALKS = 8;

class CycleSearch {
  readonly #graph: DependencyGraph;
  readonly #options: CycleOptions;
  readonly #componentOf: Int32Array;
  /** Per node and walk state: in which search it was reached, from which place, and over which kind. */
  readonly #round: Int32Array;
  readonly #cameFrom: Int32Array;
  readonly #cameBy: Uint8Array;
  #rounds = 0;
  #work = 0;

  constructor(graph: DependencyGraph, options: CycleOptions) {
    this.#graph = graph;
    this.#options = options;
    this.#componentOf = new Int32Array(graph.nodes);
    this.#round = new Int32Array(graph.nodes * WALKS);
    this.#cameFrom = new Int32Array(graph.nodes * WALKS);
    this.#cameBy = new Uint8Array(graph.nodes * WALKS);
  }

  run(
    query: Query,
    components: readonly (readonly number[])[],
  ): { readonly cycles: readonly Cycle[]; readonly isComplete: boolean } {
    this.#work = 0;
    this.#componentOf.fill(0);
    for (const [i, component] of components.entries()) for (const node of component) this.#componentOf[node] = i + 1;
    const cycles: Cycle[] = [];
    for (const component of components) {
      if (cycles.length >= this.#options.examplesMax) break;
      const cycle = this.#shortestIn(query, component);
      if (cycle !== undefined) cycles.push(cycle);
      else if (this.#isTired()) break;
    }
    return { cycles, isComplete: cycles.length > 0 || !this.#isTired() };
  }

  #isTired(): boolean {
    return this.#work > this.#options.workMax;
  }

  #shortestIn(query: Query, component: readonly number[]): Cycle | undefined {
    const { offsets, targets, masks } = this.#graph;
    let best: Cycle | undefined;
    let tried = 0;
    for (const from of component) {
      for (let edge = offsets[from] as number; edge < (offsets[from + 1] as number); edge++) {
        if (this.#isTired() || tried >= CYCLES_TRIED_MAX) return best;
        this.#work++;
        const to = targets[edge] as number;
        if (this.#componentOf[from] !== this.#componentOf[to]) continue;
        if ((labels((masks[edge] as number) & (query.first | query.rest)) & query.first) === 0) continue;
        // Of cycles with time in them the shorter one may have the longer chain of steps through time.
        const lengthMax = (query.rest & TIME) === 0 ? best?.length : undefined;
        const walk = this.#close(query, from, to, lengthMax ?? Number.POSITIVE_INFINITY);
        if (walk === undefined) continue;
        const cycle = withoutChains(walk);
        tried++;
        if (best === undefined || cycle.length < best.length) best = cycle;
      }
    }
    return best;
  }

  /** The shortest way back from `to` to `from` that makes the cycle one of the query, if shorter than `lengthMax`. */
  #close(query: Query, from: number, to: number, lengthMax: number): Cycle | undefined {
    const { offsets, targets, masks } = this.#graph;
    const component = this.#componentOf[from];
    const round = ++this.#rounds;
    const begin = to * WALKS + (query.first === RW ? LAST_WAS_RW : 0);
    this.#round[begin] = round;
    this.#cameFrom[begin] = -1;
    let edge = [begin];
    for (let length = 2; edge.length > 0 && length < lengthMax; length++) {
      const next: number[] = [];
      for (const place of edge) {
        const node = Math.floor(place / WALKS);
        for (let i = offsets[node] as number; i < (offsets[node + 1] as number); i++) {
          if (++this.#work > this.#options.workMax) return undefined;
          const target = targets[i] as number;
          if (this.#componentOf[target] !== component) continue;
          const kinds = labels((masks[i] as number) & query.rest);
          for (let kind = 1; kind <= kinds; kind <<= 1) {
            if ((kinds & kind) === 0) continue;
            const walk = follow(query, place % WALKS, kind);
            if (walk === undefined) continue;
            const reached = target * WALKS + walk;
            if (target === from) {
              const cycle = this.#cycle(query, from, to, place, kind as EdgeKind); // one bit of a mask of kinds
              if (isFulfilled(query, walk) && (query.isSpread || isSimple(cycle))) return cycle;
              continue; // past its beginning a cycle would only repeat itself
            }
            if (this.#round[reached] === round) continue;
            this.#round[reached] = round;
            this.#cameFrom[reached] = place;
            this.#cameBy[reached] = kind;
            next.push(reached);
          }
        }
      }
      edge = next;
    }
    return undefined;
  }

  #cycle(query: Query, from: number, to: number, last: number, kind: EdgeKind): Cycle {
    const edges: CycleEdge[] = [{ from: Math.floor(last / WALKS), to: from, kind }];
    for (let place = last; this.#cameFrom[place] !== -1; place = this.#cameFrom[place] as number) {
      const before = this.#cameFrom[place] as number;
      edges.push({
        from: Math.floor(before / WALKS),
        to: Math.floor(place / WALKS),
        kind: this.#cameBy[place] as EdgeKind, // written from a kind
      });
    }
    edges.push({ from, to, kind: query.first });
    return edges.reverse();
  }
}

const TIME = PROCESS | REALTIME;

/** Time is transitive: of several steps through it in a row one is enough. The first edge is never one. */
function withoutChains(cycle: Cycle): Cycle {
  const edges: CycleEdge[] = [];
  for (const edge of cycle) {
    const last = edges.at(-1);
    if (last === undefined || (last.kind & TIME) === 0 || (edge.kind & TIME) === 0) edges.push(edge);
    else {
      const isSession = last.kind === PROCESS && edge.kind === PROCESS;
      edges[edges.length - 1] = { from: last.from, to: edge.to, kind: isSession ? PROCESS : REALTIME };
    }
  }
  return edges;
}

/** C1: what an edge may count as, given the kinds it has. */
function labels(kinds: number): number {
  if ((kinds & WW) !== 0) return WW;
  if ((kinds & WR) !== 0) return WR;
  return (kinds & PROCESS) !== 0 ? kinds & ~REALTIME : kinds;
}

function follow(query: Query, walk: number, kind: number): number | undefined {
  if (kind === RW) {
    if (query.isSpread && (walk & LAST_WAS_RW) !== 0) return undefined;
    return walk | LAST_WAS_RW | ((query.need & RW) !== 0 ? SAW_RW : 0);
  }
  const special = (query.need & ~RW & kind) !== 0 ? SAW_SPECIAL : 0;
  return (walk & ~LAST_WAS_RW) | special;
}

function isFulfilled(query: Query, walk: number): boolean {
  if ((query.need & RW) !== 0 && (walk & SAW_RW) === 0) return false;
  if ((query.need & ~RW) !== 0 && (walk & SAW_SPECIAL) === 0) return false;
  return !(query.isSpread && (walk & LAST_WAS_RW) !== 0); // the first edge is one too
}

function isAdjacent(cycle: Cycle): boolean {
  return cycle.some((edge, i) => edge.kind === RW && cycle[(i + 1) % cycle.length]?.kind === RW);
}

function isSimple(cycle: Cycle): boolean {
  return new Set(cycle.map((edge) => edge.from)).size === cycle.length;
}
