/** What a fault needs of the machine beyond Node.js, and whether it is there. */
import { spawnSync } from "node:child_process";
import { NetNamespaces } from "../net-namespaces.ts";

export interface Need {
  readonly name: string;
  readonly isMet: () => boolean;
}

const hasRoot = (): boolean => process.getuid?.() === 0;
const runs = (file: string, ...args: readonly string[]): boolean => spawnSync(file, args).status === 0;

export const root: Need = { name: "root", isMet: hasRoot };

export const strace: Need = { name: "strace", isMet: () => runs("strace", "-V") };

/** True if a loop device can be had: some containers have the tool and no device. */
export const loopDevices: Need = {
  name: "loop devices",
  isMet: () => runs("losetup", "-f") && runs("mkfs.ext4", "-V"),
};

/** A loop device, and a file system that can be shut down under its users. */
export const xfs: Need = {
  name: "loop devices with XFS (root, xfsprogs)",
  isMet: () => hasRoot() && runs("losetup", "-f") && runs("mkfs.xfs", "-V") && runs("xfs_io", "-V"),
};

export const namespaces: Need = {
  name: "network namespaces (root, iproute2, nftables)",
  isMet: () => NetNamespaces.available(),
};
