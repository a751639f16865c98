/** The leader's duties towards the members, one round at a time, and the questions by which members are changed. */
import { describe, expect, test } from "vitest";
import { AlthingError } from "../base/errors.ts";
import { ByteWriter, BytesError } from "../base/bytes.ts";
import { type Incarnation, incarnation, logIndex, type NodeId, nodeId, term } from "../base/ids.ts";
import { incomingVoters, type Member } from "../consensus/contract/configuration.ts";
import {
  decodeControl,
  encodeChange,
  encodeTransfer,
  isUnbound,
  type MembershipPort,
  refusal,
  type Stranger,
  tendMembers,
} from "./membership.ts";

function member(id: number, bound: number, role: Member["role"] = "voter"): Member {
  return { id: nodeId(id), incarnation: bound, role, promote: false, name: "", address: `n${id}`, clientUrls: [] };
}

/** Node 1 leads, with incarnation 100; node i that is connected has `met[i]`. */
class Rig implements MembershipPort {
  readonly nodeId = nodeId(1);
  readonly incarnation = incarnation(100);
  isReadyLeader = true;
  isCommitted = true;
  outgoing: readonly NodeId[] = [];
  members: readonly Member[];
  readonly met: Readonly<Record<number, number>>;
  proposed: readonly Member[] | undefined;
  readonly strangers = new Map<NodeId, Stranger>();

  constructor(members: readonly Member[], met: Readonly<Record<number, number>>) {
    this.members = members;
    this.met = met;
  }

  configuration(): ReturnType<MembershipPort["configuration"]> {
    const configuration = { members: this.members, outgoing: this.outgoing };
    return { configuration, index: logIndex(5), committed: this.isCommitted };
  }

  incarnationOf(id: NodeId): Incarnation | undefined {
    const met = this.met[id];
    return met === undefined ? undefined : incarnation(met);
  }

  change(members: readonly Member[]): ReturnType<MembershipPort["change"]> {
    this.proposed = members;
    return { type: "accepted", index: logIndex(6), term: term(1) };
  }

  /** `id:incarnation` of all, learners in brackets; "" if nothing was proposed. */
  round(): string {
    this.proposed = undefined;
    const changed = tendMembers(this, this.strangers);
    expect(changed).toBe(this.proposed !== undefined);
    return (this.proposed ?? [])
      .map((m: Member) => (m.role === "voter" ? `${m.id}:${m.incarnation}` : `(${m.id}:${m.incarnation})`))
      .join(" ");
  }
}

