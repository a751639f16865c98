/**
 * Whether a node lives and whether it is ready, for machines (status codes) and for people (reasons). `/health` and
 * `/version` answer as etcd's own do, for tools that ask there.
 */
import type { ServerResponse } from "node:http";
import { respondJson, respondText } from "./respond.ts";

export interface HealthSource {
  /** Reasons to restart this process; none: it lives. */
  livez(): readonly string[];
  /** Reasons to send clients elsewhere, as in "no leader is known"; none: it is ready. */
  readyz(): readonly string[];
}

export interface VersionInfo {
  /** The etcd version whose behaviour the door follows, as in `3.4.23`. */
  readonly etcdServer: string;
  readonly etcdCluster: string;
  readonly althing: string;
}

export function answerLivez(health: HealthSource, response: ServerResponse): void {
  answerReasons(health.livez(), "live", response);
}

export function answerReadyz(health: HealthSource, response: ServerResponse): void {
  answerReasons(health.readyz(), "ready", response);
}

export function answerEtcdHealth(health: HealthSource, response: ServerResponse): void {
  const reasons = [...health.livez(), ...health.readyz()];
  if (reasons.length === 0) respondJson(response, 200, '{"health":"true"}');
  else respondJson(response, 503, JSON.stringify({ health: "false", reason: reasons.join("; ") }));
}

export function answerVersion(version: VersionInfo, response: ServerResponse): void {
  const { etcdServer, etcdCluster, althing } = version;
  respondJson(response, 200, JSON.stringify({ etcdserver: etcdServer, etcdcluster: etcdCluster, althing }));
}

function answerReasons(reasons: readonly string[], state: string, response: ServerResponse): void {
  if (reasons.length === 0) respondText(response, 200, `${state}\n`);
  else respondText(response, 503, `not ${state}:\n${reasons.map((reason) => `- ${reason}\n`).join("")}`);
}
