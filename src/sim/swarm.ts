/**
 * The configuration of a run, drawn from its seed: every seed tests another cluster in another weather. What is switched
 * off in one seed is on in the next (Groce et al. 2012, "Swarm testing").
 */
import type { Prng } from "../base/prng.ts";
import type { ClockSettings } from "./sim-clock.ts";
import { calmDisk, type DiskOptions } from "./sim-disk.ts";
import { calmNetwork, type NetworkOptions } from "./sim-network.ts";
import { defaultLink } from "./topology.ts";

/** LAN, data centre or slow links; in some seeds loss, resets, flipped bytes and datagram mode. */
export function drawNetwork(prng: Prng): NetworkOptions {
  const delayLeastMs = prng.pick([0.05, 0.1, 0.5, 5]);
  return {
    ...calmNetwork,
    link: {
      ...defaultLink,
      delayLeastMs,
      delayMeanMs: delayLeastMs * prng.pick([0.5, 1, 4]),
      lossChance: prng.pick([0, 0, 0.001, 0.01]),
    },
    resetChance: prng.pick([0, 0, 0.0001, 0.001]),
    corruptChance: prng.pick([0, 0, 0, 0.0001]),
    datagram: prng.chance(0.5)
      ? {
          dropChance: prng.pick([0, 0.001, 0.01, 0.05]),
          duplicateChance: prng.pick([0, 0.001, 0.01, 0.05]),
          reorderChance: prng.pick([0, 0.001, 0.01, 0.05]),
        }
      : undefined,
    stalledMsMax: prng.pick([500, 3_000, 15_000]),
  };
}

export function drawDisk(prng: Prng): DiskOptions {
  const lostChance = prng.pick([0, 0.2, 0.45, 0.9]);
  return {
    ...calmDisk,
    syncLeastMs: prng.pick([0.05, 0.1, 1]),
    syncMeanMs: prng.pick([0.2, 0.9, 3]),
    scatteredNames: prng.chance(0.5),
    damage: {
      sectorBytes: prng.pick([512, 4_096]),
      lostChance,
      tornChance: prng.pick([0, 0.05, 0.1]),
      garbageChance: prng.pick([0, 0, 0.02]),
    },
  };
}

/** Quartz drifts by some 10 ppm; we allow ten times as much. Wall clocks are wrong by up to an hour. */
export function drawClock(prng: Prng): ClockSettings {
  return {
    driftPpm: Math.floor((prng.unit() * 2 - 1) * 100),
    wallOffsetMs: prng.chance(0.5) ? 0 : Math.floor((prng.unit() * 2 - 1) * 3_600_000),
    timerLatenessMs: prng.pick([0.1, 1, 1, 5]),
  };
}
