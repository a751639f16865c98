/**
 * `althing status`: every member asked for itself, in one table. Exit code 3 when something is wrong, with the command that
 * goes on from there.
 */
import type { Member, StatusResponse } from "../../coordination/messages.ts";
import type { ClientOptions, CommandContext } from "../context.ts";
import { cluster, maintenance } from "../etcd/api.ts";
import type { ExitName } from "../exit-codes.ts";
import { CliFailure } from "../failure.ts";
import { callTrouble } from "../grpc/call-failure.ts";
import { GrpcClient } from "../grpc/client.ts";
import { hint, shellWord } from "../invocation.ts";
import { showBytes, showId } from "../parse.ts";
import { showTerm } from "../show-term.ts";
import type { Cell, Column } from "../table.ts";

const PER_MEMBER_MS = 2_000;
/** Entries that a healthy follower may be behind while writes go on. */
const LAG_MAX = 5_000;

export interface MemberReport {
  readonly member: Member;
  /** Undefined: it does not answer, because of `trouble`. */
  readonly status: StatusResponse | undefined;
  readonly trouble: string | undefined;
}

export async function status(context: CommandContext, options: ClientOptions): Promise<ExitName> {
  const { output } = context;
  const client = await context.client(options);
  const members = await membersOf(client, context.signal);
  const timeoutMs = Math.min(options.timeout ?? PER_MEMBER_MS, PER_MEMBER_MS);
  const reports = await Promise.all(members.map((member) => ask(member, timeoutMs, context.signal)));
  const advice = judge(reports, options.endpoints);
  const applied = Math.max(0, ...reports.map((report) => report.status?.raftIndex ?? 0));
  output.record({
    healthy: advice.length === 0,
    members: reports.map((report) => reportJson(report, applied)),
    problems: advice.map(({ problem, next }) => ({ problem, next })),
  });
  output.table(
    columns,
    reports.map((report) => reportRow(report, applied, output.style)),
  );
  for (const { problem, next } of advice) output.note(`${output.noteStyle.bad("!")} ${problem}. Next: ${next}`);
  return advice.length === 0 ? "success" : "unhealthy";
}

/** Any node tells who the members are, also one without a leader, as far as the server has the choice. */
async function membersOf(client: GrpcClient, signal: AbortSignal): Promise<readonly Member[]> {
  const answer = await client.unary(cluster.memberList, { linearizable: false }, { signal });
  if (answer.members.length === 0)
    throw new CliFailure("unhealthy", `Cannot show the status: ${client.endpoint} knows no members`);
  return answer.members;
}

async function ask(member: Member, timeoutMs: number, signal: AbortSignal): Promise<MemberReport> {
  if (member.clientUrls.length === 0) return { member, status: undefined, trouble: "it was never started" };
  const client = new GrpcClient(member.clientUrls, { timeoutMs });
  try {
    const status = await client.unary(maintenance.status, {}, { signal });
    return { member, status, trouble: undefined };
  } catch (error) {
    return { member, status: undefined, trouble: callTrouble(error) };
  } finally {
    client.close();
  }
}

export interface Advice {
  readonly problem: string;
  readonly next: string;
}

/** What is wrong, in the order in which it should be looked at; `endpoints` as the flag named them, for the commands. */
export function judge(reports: readonly MemberReport[], endpoints?: string): readonly Advice[] {
  const command = (words: string): string =>
    hint(endpoints === undefined ? words : `${words} --endpoints ${shellWord(endpoints)}`);
  const advice: Advice[] = [];
  const answered = reports.flatMap((report) =>
    report.status === undefined ? [] : [{ ...report, status: report.status }],
  );
  const voters = reports.filter((report) => !report.member.isLearner);
  const votersUp = voters.filter((report) => report.status !== undefined).length;
  const majority = Math.floor(voters.length / 2) + 1;
  const leaderless = !answered.some(({ status }) => status.leader !== 0n);
  if (votersUp < majority) {
    advice.push({
      problem: `${votersUp} of ${voters.length} voters answer, ${majority} are needed: nothing can be written`,
      next: "start the nodes that do not answer",
    });
  } else if (leaderless) {
    advice.push({ problem: "no member leads", next: `${command("status")}, again in a second` });
  }
  for (const { member, status, trouble } of reports) {
    const name = member.name === "" ? showId(member.id) : member.name;
    if (status === undefined)
      advice.push({
        problem: `${name} does not answer: ${trouble ?? ""}`,
        next: `start it, or ${command(`member remove ${showId(member.id)}`)}`,
      });
    for (const error of status?.errors ?? []) {
      const text = error.trim(); // etcd ends an alarm in a space
      const kind = memberErrorKind(text);
      if (kind === "no-leader" && leaderless) continue; // said once, for all of them
      advice.push({
        problem: `${name} reports ${text}`,
        next: nextOfMemberError(kind, command(`member remove ${showId(member.id)}`)),
      });
    }
  }
  const applied = Math.max(0, ...answered.map(({ status }) => status.raftIndex));
  for (const { member, status } of answered) {
    const lag = applied - status.raftAppliedIndex;
    if (lag > LAG_MAX)
      advice.push({
        problem: `${member.name} is ${lag} entries behind`,
        next: `${hint("doctor")} on its machine`,
      });
  }
  return advice;
}

