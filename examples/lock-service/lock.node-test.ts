// The same scenario under node:test. Run it:  node --test examples/lock-service/lock.node-test.ts
// With LOCK_WITHOUT_FENCING=1 it has the bug, and fails.
import test from "node:test";
import { simulationTests } from "../../src/sim.ts"; // in your project: "althing/sim"
import { lockScenario } from "./lock-scenario.ts";

const fencing = process.env["LOCK_WITHOUT_FENCING"] === undefined;

simulationTests(test)("no addition is lost", lockScenario({ fencing }), { seeds: 20 });
