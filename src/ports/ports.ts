import type { Clock } from "./clock.ts";
import type { Disk } from "./disk.ts";
import type { Kernels } from "./kernels.ts";
import type { Network } from "./network.ts";
import type { Observer } from "./observer.ts";
import type { Random } from "./random.ts";

/** One node's whole world. Two worlds implement it: `host/` on Node.js, `sim/` from a seed. */
export interface Ports {
  readonly clock: Clock;
  readonly random: Random;
  readonly network: Network;
  readonly disk: Disk;
  readonly kernels: Kernels;
  readonly observer: Observer;
}
