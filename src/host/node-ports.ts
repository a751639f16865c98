/** One node's world on Node.js. */
import type { Observer } from "../ports/observer.ts";
import type { Ports } from "../ports/ports.ts";
import { NodeClock } from "./node-clock.ts";
import type { ConnectionOptions } from "./node-connection.ts";
import { type NodeDisk, openNodeDisk } from "./node-disk.ts";
import { nodeKernels } from "./node-kernels.ts";
import { NodeNetwork } from "./node-network.ts";
import { NodeRandom } from "./node-random.ts";
import { Turn } from "./turn.ts";

export interface NodePorts extends Ports {
  readonly disk: NodeDisk;
}

export interface NodePortsOptions extends ConnectionOptions {
  /** The data folder; made if it is missing. */
  readonly folder: string;
  readonly observer: Observer;
}

/** Fails with CONFIG_INVALID if the folder cannot be made. The folder is not locked: that is the node's first step. */
export async function openNodePorts(options: NodePortsOptions): Promise<NodePorts> {
  const turn = new Turn(); // what is sent from a callback of the clock leaves in the same turn
  const { folder, observer, ...connection } = options;
  return {
    clock: new NodeClock(turn),
    random: new NodeRandom(),
    network: new NodeNetwork({ ...connection, turn, observer }),
    disk: await openNodeDisk(folder),
    kernels: nodeKernels,
    observer,
  };
}
