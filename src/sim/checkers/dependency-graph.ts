/**
 * The graph of which transaction must come before which, in flat arrays: a hundred thousand nodes, a million edges.
 * Source  Adya 1999, section 3.1 (ww, wr and rw dependencies); Tarjan 1972 (strong components), without recursion.
 */

/** Edge kinds are bits, so that sets of them are masks. */
export const WW = 1;
export const WR = 2;
export const RW = 4;
export const PROCESS = 8;
export const REALTIME = 16;
export type EdgeKind = typeof WW | typeof WR | typeof RW | typeof PROCESS | typeof REALTIME;

/** Numbers, as many as come. */
class IntList {
  #values = new Int32Array(1024);
  #length = 0;

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const larger = new Int32Array(this.#length * 2);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#length++] = value;
  }

  view(): Int32Array {
    return this.#values.subarray(0, this.#length);
  }
}

/** Collects edges. Each keeps two numbers that its maker understands: why it holds. */
export class EdgeList {
  readonly #from = new IntList();
  readonly #to = new IntList();
  readonly #kind = new IntList();
  readonly #before = new IntList();
  readonly #after = new IntList();

  /** `before` and `after` are for the maker: the versions that make the edge hold. Edges to oneself are no edges. */
  add(from: number, to: number, kind: EdgeKind, before = -1, after = -1): void {
    if (from === to) return;
    this.#from.push(from);
    this.#to.push(to);
    this.#kind.push(kind);
    this.#before.push(before);
    this.#after.push(after);
  }

  /** The reason of one edge that is in the list: its `before` and `after`. Walks the list: for the few that are shown. */
  reason(from: number, to: number, kind: EdgeKind): { readonly before: number; readonly after: number } | undefined {
    const [froms, tos, kinds] = [this.#from.view(), this.#to.view(), this.#kind.view()];
    for (let i = 0; i < froms.length; i++) {
      if (froms[i] !== from || tos[i] !== to || kinds[i] !== kind) continue;
      return { before: this.#before.view()[i] as number, after: this.#after.view()[i] as number }; // of one length
    }
    return undefined;
  }

  /** The graph of all edges so far; parallel edges become one with the mask of their kinds. */
  graph(nodes: number): DependencyGraph {
    const [froms, tos, kinds] = [this.#from.view(), this.#to.view(), this.#kind.view()];
    const starts = new Int32Array(nodes + 1);
    for (const from of froms) starts[from + 1] = (starts[from + 1] as number) + 1; // sized for all nodes
    for (let i = 0; i < nodes; i++) starts[i + 1] = (starts[i + 1] as number) + (starts[i] as number);
    const fill = starts.slice();
    const order = new Int32Array(froms.length);
    for (let i = 0; i < froms.length; i++) {
      const from = froms[i] as number;
      const at = fill[from] as number;
      order[at] = i;
      fill[from] = at + 1;
    }
    return mergeParallel(nodes, starts, order, tos, kinds);
  }
}

function mergeParallel(
  nodes: number,
  starts: Int32Array,
  order: Int32Array,
  tos: Int32Array,
  kinds: Int32Array,
): DependencyGraph {
  const offsets = new Int32Array(nodes + 1);
  const targets = new Int32Array(order.length);
  const masks = new Uint8Array(order.length);
  const placeOf = new Int32Array(nodes).fill(-1);
  let length = 0;
  for (let node = 0; node < nodes; node++) {
    const row = length;
    offsets[node] = row;
    for (let i = starts[node] as number; i < (starts[node + 1] as number); i++) {
      const edge = order[i] as number;
      const to = tos[edge] as number;
      let place = placeOf[to] as number;
      if (place < row) {
        place = length++;
        placeOf[to] = place;
        targets[place] = to;
      }
      masks[place] = (masks[place] as number) | (kinds[edge] as number);
    }
  }
  offsets[nodes] = length;
  return { nodes, offsets, targets: targets.subarray(0, length), masks: masks.subarray(0, length) };
}

/** Compressed rows: the edges of node n are those from `offsets[n]` up to `offsets[n + 1]`. */
export interface DependencyGraph {
  readonly nodes: number;
  readonly offsets: Int32Array;
  readonly targets: Int32Array;
  /** The kinds of each edge. */
  readonly masks: Uint8Array;
}

/**
 * The strong components with more than one node, over the edges that have a kind of `mask`. `within`: only these nodes, and
 * only edges inside one component of it; `componentOf` gives that component, 0 for none.
 */
export function strongComponents(
  graph: DependencyGraph,
  mask: number,
  within?: { readonly nodes: readonly number[]; readonly componentOf: Int32Array },
): readonly (readonly number[])[] {
  const { nodes, offsets, targets, masks } = graph;
  const index = new Int32Array(nodes); // 0: not visited
  const low = new Int32Array(nodes);
  const onStack = new Uint8Array(nodes);
  const stack: number[] = [];
  const path: number[] = [];
  const nextEdge = new Int32Array(nodes);
  const components: number[][] = [];
  let counter = 0;
  const enter = (node: number): void => {
    index[node] = low[node] = ++counter;
    nextEdge[node] = offsets[node] as number;
    onStack[node] = 1;
    stack.push(node);
    path.push(node);
  };
  const isIn = (from: number, to: number): boolean =>
    within === undefined || within.componentOf[from] === within.componentOf[to];
  const leave = (node: number): void => {
    path.pop();
    const parent = path.at(-1);
    if (parent !== undefined) low[parent] = Math.min(low[parent] as number, low[node] as number);
    if (low[node] !== index[node]) return;
    const at = stack.lastIndexOf(node);
    const members = stack.splice(at);
    for (const member of members) onStack[member] = 0;
    if (members.length > 1) components.push(members);
  };
  const visit = (root: number): void => {
    enter(root);
    for (let node = path.at(-1); node !== undefined; node = path.at(-1)) {
      const edge = nextEdge[node] as number;
      if (edge === offsets[node + 1]) {
        leave(node);
        continue;
      }
      nextEdge[node] = edge + 1;
      const to = targets[edge] as number;
      if (((masks[edge] as number) & mask) === 0 || !isIn(node, to)) continue;
      if (index[to] === 0) enter(to);
      else if (onStack[to] === 1) low[node] = Math.min(low[node] as number, index[to] as number);
    }
  };
  if (within === undefined) {
    for (let node = 0; node < nodes; node++) if (index[node] === 0) visit(node);
  } else {
    for (const node of within.nodes) if (index[node] === 0) visit(node);
  }
  return components;
}