type MemberErrorKind = "no-leader" | "no-space" | "corrupt" | "engine" | "other";

/** The kinds of text in `errors` of etcd's StatusResponse: a sentence, or `memberID:N alarm:NAME`. */
function memberErrorKind(text: string): MemberErrorKind {
  if (text.includes("no leader")) return "no-leader";
  if (/alarm:\s*NOSPACE/.test(text)) return "no-space";
  if (/alarm:\s*CORRUPT/.test(text)) return "corrupt";
  if (/node \d+ runs \w+, and node \d+ runs/.test(text)) return "engine";
  return "other";
}

function nextOfMemberError(kind: MemberErrorKind, remove: string): string {
  switch (kind) {
    case "no-leader":
      return "check that it and the leader reach each other's peer ports";
    case "no-space":
      return "free disk space on that node";
    case "corrupt":
      return `${remove}, then add it again with an empty data folder`;
    case "engine":
      return "start the node that differs with the engine of the others, in an empty data folder";
    case "other":
      return "read the log of that node";
  }
}

const columns: readonly Column[] = [
  { title: "ID" },
  { title: "NAME" },
  { title: "ROLE" },
  { title: "ADDRESS", shrink: true },
  { title: "VERSION" },
  { title: "ENGINE" },
  { title: "DB SIZE", align: "right" },
  { title: "REVISION", align: "right" },
  { title: "TERM", align: "right" },
  { title: "APPLIED", align: "right" },
  { title: "LAG", align: "right" },
  { title: "HEALTH", shrink: true },
];

function roleOf({ member, status }: MemberReport): string {
  if (member.isLearner) return "learner";
  if (status === undefined) return "-";
  return status.leader === member.id ? "leader" : "follower";
}

/** etcd itself, and nodes of earlier versions, say nothing: they run Raft. */
function engineOf({ status }: MemberReport): string {
  if (status === undefined) return "-";
  return status.consensus === "" ? "raft" : status.consensus;
}

function healthOf({ status, trouble }: MemberReport): string {
  if (status === undefined) return trouble ?? "no answer";
  if (status.leader === 0n) return "no leader";
  return status.errors.length > 0 ? status.errors.join("; ") : "ok";
}

function reportRow(
  report: MemberReport,
  applied: number,
  style: {
    readonly ok: (text: string) => string;
    readonly bad: (text: string) => string;
    readonly accent: (text: string) => string;
  },
): readonly Cell[] {
  const { member, status } = report;
  const role = roleOf(report);
  const health = healthOf(report);
  return [
    showId(member.id),
    member.name === "" ? "-" : member.name,
    role === "leader" ? { text: role, paint: style.accent } : role,
    member.clientUrls[0]?.replace(/^https?:\/\//, "") ?? "-",
    status?.version ?? "-",
    engineOf(report),
    status === undefined ? "-" : showBytes(status.dbSize),
    status === undefined ? "-" : String(status.header?.revision ?? 0),
    status === undefined ? "-" : showTerm(status.raftTerm, engineOf(report)),
    status === undefined ? "-" : String(status.raftAppliedIndex),
    status === undefined ? "-" : String(Math.max(0, applied - status.raftAppliedIndex)),
    { text: health, paint: health === "ok" ? style.ok : style.bad },
  ];
}

function reportJson(report: MemberReport, applied: number): Readonly<Record<string, unknown>> {
  const { member, status } = report;
  return {
    id: showId(member.id),
    name: member.name,
    role: roleOf(report),
    clientUrls: member.clientUrls,
    health: healthOf(report),
    ...(status === undefined
      ? {}
      : {
          version: status.version,
          consensus: engineOf(report),
          dbSizeBytes: status.dbSize,
          revision: status.header?.revision ?? 0,
          term: status.raftTerm,
          appliedIndex: status.raftAppliedIndex,
          lag: Math.max(0, applied - status.raftAppliedIndex),
        }),
  };
}
