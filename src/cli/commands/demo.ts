/** `althing demo`: the unattended tour. Exit code 0 only if nothing that was acknowledged was lost. */

import { mkdtemp, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import type { CommandContext, GlobalOptions } from "../context.ts";
import { drawSummary, drawTimeline } from "../demo/drawing.ts";
import { fileRecords, installedPackages } from "../demo/records.ts";
import { Tour, type TourCluster, type TourResult, type TourStep } from "../demo/tour.ts";
import { DevCluster } from "../dev/cluster.ts";
import type { NodeCommand } from "../dev/node-process.ts";
import { type ClusterPlan, endpointOf, nodeFlags, planCluster } from "../dev/plan.ts";
import { freePorts } from "../dev/port-check.ts";
import type { ExitName } from "../exit-codes.ts";
import { mainFile } from "../invocation.ts";
import type { Output } from "../output.ts";
import { showDuration } from "../parse.ts";
import type { ProfileNode } from "../profile.ts";
import { nodeV8Flags } from "../v8-flags.ts";

export interface DemoOptions extends GlobalOptions {
  readonly kills: number;
  readonly seconds: number;
  readonly records: number;
  readonly keep?: boolean;
}

const NODES = 3;
const DRAW_MS = 200;

export async function demo(context: CommandContext, options: DemoOptions): Promise<ExitName> {
  return await runDemo(context, options, (plan) => (node) => ({
    file: process.execPath,
    args: [...nodeV8Flags, mainFile(), ...nodeFlags(plan, node)],
  }));
}

/** The same with another program for each node: the tests run it against etcd itself. */
export async function runDemo(
  context: CommandContext,
  options: DemoOptions,
  commandFor: (plan: ClusterPlan) => (node: ProfileNode) => NodeCommand,
): Promise<ExitName> {
  const { output, signal } = context;
  const folder = await mkdtemp(path.join(os.tmpdir(), "althing-demo-"));
  const plan = planCluster({ folder, nodes: NODES, port: await freePorts(NODES), consensus: undefined }, undefined);
  const cluster = new DevCluster({ plan, command: commandFor(plan), onEvent: () => undefined });
  const view = new TourView(output);
  try {
    view.note(`Starting a cluster of ${NODES} nodes in ${folder}`);
    const started = performance.now();
    await cluster.start();
    view.note(`Ready after ${showDuration(performance.now() - started)}; node ${cluster.leader} leads`);
    const tour = new Tour(asTourCluster(cluster), {
      records: fileRecords(installedPackages(), { max: options.records, signal }),
      kills: options.kills,
      boundMs: options.seconds * 1_000,
      signal,
      onStep: (step) => view.step(step),
    });
    view.follow(tour);
    let result: TourResult;
    try {
      result = await tour.run();
    } finally {
      view.stop();
    }
    view.result(tour, result);
    return result.lost === 0 && result.wrongReads === 0 ? "success" : "failure";
  } finally {
    await cluster.close();
    if (options.keep === true) view.note(`The data are kept in ${folder}`);
    else await rm(folder, { recursive: true, force: true });
  }
}

function asTourCluster(cluster: DevCluster): TourCluster {
  return {
    endpoints: cluster.plan.nodes.map((node) => endpointOf(node)),
    leader: () => cluster.awaitLeader(),
    kill: async (id) => {
      await cluster.kill(id);
    },
    restart: (id) => cluster.startNode(id),
  };
}

/** Redraws the timeline below the narration while the tour runs; on a pipe only the narration and the end are printed. */
class TourView {
  readonly #output: Output;
  #tour: Tour | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Lines of the drawing that stand on the terminal. */
  #drawn = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  note(text: string): void {
    this.#erase();
    this.#output.note(text);
    this.#draw();
  }

  follow(tour: Tour): void {
    this.#tour = tour;
    if (!this.#output.noteStyle.live) return;
    this.#timer = setInterval(() => {
      this.#draw();
    }, DRAW_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#erase();
    this.#tour = undefined;
  }

  step(step: TourStep): void {
    const style = this.#output.noteStyle;
    const at = style.dim(showDuration(this.#tour?.now() ?? 0).padStart(7));
    const { type, ...fields } = step;
    if (type !== "loading") this.#output.record({ event: type, ...fields });
    switch (step.type) {
      case "loading":
        return; // the timeline shows it
      case "loaded": {
        const what = step.complete
          ? "files of the installed packages, each with its digest"
          : "files, then the time for loading was over";
        this.note(`${at}  loaded ${step.count} records in ${showDuration(step.tookMs)}: ${what}`);
        return;
      }
      case "killed":
        this.note(`${at}  ${style.bad("▼")} kill -9 of the leader, node ${step.id} (${step.round})`);
        return;
      case "led":
        this.note(`${at}  ${style.accent("★")} node ${step.id} leads, ${showDuration(step.afterMs)} after the kill`);
        return;
      case "restarted":
        this.note(`${at}  ${style.ok("△")} node ${step.id} is back`);
        return;
      case "verifying":
        this.note(`${at}  reading every acknowledged write back from every node`);
        return;
    }
  }

  result(tour: Tour, result: TourResult): void {
    const { style } = this.#output;
    const end = Math.max(0, ...result.kills.map((kill) => kill.atMs + (kill.backAfterMs ?? 0))) + 2_000;
    for (const line of drawTimeline(tour.timeline, Math.min(end, result.tookMs), style, style.width ?? 100))
      this.#output.line(line);
    for (const line of drawSummary(result, style)) this.#output.line(line);
    this.#output.record({
      event: "result",
      ...result,
      timeline: tour.timeline.buckets(0),
    });
  }

  #draw(): void {
    const tour = this.#tour;
    const { live, width } = this.#output.noteStyle;
    if (tour === undefined || !live) return;
    const lines = drawTimeline(tour.timeline, tour.now(), this.#output.noteStyle, width ?? 80);
    this.#output.redraw(lines, this.#drawn);
    this.#drawn = lines.length;
  }

  #erase(): void {
    if (this.#drawn === 0) return;
    this.#output.redraw([], this.#drawn);
    this.#drawn = 0;
  }
}
