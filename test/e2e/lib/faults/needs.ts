/**
 * What a test needs of the machine beyond Node.js. A test whose needs are not met is not registered, so that no report
 * counts it as passed, and one line on stderr says which and why.
 */
import { spawnSync } from "node:child_process";
import { describe } from "vitest";
import { NetNamespaces } from "../net-namespaces.ts";

export interface Need {
  readonly name: string;
  readonly isMet: () => boolean;
}

export const root: Need = { name: "root", isMet: () => process.getuid?.() === 0 };

export const strace: Need = { name: "strace", isMet: () => spawnSync("strace", ["-V"]).status === 0 };

/** True if a loop device can be had: some containers have the tool and no device. */
export const loopDevices: Need = {
  name: "loop devices",
  isMet: () => spawnSync("losetup", ["-f"]).status === 0 && spawnSync("mkfs.ext4", ["-V"]).status === 0,
};

export const namespaces: Need = {
  name: "network namespaces (root, iproute2, nftables)",
  isMet: () => NetNamespaces.available(),
};

/** The long variants are wanted, which take minutes: `ALTHING_LONG=1`. */
export const isLong: boolean = process.env["ALTHING_LONG"] === "1";

/** Defines tests that only the long run has; elsewhere they are not registered. */
export function whenLong(define: () => void): void {
  if (isLong) define();
}

/** `describe`, if every need is met; else a line on stderr and nothing. */
export function describeWithNeeds(name: string, needs: readonly Need[], define: () => void): void {
  const missing = needs.filter((need) => !need.isMet()).map((need) => need.name);
  if (missing.length === 0) describe(name, define);
  else process.stderr.write(`NOT RUN: "${name}" needs ${missing.join(" and ")}\n`);
}
