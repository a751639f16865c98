/** Which configuration a wanted set of members leads to. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nodeId } from "../../base/ids.ts";
import { checkConfiguration, incomingVoters, type Member } from "../contract/configuration.ts";
import { planChange } from "./change.ts";

fc.configureGlobal({ seed: 2014 }); // the same cases in every run

const member = (id: number, role: "voter" | "learner" = "voter", name = ""): Member => ({
  id: nodeId(id),
  incarnation: 0,
  role,
  promote: false,
  name,
  address: "",
  clientUrls: [],
});
const now = { members: [member(1), member(2), member(3), member(4, "learner")], outgoing: [] };

describe("planChange()", () => {
  test("any change of voters is joint, also of a single one", () => {
    expect(planChange(now, [member(1), member(2)])?.outgoing).toEqual([1, 2, 3]);
    expect(planChange(now, [member(1), member(2), member(3), member(4)])?.outgoing).toEqual([1, 2, 3]);
    expect(planChange(now, [member(1), member(2), member(3, "learner")])?.outgoing).toEqual([1, 2, 3]);
  });

  test("a change that leaves the voters alone needs no joint configuration", () => {
    for (const wanted of [
      [member(1), member(2), member(3)],
      [member(1), member(2), member(3), member(5, "learner")],
      [member(1, "voter", "renamed"), member(2), member(3), member(4, "learner")],
    ]) {
      expect(planChange(now, wanted)).toEqual({ members: wanted, outgoing: [] });
    }
  });

  test("nobody, learners only, or an id twice is no set of members", () => {
    expect(planChange(now, [])).toBeUndefined();
    expect(planChange(now, [member(1, "learner")])).toBeUndefined();
    expect(planChange(now, [member(1), member(1, "learner")])).toBeUndefined();
  });

  test("whatever is wanted, the plan is a valid configuration of exactly that, in whatever order it was named", () => {
    const wantedSets = fc
      .uniqueArray(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 7 })
      .chain((ids) =>
        fc.tuple(
          ...ids.map((id) => fc.constantFrom("voter", "learner").map((role) => member(id, role as Member["role"]))),
        ),
      );
    fc.assert(
      fc.property(wantedSets, (wanted) => {
        const plan = planChange(now, wanted);
        expect(plan === undefined).toBe(wanted.every((m) => m.role === "learner"));
        if (plan === undefined) return;
        checkConfiguration(plan);
        expect(new Set(plan.members)).toEqual(new Set(wanted));
        expect(plan.outgoing.length > 0).toBe(incomingVoters(plan).join() !== "1,2,3");
      }),
    );
  });
});
