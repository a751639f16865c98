/**
 * What a torture run stands on: a cluster, and where its faults need them hosts and disks of its own, all below one folder.
 * The folder goes with a run that held, and stays with one that did not.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atExit } from "./at-exit.ts";
import { Cluster, type ClusterNode, type ClusterSpec } from "./cluster.ts";
import { SmallDisk } from "./faults/small-disk.ts";
import { freePorts } from "./free-ports.ts";
import { NetNamespaces } from "./net-namespaces.ts";

const NODES = 3;
/** Room for a write-ahead log, a checkpoint, and the reserve that a node keeps free. */
const DISK_BYTES = 512 * 1024 * 1024;

export interface SiteOptions {
  readonly spec: ClusterSpec;
  /** Each node on a host of its own. */
  readonly hosts: boolean;
  /** Each node on a disk of its own. */
  readonly disks: boolean;
}

export class TortureSite {
  readonly cluster: Cluster;
  readonly folder: string;
  readonly #hosts: NetNamespaces | undefined;
  readonly #disks: readonly SmallDisk[];
  readonly #forget: () => void;

  private constructor(
    cluster: Cluster,
    parts: {
      readonly folder: string;
      readonly hosts: NetNamespaces | undefined;
      readonly disks: readonly SmallDisk[];
      readonly forget: () => void;
    },
  ) {
    this.cluster = cluster;
    this.folder = parts.folder;
    this.#hosts = parts.hosts;
    this.#disks = parts.disks;
    this.#forget = parts.forget;
  }

  /** Makes everything and starts the cluster. */
  static async open(options: SiteOptions): Promise<TortureSite> {
    const folder = mkdtempSync(join(tmpdir(), `althing-torture-${options.spec.name}-`));
    const forget = atExit(() => rmSync(folder, { recursive: true, force: true })); // the last one to be undone
    const disks: SmallDisk[] = [];
    let hosts: NetNamespaces | undefined;
    try {
      if (options.disks) {
        for (let id = 1; id <= NODES; id++) disks.push(SmallDisk.open(join(folder, `node-${id}`), DISK_BYTES, "xfs"));
      }
      if (options.hosts) hosts = NetNamespaces.open(NODES);
      const cluster = await Cluster.start(options.spec, {
        folder,
        ports: hosts === undefined ? await freePorts(2 * NODES) : [7400, 7401, 7400, 7401, 7400, 7401],
        ...(hosts === undefined ? {} : { hosts }),
      });
      return new TortureSite(cluster, { folder, hosts, disks, forget });
    } catch (error) {
      for (const disk of disks) disk.close();
      hosts?.close();
      forget();
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  get hosts(): NetNamespaces {
    if (this.#hosts === undefined) throw new Error("Cannot cut links: the nodes have no hosts of their own");
    return this.#hosts;
  }

  diskOf(node: ClusterNode): SmallDisk {
    const disk = this.#disks[node.plan.id - 1];
    if (disk === undefined) throw new Error(`Cannot find a disk of node ${node.plan.id}`);
    return disk;
  }

  get images(): readonly string[] {
    return this.#disks.map((disk) => disk.image);
  }

  /** Ends the nodes and takes everything down. `keep` leaves the folder with data, logs and disk images. */
  async close(options: { readonly keep: boolean }): Promise<void> {
    await this.cluster.close();
    for (const disk of this.#disks) disk.close(options);
    this.#hosts?.close();
    this.#forget();
    if (!options.keep) rmSync(this.folder, { recursive: true, force: true });
  }
}