describe("tendMembers()", () => {
  const founders = [member(1, 0), member(2, 0), member(3, 0)];

  test("binds all founders that it has met, in one change", () => {
    expect(new Rig(founders, { 2: 200, 3: 300 }).round()).toBe("1:100 2:200 3:300");
  });

  test("makes a founder that it has not met a learner, so that no voter is unbound (M2)", () => {
    const rig = new Rig(founders, { 2: 200 });
    expect(rig.round()).toBe("1:100 2:200 (3:0)");
    rig.members = rig.proposed ?? [];
    expect(rig.round()).toBe("");
    const later = new Rig(rig.members, { 2: 200, 3: 300 });
    expect(later.round()).toBe("1:100 2:200 (3:300)");
    expect(later.proposed?.[2]?.promote).toBe(true);
  });

  test("waits until it has met a majority of the founders", () => {
    expect(new Rig(founders, {}).round()).toBe("");
    expect(new Rig([...founders, member(4, 0), member(5, 0)], { 2: 200 }).round()).toBe("");
    expect(new Rig([member(1, 0)], {}).round()).toBe("1:100");
  });

  test("a folder that took a lost one's place is no founder: it begins as a learner (M1)", () => {
    const rig = new Rig(founders, { 2: 200, 3: 301 });
    expect(rig.round()).toBe("1:100 2:200 (3:301)");
    expect(rig.proposed?.[2]?.promote).toBe(true);
    expect(new Rig(founders, { 2: 201 }).round()).toBe(""); // the leader alone is no majority of founders
  });

  test("does nothing while it is no ready leader, or a change is under way", () => {
    const rig = new Rig(founders, { 2: 200, 3: 300 });
    rig.isReadyLeader = false;
    expect(rig.round()).toBe("");
    rig.isReadyLeader = true;
    rig.isCommitted = false;
    expect(rig.round()).toBe("");
    rig.isCommitted = true;
    rig.outgoing = [nodeId(1)];
    expect(rig.round()).toBe("");
  });

  test("binds a member that was added, when it comes", () => {
    const members = [member(1, 100), member(2, 200), member(4, 0, "learner")];
    expect(new Rig(members, { 2: 200 }).round()).toBe("");
    expect(new Rig(members, { 2: 200, 4: 400 }).round()).toBe("1:100 2:200 (4:400)");
  });

  test("a disk that was lost makes its node a learner with a promise (M1)", () => {
    const rig = new Rig([member(1, 100), member(2, 200), member(3, 300)], { 2: 200, 3: 333 });
    rig.strangers.set(nodeId(3), { met: incarnation(333), insteadOf: 300 });
    expect(rig.round()).toBe("1:100 2:200 (3:333)");
    expect(rig.proposed?.[2]).toMatchObject({ promote: true });
    rig.members = rig.proposed ?? [];
    expect(rig.round()).toBe("");
    expect(rig.strangers.size).toBe(0);
  });

  test("what was seen under an older configuration does not undo what another leader has settled since", () => {
    const rig = new Rig([member(1, 100), member(2, 200), member(3, 334)], { 2: 200, 3: 333 });
    rig.strangers.set(nodeId(3), { met: incarnation(333), insteadOf: 300 });
    expect(rig.round()).toBe("");
    expect(rig.strangers.size).toBe(0);
  });

  test("a stranger that has gone again is left alone", () => {
    const rig = new Rig([member(1, 100), member(2, 200), member(3, 300)], { 2: 200 });
    rig.strangers.set(nodeId(3), { met: incarnation(333), insteadOf: 300 });
    rig.strangers.set(nodeId(9), { met: incarnation(999), insteadOf: 0 });
    expect(rig.round()).toBe("");
    expect([...rig.strangers.keys()]).toEqual([3]);
  });

  test("never proposes a set without voters", () => {
    const rig = new Rig([member(2, 200), member(1, 100, "learner")], { 2: 222 });
    rig.strangers.set(nodeId(2), { met: incarnation(222), insteadOf: 200 });
    expect(rig.round()).toBe("");
  });
});

test("isUnbound() is true of a new cluster only", () => {
  expect(isUnbound({ members: [member(1, 0), member(2, 0)], outgoing: [] })).toBe(true);
  expect(isUnbound({ members: [member(1, 100), member(2, 0)], outgoing: [] })).toBe(false);
  expect(isUnbound({ members: [], outgoing: [] })).toBe(false);
});

describe("control questions", () => {
  test("come back as they were, members in order", () => {
    const members = [member(3, 0, "learner"), member(1, 100)];
    const change = decodeControl(encodeChange(logIndex(9), members));
    expect(change).toMatchObject({ type: "change", base: 9 });
    if (change.type === "change") expect(incomingVoters({ members: change.members, outgoing: [] })).toEqual([1]);
    expect(decodeControl(encodeTransfer(nodeId(4)))).toEqual({ type: "transfer", to: 4 });
  });

  test("a set that cannot be is refused before it travels", () => {
    const code = (members: readonly Member[]): unknown => {
      try {
        return encodeChange(logIndex(1), members);
      } catch (error) {
        return error instanceof AlthingError ? error.code : error;
      }
    };
    expect(code([member(1, 0), member(1, 5)])).toBe("MEMBERSHIP_REFUSED");
    expect(code([])).toBe("MEMBERSHIP_REFUSED");
    expect(code([member(1, 0, "learner")])).toBe("MEMBERSHIP_REFUSED");
  });

  test("what is cut short, or asks for nothing known, is refused", () => {
    const whole = encodeChange(logIndex(9), [member(1, 100), member(2, 200)]);
    for (let length = 0; length < whole.length; length++) {
      expect(() => decodeControl(whole.subarray(0, length))).toThrow(BytesError);
    }
    expect(() => decodeControl(encodeTransfer(nodeId(4)).subarray(0, 1))).toThrow(BytesError);
    expect(() => decodeControl(new ByteWriter(4).u8(2).varint(0).finish())).toThrow(BytesError);
    expect(() => decodeControl(new ByteWriter(4).u8(9).finish())).toThrow("unknown control question");
  });

  test("refusal() says which reasons pass by themselves", () => {
    const of = (reason: Parameters<typeof refusal>[0]["reason"]): boolean =>
      refusal({ type: "refused", reason, leader: undefined }, "do it").retry;
    expect(of("change-pending")).toBe(true);
    expect(of("not-leader")).toBe(true);
    expect(of("invalid-members")).toBe(false);
  });
});
