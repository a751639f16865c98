/** A door over the real coordination on a group of one replica without consensus or disk: etcd's data model, for tests. */
import { defaultLimits, defaultTimings } from "../../config/limits.ts";
import { Coordination, ETCD_VERSION } from "../../coordination/coordination.ts";
import { Store } from "../../coordination/store.ts";
import { LocalGroup } from "../../coordination/testing/local-group.ts";
import { MapEngine } from "../../coordination/testing/map-engine.ts";
import { NodeClock } from "../../host/node-clock.ts";
import { nodeKernels } from "../../host/node-kernels.ts";
import { NodeRandom } from "../../host/node-random.ts";
import { silentObserver } from "../../ports/observer.ts";
import { type Door, openDoor } from "../door.ts";

export interface LocalDoor {
  readonly address: string;
  close(): Promise<void>;
}

export async function openLocalDoor(): Promise<LocalDoor> {
  const clock = new NodeClock();
  const kernels = nodeKernels;
  const store = new Store({ engine: new MapEngine(kernels), kernels, clock });
  const handle = new LocalGroup({ machine: store, clock });
  const coordination = new Coordination({
    handle,
    store,
    ports: { clock, random: new NodeRandom(), observer: silentObserver, kernels },
    clusterId: 1n,
    limits: defaultLimits,
    electionMs: defaultTimings.electionMs,
    callTimeoutMs: defaultTimings.callTimeoutMs,
  });
  const door: Door = await openDoor({
    address: "127.0.0.1:0",
    coordination,
    limits: defaultLimits,
    observer: silentObserver,
    metrics: async () => ({ contentType: "text/plain", text: "" }),
    health: { livez: () => [], readyz: () => [] },
    version: { etcdServer: ETCD_VERSION, etcdCluster: "3.4.0", althing: "0" },
  });
  return {
    address: door.address,
    close: async () => {
      await door.close({ graceMs: 0 });
      coordination.close();
    },
  };
}
